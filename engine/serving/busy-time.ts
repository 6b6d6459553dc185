import { Work, WORKS, type CountedCost } from './step-cost'

/** Sums below this leave room for any run of steps before they reach 2⁵³, where whole numbers end. */
const REBASE_AT = 2 ** 50

/**
 * A replica's clock while it is busy: time is a function of the work done since `origin`, evaluated in
 * one fixed expression. It never goes back: sums only grow, and rounding keeps order.
 */
export class BusyTime {
  /** ms */
  now = 0
  /** Work of the step to come. */
  readonly work = new Work()
  private origin = 0
  private readonly done = new Float64Array(WORKS)

  constructor(private readonly cost: CountedCost) {}

  /** A busy period begins. */
  begin(at: number): void {
    this.now = this.origin = at
    this.done.fill(0)
  }

  /** When k steps like `work` from now on would be over. */
  after(k: number): number {
    const { rates } = this.cost
    const { first, growth } = this.work
    const pairs = (k * (k - 1)) / 2
    const d = this.done
    return (
      this.origin + (
        rates[0] * (d[0]! + first[0]! * k + growth[0]! * pairs) + rates[1] * (d[1]! + first[1]! * k + growth[1]! * pairs) +
        rates[2] * (d[2]! + first[2]! * k + growth[2]! * pairs) + rates[3] * (d[3]! + first[3]! * k + growth[3]! * pairs) +
        rates[4] * (d[4]! + first[4]! * k + growth[4]! * pairs)
      )
    )
  }

  /** The fewest steps, at most `most`, that reach `time`; `most` if none does. */
  reach(time: number, most: number): number {
    if (most <= 1 || this.after(most) < time) return most
    const { rates } = this.cost
    const { first, growth } = this.work
    // Solve a·k + b·k² = time − now, then settle rounding by asking.
    let slope = 0
    let curve = 0
    for (let i = 0; i < WORKS; i++) {
      slope += rates[i]! * first[i]!
      curve += (rates[i]! * growth[i]!) / 2
    }
    slope -= curve
    const gap = Math.max(0, time - this.now)
    let k = Math.ceil((2 * gap) / (slope + Math.sqrt(slope * slope + 4 * curve * gap)))
    k = Math.min(most, Math.max(1, Number.isNaN(k) ? 1 : k))
    while (k < most && this.after(k) < time) k++
    while (k > 1 && this.after(k - 1) >= time) k--
    return k
  }

  /** k steps like `work` were done. */
  advance(k: number): void {
    this.now = this.after(k)
    const { first, growth } = this.work
    const pairs = (k * (k - 1)) / 2
    for (let i = 0; i < WORKS; i++) this.done[i]! += first[i]! * k + growth[i]! * pairs
  }

  /** To be called where steps one by one and many at once both come by: keeps sums exact in long busy periods. */
  rebase(): void {
    for (let i = 0; i < WORKS; i++) if (this.done[i]! > REBASE_AT) return this.begin(this.now)
  }
}
