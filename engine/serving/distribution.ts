import { BATCHES, studentT975 } from './statistics'

/** Up to here every observation is kept and percentiles are exact. */
const EXACT = 2 ** 17
/** Beyond, buckets of equal width in each power of two: 2⁻⁹ wide, so percentiles are within 0.1 %. */
const MANTISSA_BITS = 9
const LOWEST = -20
const HIGHEST = 40
const BUCKETS = (HIGHEST - LOWEST) << MANTISSA_BITS

const word = new Float64Array(1)
const halves = new Uint32Array(word.buffer)

/** Mean and percentiles of a stream of correlated observations, with 95 % intervals by batch means. */
export interface Summary {
  mean: number
  p50: number
  p90: number
  p99: number
  max: number
  std: number
  /** 95 % interval of the mean; NaN when there are too few observations. */
  interval: [number, number]
  /** 95 % interval of the p99. */
  p99_interval: [number, number]
}

/**
 * Takes observations ≥ 0 by the index of their request, in any order, in memory that does not grow with
 * their number. The run is cut into 25 batches by index, as batch means want it.
 */
export class Distribution {
  count = 0
  private sum = 0
  private squares = 0
  private max = 0
  private readonly sums = new Float64Array(BATCHES)
  private readonly counts = new Uint32Array(BATCHES)
  private readonly perBatch: number
  private readonly exact?: Float64Array
  private readonly buckets?: Uint32Array

  /** `expected`: how many indices there will be. */
  constructor(expected: number) {
    this.perBatch = Math.max(1, Math.floor(expected / BATCHES))
    if (expected <= EXACT) this.exact = new Float64Array(expected).fill(NaN)
    else this.buckets = new Uint32Array(BUCKETS * BATCHES)
  }

  /** The batch that an index is in. */
  batchOf(index: number): number {
    return Math.min(BATCHES - 1, Math.floor(index / this.perBatch))
  }

  add(index: number, value: number, batch = this.batchOf(index)): void {
    this.count++
    this.sum += value
    this.squares += value * value
    if (value > this.max) this.max = value
    this.sums[batch]! += value
    this.counts[batch]!++
    if (this.exact) this.exact[index] = value
    else this.buckets![batch * BUCKETS + bucketOf(value)]!++
  }

  /** Undefined when nothing was observed. */
  summary(): Summary | undefined {
    const n = this.count
    if (n === 0) return undefined
    const mean = this.sum / n
    // Not yet observed ones are NaN, which sort to the end.
    const sorted = this.exact?.slice().sort().subarray(0, n)
    const buckets = sorted ? undefined : this.allBatches()
    const percentile = (p: number) => (sorted ? ofSorted(sorted, p) : this.ofBuckets(buckets!, p))
    const p99 = percentile(99)
    return {
      mean, p99, p50: percentile(50), p90: percentile(90), max: this.max,
      std: Math.sqrt(Math.max(0, this.squares / n - mean * mean)),
      interval: this.meanInterval(mean),
      p99_interval: this.p99Interval(p99, percentile),
    }
  }

  private meanInterval(mean: number): [number, number] {
    if (this.counts.some((c) => c < 2)) return [NaN, NaN]
    const half = halfWidth(Array.from(this.sums, (s, b) => s / this.counts[b]!))
    return [mean - half, mean + half]
  }

  /**
   * How much the share of observations above the p99 varies from batch to batch says how sure its rank
   * is; the interval is the percentiles at the ends of that rank's interval.
   */
  private p99Interval(p99: number, percentile: (p: number) => number): [number, number] {
    if (this.counts.some((c) => c < 2)) return [NaN, NaN]
    const above = new Float64Array(BATCHES)
    if (this.exact) {
      for (let i = 0; i < this.exact.length; i++) if (this.exact[i]! > p99) above[this.batchOf(i)]!++
    } else {
      const from = bucketOf(p99) + 1
      for (let b = 0; b < BATCHES; b++) for (let i = from; i < BUCKETS; i++) above[b]! += this.buckets![b * BUCKETS + i]!
    }
    const half = 100 * halfWidth(Array.from(above, (a, b) => a / this.counts[b]!))
    return [percentile(Math.max(0, 99 - half)), percentile(Math.min(100, 99 + half))]
  }

  private allBatches(): Float64Array {
    const all = new Float64Array(BUCKETS)
    for (let b = 0; b < BATCHES; b++) for (let i = 0; i < BUCKETS; i++) all[i]! += this.buckets![b * BUCKETS + i]!
    return all
  }

  private ofBuckets(all: Float64Array, p: number): number {
    const rank = ((this.count - 1) * p) / 100
    let seen = 0
    for (let i = 0; i < BUCKETS; i++) {
      const here = all[i]!
      if (seen + here > rank) return Math.min(this.max, lowerEdge(i) + (lowerEdge(i + 1) - lowerEdge(i)) * ((rank - seen + 0.5) / here))
      seen += here
    }
    return this.max
  }
}

function halfWidth(means: readonly number[]): number {
  const middle = means.reduce((a, b) => a + b) / means.length
  const variance = means.reduce((a, b) => a + (b - middle) ** 2, 0) / (means.length - 1)
  return studentT975(means.length - 1) * Math.sqrt(variance / means.length)
}

/** A double's exponent and leading mantissa bits are its logarithm, nearly. */
function bucketOf(value: number): number {
  word[0] = value
  const index = (halves[1]! >>> (20 - MANTISSA_BITS)) - ((1023 + LOWEST) << MANTISSA_BITS)
  return index < 0 ? 0 : index >= BUCKETS ? BUCKETS - 1 : index
}

function lowerEdge(bucket: number): number {
  if (bucket === 0) return 0
  halves[0] = 0
  halves[1] = (bucket + ((1023 + LOWEST) << MANTISSA_BITS)) << (20 - MANTISSA_BITS)
  return word[0]!
}

function ofSorted(sorted: Float64Array, p: number): number {
  const rank = ((sorted.length - 1) * p) / 100
  const below = Math.floor(rank)
  const a = sorted[below]!
  return a + (sorted[Math.min(below + 1, sorted.length - 1)]! - a) * (rank - below)
}
