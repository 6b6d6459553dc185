import type { Quantity, Unit } from '$engine/trace/quantity'
import type { CurvePoint, Simulated } from '$engine/worker/protocol'
import { INTERVAL_MS, NINE, PRICE, type CapacityReading } from './experiment'

const HOUR_MS = 3_600_000

export interface AtReplicas {
  median: Quantity
  tail: Quantity
  rate?: Quantity
}

/** What so many replicas make of the peak, once it is known; undefined where they cannot serve it. */
export function atReplicas({ curve }: CapacityReading, replicas: number): AtReplicas | undefined {
  const point = curve.points.find((p) => p.x === replicas && settledLine(p))
  const t = point?.summary.ttft_ms
  if (!point || !t) return undefined
  const known = { provenance: curve.provenance, note: `${point.x} replicas, ${point.requests.toLocaleString('en')} simulated requests` }
  const tpot = point.summary.tpot_ms?.p50
  return {
    median: { metric: 'p50_ttft', value: t.p50, unit: 'ms', ...known },
    tail: { metric: 'p99_ttft', value: t.p99, unit: 'ms', ...known, interval: Number.isNaN(t.p99_interval[0]) ? undefined : t.p99_interval },
    rate: tpot ? { metric: 'decode_rate', value: 1000 / tpot, unit: 'tok/s', ...known } : undefined,
  }
}

/** Whether a long run at this point comes to rest. */
const settledLine = (p: CurvePoint) => p.stable && p.summary.ttft_ms !== null

/** p99 against replicas. */
export function tails({ curve }: CapacityReading): { x: number; y: number; low?: number; high?: number }[] {
  return curve.points.filter(settledLine).map(({ x, summary: { ttft_ms: t } }) => ({
    x, y: t!.p99, ...(Number.isNaN(t!.p99_interval[0]) ? {} : { low: t!.p99_interval[0], high: t!.p99_interval[1] }),
  }))
}

/** How much of the p99 that can be bought away at all the first replica more buys: from the fewest that can serve the load to one more, against all sixteen. */
export function firstBuys({ curve }: CapacityReading): Quantity | undefined {
  const points = curve.points.filter(settledLine)
  if (points.length < 3) return undefined
  const [a, b, last] = [points[0]!, points[1]!, points.at(-1)!].map((p) => p.summary.ttft_ms!.p99) as [number, number, number]
  if (a <= last) return undefined
  return { metric: 'first_buys', value: (100 * (a - b)) / (a - last), unit: '%', provenance: curve.provenance, formula: String.raw`\frac{p_{99}(n) - p_{99}(n+1)}{p_{99}(n) - p_{99}(16)}` }
}

/** Price of a thousand requests when so many replicas run at the peak's rate. */
export function costAtPeak({ rate, curve }: CapacityReading, replicas: number): Quantity {
  return cost('cost_per_1k', (replicas / rate) * 1000, curve.provenance)
}

/** Price of a thousand requests over a whole day: replicas are paid from the decision to start them. */
export function costOfDay({ summary, provenance }: Simulated): Quantity | undefined {
  return summary.completed > 0 ? cost('cost_per_1k_day', (summary.replica_seconds / summary.completed) * 1000, provenance) : undefined
}

const cost = (metric: string, seconds: number, provenance: Quantity['provenance']): Quantity => ({
  metric, value: (seconds / 3600) * PRICE, unit: '$', provenance, formula: String.raw`1000 \cdot \frac{\text{replica-seconds}}{\text{requests}} \cdot \frac{\$/\text{h}}{3600}`, note: `at $${PRICE} for an hour of a replica`,
})

type Point = { x: number; y: number }

/** A day in hours: p99 of TTFT by interval (ms), replicas paid for, and requests that came (in replicas they would fill). */
export function day({ summary }: Simulated, capacity: number): { p99: Point[]; replicas: Point[]; demand: Point[] } {
  const intervals = (summary.timeline ?? []).filter((i) => i.start_ms < 24 * HOUR_MS && i.end_ms > i.start_ms)
  const at = (i: { start_ms: number }) => (i.start_ms + INTERVAL_MS / 2) / HOUR_MS
  return {
    p99: intervals.flatMap((i) => (i.p99_ttft_ms === null ? [] : [{ x: at(i), y: i.p99_ttft_ms }])),
    replicas: intervals.map((i) => ({ x: at(i), y: i.replicas })),
    demand: intervals.map((i) => ({ x: at(i), y: i.arrivals / ((i.end_ms - i.start_ms) / 1000) / capacity })),
  }
}

/** p99 of those who came in the first quarter after nine. */
export function firstWave({ summary, provenance }: Simulated, metric: string): Quantity | undefined {
  const found = summary.timeline?.find((i) => i.start_ms === NINE * HOUR_MS)
  return found?.p99_ttft_ms == null ? undefined : wave(metric, found.p99_ttft_ms, 'ms', provenance, `${found.arrivals} requests from nine to a quarter past`)
}

const wave = (metric: string, value: number, unit: Unit, provenance: Quantity['provenance'], note: string): Quantity => ({ metric, value, unit, provenance, note })
