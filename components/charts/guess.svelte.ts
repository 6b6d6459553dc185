/**
 * Predict first: the reader draws a curve before the answer is shown. Columns are evenly spaced over the
 * x axis as it is drawn; values are in the chart's own units. Share one with `LineChart`'s `guess`.
 */
export class Guess {
  /** The guess at each column; NaN where nothing has been drawn. */
  values = $state.raw<number[]>([])
  revealed = $state(false)
  /** Where the columns stand, in data units; set by the chart. */
  columns: readonly number[] = []

  constructor(readonly count = 25) {
    this.values = new Array<number>(count).fill(NaN)
  }

  get started(): boolean {
    return this.values.some((v) => !Number.isNaN(v))
  }

  get complete(): boolean {
    return this.values.every((v) => !Number.isNaN(v))
  }

  /** Draws from one column to another; both may be fractions. Columns between get values by `between`. */
  draw(from: { column: number; value: number }, to: { column: number; value: number }, between: (a: number, b: number, way: number) => number): void {
    const next = [...this.values]
    const [a, b] = from.column <= to.column ? [from, to] : [to, from]
    // A short stroke reaches the column nearest to it.
    const first = Math.max(0, Math.min(Math.ceil(a.column), Math.round(b.column)))
    const last = Math.min(this.count - 1, Math.max(Math.floor(b.column), first))
    for (let i = first; i <= last; i++) next[i] = between(a.value, b.value, b.column > a.column ? Math.min(Math.max((i - a.column) / (b.column - a.column), 0), 1) : 1)
    this.values = next
  }

  set(column: number, value: number): void {
    this.values = this.values.map((v, i) => (i === column ? value : v))
  }

  reveal(): void {
    this.revealed = true
  }

  again(): void {
    this.revealed = false
    this.values = new Array<number>(this.count).fill(NaN)
  }

  /** The points drawn, ascending in x. */
  get points(): { x: number; y: number }[] {
    return this.values.flatMap((y, i) => (Number.isNaN(y) || this.columns[i] === undefined ? [] : [{ x: this.columns[i], y }]))
  }

  /** How many times the guess is of `truth` at x: 0.5 is half of it. Undefined where nothing was drawn. */
  ratioAt(x: number, truth: number): number | undefined {
    const points = this.points
    const after = points.findIndex((p) => p.x >= x)
    if (after < 0 || (after === 0 && points[0]!.x > x) || !(truth > 0)) return undefined
    const [a, b] = [points[Math.max(0, after - 1)]!, points[after]!]
    const y = b.x === a.x ? b.y : a.y + ((b.y - a.y) * (x - a.x)) / (b.x - a.x)
    return y / truth
  }
}
