import { measured } from '$components/frame/measured'
import { meets, percentile, summarize } from '$engine/trace/metrics'
import type { Provenance } from '$engine/trace/provenance'
import type { Quantity } from '$engine/trace/quantity'
import type { Trace } from '$engine/trace/trace'
import type { BatchReading, SweepPoint } from './experiment'

/** Requests per second of MPT-7B on one A100-40, 512 tokens in and 64 out, by batch. */
const PUBLISHED: readonly (readonly [batch: number, perSecond: number])[] = [[1, 0.9], [4, 3.2], [8, 5.3], [16, 8.0], [32, 10.5], [64, 12.5]]
export const PUBLISHED_BY: Provenance = { how: 'published', source: 'MosaicML/Databricks, LLM Inference Performance Engineering', conditions: 'MPT-7B, 512 in, 64 out, one A100-40' }

export interface Point {
  x: number
  y: number
}

const throughput = ({ trace }: SweepPoint) => summarize(trace).outputThroughput
const tpot = ({ trace }: SweepPoint) => summarize(trace).tpot?.median ?? NaN

/** Throughput in multiples of batch 1. */
export function gains(points: readonly SweepPoint[]): Point[] {
  const alone = points[0] && throughput(points[0])
  return alone ? points.map((p) => ({ x: p.batch, y: throughput(p) / alone })) : []
}

/** Median TPOT, ms. */
export function tpots(points: readonly SweepPoint[]): Point[] {
  return points.map((p) => ({ x: p.batch, y: tpot(p) })).filter((p) => Number.isFinite(p.y))
}

export const publishedGains = (): Point[] => PUBLISHED.map(([x, y]) => ({ x, y: y / PUBLISHED[0]![1] }))

export interface Findings {
  trace: Trace
  throughput: Quantity
  /** Throughput against batch 1, and TPOT against batch 1. */
  gain: Quantity
  tpot: Quantity
  slower: Quantity
  rate: Quantity
}

const TIMES = String.raw`\frac{\text{batch } n}{\text{batch } 1}`

/** What the sweep says at a batch; undefined until it has come there. */
export function findings({ sweep }: BatchReading, batch: number): Findings | undefined {
  const [alone, here] = [sweep[0], sweep.find((p) => p.batch === batch)]
  if (!alone || !here) return undefined
  const { trace } = here
  const samples = summarize(trace).requests.flatMap((r) => r.tpot ?? [])
  const value = percentile(samples, 50)
  return {
    trace,
    throughput: measured(trace, 'throughput', throughput(here), 'tok/s', { formula: String.raw`\frac{\sum N_{\text{out}}}{\text{duration}}` }),
    gain: measured(trace, 'throughput_gain', throughput(here) / throughput(alone), '×', { formula: TIMES }),
    tpot: measured(trace, 'p50_tpot', value, 'ms/token', { samples }),
    slower: measured(trace, 'tpot_ratio', value / tpot(alone), '×', { formula: TIMES }),
    rate: measured(trace, 'decode_rate', 1000 / value, 'tok/s'),
  }
}

/** Requests per second that keep the TPOT limit, by batch. */
export function goodputs({ sweep }: BatchReading, limitMs: number): Point[] {
  return sweep.map(({ batch, trace }) => ({ x: batch, y: summarize(trace, { tpotMs: limitMs }).requestGoodput ?? 0 }))
}

export interface Peak {
  /** Batch with the most requests a second within the limit. */
  batch: Quantity
  goodput: Quantity
  /** It is the largest batch there is. */
  last: boolean
}

/** Undefined where no batch keeps the limit. */
export function peak(reading: BatchReading, limitMs: number): Peak | undefined {
  const points = goodputs(reading, limitMs)
  const best = points.reduce<Point | undefined>((a, b) => (b.y > (a?.y ?? 0) ? b : a), undefined)
  if (!best) return undefined
  const { trace } = reading.sweep.find((p) => p.batch === best.x)!
  const good = summarize(trace).requests.filter((r) => meets(r, { tpotMs: limitMs })).length
  return {
    batch: measured(trace, 'goodput_batch', best.x, 'seq'),
    goodput: measured(trace, 'goodput', best.y, 'req/s', { formula: String.raw`\frac{\left|\{\,\mathrm{TPOT} \le \text{limit}\,\}\right|}{\text{duration}}`, note: `${good} of ${trace.requests.length} requests` }),
    last: best.x === points.at(-1)!.x,
  }
}

/** How much faster continuous batching serves the same requests at this batch. */
export function overStatic({ roads }: BatchReading, batch: number): Quantity | undefined {
  const [continuous, fixed] = [roads.continuous, roads.static].map((r) => r?.find((p) => p.batch === batch))
  if (!continuous || !fixed) return undefined
  return measured(continuous.trace, 'continuous_over_static', throughput(continuous) / throughput(fixed), '×', { formula: String.raw`\frac{\text{tok/s, continuous}}{\text{tok/s, static}}` })
}
