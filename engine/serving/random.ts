/**
 * Seeded random numbers: sfc32 (Doty-Humphrey's PractRand), 32 bits a draw. Streams of one seed are
 * independent, so that a change to one thing (say the service times) leaves the draws of the others as
 * they were: common random numbers.
 */
export class Random {
  private a: number
  private b: number
  private c: number
  private counter = 1
  /** The second of a pair of normals, when one is left over. */
  private spare = NaN

  constructor(seed: number, stream = 0) {
    this.a = seed | 0
    this.b = Math.floor(seed / 2 ** 32) | 0
    this.c = stream | 0
    for (let i = 0; i < 15; i++) this.next() // as its author asks, so that near seeds part ways
  }

  /** A 32-bit word. */
  private next(): number {
    const t = (((this.a + this.b) | 0) + this.counter) | 0
    this.counter = (this.counter + 1) | 0
    this.a = this.b ^ (this.b >>> 9)
    this.b = (this.c + (this.c << 3)) | 0
    this.c = (this.c << 21) | (this.c >>> 11)
    this.c = (this.c + t) | 0
    return t >>> 0
  }

  /** Uniform in (0, 1): never an end, so that logarithms are safe. */
  uniform(): number {
    return (this.next() + 0.5) / 2 ** 32
  }

  /** Whole number in 0 … n − 1. */
  below(n: number): number {
    return Math.floor(this.uniform() * n)
  }

  /** Mean 1. */
  exponential(): number {
    return -Math.log(this.uniform())
  }

  /** Mean 0, variance 1 (Box & Muller 1958). */
  normal(): number {
    if (!Number.isNaN(this.spare)) {
      const kept = this.spare
      this.spare = NaN
      return kept
    }
    const r = Math.sqrt(2 * this.exponential())
    const angle = 2 * Math.PI * this.uniform()
    this.spare = r * Math.sin(angle)
    return r * Math.cos(angle)
  }

  /** Gamma of mean 1 and coefficient of variation cv > 0 (Marsaglia & Tsang 2000). */
  gamma(cv: number): number {
    const shape = 1 / (cv * cv)
    // Shapes below 1 are drawn one higher and scaled down by U^(1/shape).
    const boost = shape < 1 ? this.uniform() ** (1 / shape) : 1
    const d = (shape < 1 ? shape + 1 : shape) - 1 / 3
    const c = 1 / Math.sqrt(9 * d)
    for (;;) {
      const x = this.normal()
      const v = (1 + c * x) ** 3
      if (v > 0 && Math.log(this.uniform()) < 0.5 * x * x + d - d * v + d * Math.log(v)) return (d * v * boost) / shape
    }
  }

  /** Lognormal of mean 1 and coefficient of variation cv ≥ 0. */
  lognormal(cv: number): number {
    const variance = Math.log(1 + cv * cv)
    return Math.exp(Math.sqrt(variance) * this.normal() - variance / 2)
  }

  /** Two-branch hyperexponential of mean 1 and cv ≥ 1, means balanced (Allen 1990). */
  hyperexponential(cv: number): number {
    const p = (1 + Math.sqrt((cv * cv - 1) / (cv * cv + 1))) / 2
    return this.uniform() < p ? this.exponential() / (2 * p) : this.exponential() / (2 * (1 - p))
  }
}
