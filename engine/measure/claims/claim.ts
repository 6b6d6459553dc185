import type { Unit } from '../../trace/quantity'

/** One row of REFERENCE §5 each; a row may hold several numbers. */
export const ROWS = [
  'databricks-batch', 'databricks-tensor-parallel', 'anyscale-batching', 'paged-attention', 'chunked-prefill', 'distserve', 'layerkv',
  'radix-attention', 'cache-aware-routing', 'speculative-decoding', 'latency-metrics', 'mlperf-llama-2-70b', 'quantization',
  'prompt-cache', 'rag-chunks', 'voice-budget', 'human-pace',
] as const
export type Row = (typeof ROWS)[number]

export type Method = 'closed formula' | 'roofline' | 'scheduler in virtual time' | 'live'
export type Verdict = 'reproduced' | 'missed' | 'not reproduced yet'

/** A number, or a range [low, high]. */
export type Value = number | readonly [number, number]

/** A number somebody published, and what comes out here under the conditions they state. */
export interface Claim {
  /** "row/number", stable: slides cite it. */
  id: string
  row: Row
  claim: string
  /** What was run, theirs and ours; whatever they leave open and we had to choose is said here. */
  conditions: string
  source: string
  unit: Unit
  published: Value
  method: Method
  /** Largest |ratio − 1| that counts as reproduced. */
  tolerance: number
  ours?: Value
  /** Ours over the published number; of ranges the end that is further off, 1 inside a published range. */
  ratio?: number
  verdict: Verdict
  /** Why we miss, or what a reproduction needs. */
  why?: string
  note?: string
}

/** A claim before it is judged: with a number of ours, or with what is needed to get one. */
export type Entry = Omit<Claim, 'row' | 'ours' | 'ratio' | 'verdict' | 'why' | 'tolerance'> &
  ({ ours: Value; tolerance: number; whyMissed?: string } | { needs: string })

/** Throws RangeError for a miss that nobody explains, or an id of no row. */
export function judge({ id, claim, conditions, source, unit, published, method, note, ...rest }: Entry): Claim {
  const row = ROWS.find((r) => id.startsWith(`${r}/`))
  if (!row) throw new RangeError(`claim ${id} belongs to none of the rows ${ROWS.join(', ')}`)
  const said = { id, row, claim, conditions, source, unit, published, method, ...(note === undefined ? {} : { note }) }
  if ('needs' in rest) return { ...said, tolerance: 0, verdict: 'not reproduced yet', why: `needs ${rest.needs}` }
  const { ours, tolerance, whyMissed } = rest
  const ratio = ratioOf(ours, published)
  if (Math.abs(ratio - 1) <= tolerance) return { ...said, tolerance, ours, ratio, verdict: 'reproduced' }
  if (whyMissed === undefined) throw new RangeError(`claim ${id} is missed (ratio ${ratio.toFixed(3)}) and nothing says why`)
  return { ...said, tolerance, ours, ratio, verdict: 'missed', why: whyMissed }
}

/** How far ours is from what was published, as a factor. */
export function ratioOf(ours: Value, published: Value): number {
  if (typeof published === 'number') {
    return typeof ours === 'number' ? ours / published : further(ours[0] / published, ours[1] / published)
  }
  const [low, high] = published
  if (typeof ours !== 'number') return further(ours[0] / low, ours[1] / high)
  return ours < low ? ours / low : ours > high ? ours / high : 1
}

function further(a: number, b: number): number {
  return Math.abs(Math.log(a)) > Math.abs(Math.log(b)) ? a : b
}
