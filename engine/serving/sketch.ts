/** Up to here every observation is kept. */
const EXACT = 512
/** Beyond, buckets of 1.1 % between 2⁻¹⁰ and 2³⁰. */
const PER_OCTAVE = 64
const LOWEST = -10
const BUCKETS = 40 * PER_OCTAVE

/** Mean and percentiles of observations ≥ 0 in little memory; two can be put together. */
export class Sketch {
  count = 0
  private sum = 0
  private max = 0
  private values?: number[] = []
  private buckets?: Uint32Array

  get mean(): number | null {
    return this.count > 0 ? this.sum / this.count : null
  }

  add(value: number): void {
    this.count++
    this.sum += value
    if (value > this.max) this.max = value
    if (this.values && this.values.length < EXACT) this.values.push(value)
    else this.fill(value)
  }

  /** Takes the other's observations in. */
  merge(other: Sketch): void {
    this.count += other.count
    this.sum += other.sum
    this.max = Math.max(this.max, other.max)
    if (this.values && other.values && this.values.length + other.values.length <= EXACT) this.values.push(...other.values)
    else if (other.values) for (const v of other.values) this.fill(v)
    else {
      this.spill()
      for (let i = 0; i < BUCKETS; i++) this.buckets![i]! += other.buckets![i]!
    }
  }

  /** By linear interpolation while all observations are kept; null without any. */
  percentile(p: number): number | null {
    if (this.count === 0) return null
    const rank = ((this.count - 1) * p) / 100
    if (this.values) {
      const sorted = Float64Array.from(this.values).sort()
      const below = Math.floor(rank)
      return sorted[below]! + (sorted[Math.min(below + 1, sorted.length - 1)]! - sorted[below]!) * (rank - below)
    }
    let seen = 0
    for (let i = 0; i < BUCKETS; i++) {
      seen += this.buckets![i]!
      if (seen > rank) return Math.min(this.max, 2 ** ((i + 0.5) / PER_OCTAVE + LOWEST))
    }
    return this.max
  }

  private fill(value: number): void {
    this.spill()
    const index = value > 0 ? Math.floor((Math.log2(value) - LOWEST) * PER_OCTAVE) : 0
    this.buckets![Math.max(0, Math.min(BUCKETS - 1, index))]!++
  }

  private spill(): void {
    if (!this.values) return
    const { values } = this
    this.values = undefined
    this.buckets = new Uint32Array(BUCKETS)
    for (const v of values) this.fill(v)
  }
}
