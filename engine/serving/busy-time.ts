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
    if (most <= 1) return most
    if (this.after(most) < time) return most
    const { rates } = this.cost
    const { first, growth } = this.work
    // Solve a·k + b·k² = time − now, then settle rounding by asking.
    const curve = (rates[0] * growth[0]! + rates[1] * growth[1]! + rates[2] * growth[2]! + rates[3] * growth[3]! + rates[4] * growth[4]!) / 2
    const slope = rates[0] * first[0]! + rates[1] * first[1]! + rates[2] * first[2]! + rates[3] * first[3]! + rates[4] * first[4]! - curve
    const gap = Math.max(0, time - this.now)
    let k = Math.ceil((2 * gap) / (slope + Math.sqrt(slope * slope + 4 * curve * gap)))
    k = Math.min(most, Math.max(1, Number.isNaN(k) ? 1 : k))
    while (k < most && this.after(k) < time) k++
    while (k > 1 && this.after(k - 1) >= time) k--
    return k
  }

  /** k steps like `work` were done; `end` is what `after` says of them. */
  advance(k: number, end: number): void {
    this.now = end
    const { done: d, work: { first, growth } } = this
    const pairs = (k * (k - 1)) / 2
    d[0]! += first[0]! * k + growth[0]! * pairs
    d[1]! += first[1]! * k + growth[1]! * pairs
    d[2]! += first[2]! * k + growth[2]! * pairs
    d[3]! += first[3]! * k + growth[3]! * pairs
    d[4]! += first[4]! * k + growth[4]! * pairs
  }

  /** To be called where steps one by one and many at once both come by: keeps sums exact in long busy periods. */
  rebase(): void {
    const d = this.done
    if (d[0]! > REBASE_AT || d[1]! > REBASE_AT || d[2]! > REBASE_AT || d[3]! > REBASE_AT || d[4]! > REBASE_AT) this.begin(this.now)
  }
}
