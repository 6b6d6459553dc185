import { percentile, perRequest } from '$engine/trace/metrics'
import type { Quantity } from '$engine/trace/quantity'
import type { Curve, CurvePoint } from '$engine/worker/protocol'
import { measured } from '$components/frame/measured'
import { enough, type CongestionReading } from './experiment'

/** A figure of the curve at a load between its points, on a straight line of logarithms; undefined beyond the last. */
function at({ points }: Curve, load: number, of: (p: CurvePoint) => number | undefined): number | undefined {
  const after = points.findIndex((p) => p.x >= load - 1e-9)
  if (after < 0) return undefined
  const b = points[after]!
  const a = points[Math.max(0, after - 1)]!
  const [low, high] = [of(a), of(b)]
  if (low === undefined || high === undefined) return undefined
  if (b.x - a.x < 1e-9 || Math.abs(b.x - load) < 1e-9 || !(low > 0 && high > 0)) return high
  return low * (high / low) ** ((load - a.x) / (b.x - a.x))
}

const p50 = (p: CurvePoint) => p.summary.ttft_ms?.p50
const p99 = (p: CurvePoint) => p.summary.ttft_ms?.p99

export interface Findings {
  median: Quantity
  tail: Quantity
  rate?: Quantity
  /** p99 − p50. */
  gap: Quantity
}

/** What the curve says at a load; undefined where no load can be sustained. */
export function findings(reading: CongestionReading, load: number): Findings | undefined {
  const { curve } = reading
  const [median, tail] = [at(curve, load, p50), at(curve, load, p99)]
  if (median === undefined || tail === undefined) return undefined
  const edge = (i: 0 | 1) => at(curve, load, (p) => p.summary.ttft_ms?.p99_interval[i])
  const [low, high] = [edge(0), edge(1)]
  const nearest = curve.points.reduce((a, b) => (Math.abs(b.x - load) < Math.abs(a.x - load) ? b : a))
  const known = { provenance: curve.provenance, note: `${nearest.requests.toLocaleString('en')} simulated requests at the nearest load` }
  const tpot = at(curve, load, (p) => p.summary.tpot_ms?.p50)
  return {
    median: { metric: 'p50_ttft', value: median, unit: 'ms', ...known },
    tail: { metric: 'p99_ttft', value: tail, unit: 'ms', ...known, interval: low !== undefined && high !== undefined && !Number.isNaN(low) ? [low, high] : undefined },
    gap: { metric: 'p99_minus_p50_ttft', value: tail - median, unit: 'ms', ...known, formula: String.raw`p_{99} - p_{50}` },
    rate: tpot === undefined ? undefined : { metric: 'decode_rate', value: 1000 / tpot, unit: 'tok/s', ...known },
  }
}

/** How much of the p99 at 95 % load is added by the last tenth before it. */
export function lastTenth({ curve }: CongestionReading): Quantity | undefined {
  const [quiet, before, after] = [0.3, 0.85, 0.95].map((x) => at(curve, x, p99))
  if (quiet === undefined || before === undefined || after === undefined || after <= quiet) return undefined
  return {
    metric: 'last_tenth', value: (100 * (after - before)) / (after - quiet), unit: '%', provenance: curve.provenance,
    formula: String.raw`\frac{p_{99}(95\,\%) - p_{99}(85\,\%)}{p_{99}(95\,\%) - p_{99}(30\,\%)}`,
  }
}

/** The p99 that is broken: so many times the median of a quiet hour. */
const BROKEN = 10

/** Load at which p99 passes ten times the quiet median, at most: where the curve begins above it, its beginning. Undefined where it never does. */
export function knee({ curve }: CongestionReading): Quantity | undefined {
  const limit = BROKEN * (p50(curve.points[0]!) ?? NaN)
  const after = curve.points.findIndex((p) => (p99(p) ?? 0) >= limit)
  if (after < 0) return undefined
  const [a, b] = [curve.points[Math.max(0, after - 1)]!, curve.points[after]!]
  const way = after === 0 ? 0 : Math.log(limit / p99(a)!) / Math.log(p99(b)! / p99(a)!)
  return { metric: 'knee', value: 100 * (a.x + way * (b.x - a.x)), unit: '%', provenance: curve.provenance, formula: String.raw`p_{99} = 10\, p_{50}(30\,\%)` }
}

/** The live engine's mean TTFT over all its runs, against the simulator's for the same requests. */
export function liveCheck({ live }: CongestionReading): Quantity | undefined {
  if (live.length === 0) return undefined
  const sum = (of: 'trace' | 'virtual') => live.reduce((s, l) => s + perRequest(l[of]).reduce((n, r) => n + r.ttft, 0), 0)
  const first = live[0]!.trace
  return measured(first, 'live_check', 100 * (sum('trace') / sum('virtual') - 1), '%', {
    formula: String.raw`\frac{\overline{\mathrm{TTFT}}_\text{live}}{\overline{\mathrm{TTFT}}_\text{simulated}} - 1`,
    note: `${live.reduce((n, l) => n + l.trace.requests.length, 0)} requests at ${live.map((l) => `${Math.round(100 * l.load)} %`).join(', ')} load`,
  })
}

/** How much longer the live steps took than the fitted costs say: well above 1, something else runs on this device. */
export function busier({ live }: CongestionReading): Quantity | undefined {
  if (live.length === 0) return undefined
  const sum = (of: 'trace' | 'virtual') => live.reduce((s, l) => s + l[of].steps.reduce((n, step) => n + step.duration, 0), 0)
  return measured(live[0]!.trace, 'step_time_ratio', sum('trace') / sum('virtual'), '×', { formula: String.raw`\frac{\sum t_\text{step, live}}{\sum t_\text{step, simulated}}` })
}

/** Dots on the chart: load in %, TTFT in ms. */
export function liveDots({ live }: CongestionReading): { p50: { x: number; y: number }[]; p99: { x: number; y: number }[] } {
  const of = (p: number, list: typeof live) => list.map((l) => ({ x: 100 * l.load, y: percentile(perRequest(l.trace).map((r) => r.ttft), p) }))
  return { p50: of(50, live), p99: of(99, live.filter(enough)) }
}

/** Curves for the chart. */
export function curves({ curve }: CongestionReading): { p50: { x: number; y: number }[]; p99: { x: number; y: number; low?: number; high?: number }[] } {
  return {
    p50: curve.points.flatMap(({ x, summary: { ttft_ms: t } }) => (t ? [{ x: 100 * x, y: t.p50 }] : [])),
    p99: curve.points.flatMap(({ x, summary: { ttft_ms: t } }) => (t ? [{ x: 100 * x, y: t.p99, ...(Number.isNaN(t.p99_interval[0]) ? {} : { low: t.p99_interval[0], high: t.p99_interval[1] }) }] : [])),
  }
}

/**
 * p99 of TTFT if all were one server of the same capacity and the textbook's kind (M/M/1): the wait, of
 * which P(W > t) = ρ·e^(−(μ − λ)t) (Kleinrock 1975), and what a quiet hour's median takes besides.
 */
export function textbook({ curve }: CongestionReading): { x: number; y: number }[] {
  const { capacity, points } = curve
  const alone = p50(points[0]!)
  if (capacity === undefined || alone === undefined) return []
  return points.filter(({ x }) => x < 1).map(({ x }) => ({ x: 100 * x, y: alone + Math.max(0, (Math.log(100 * x) * 1000) / (capacity * (1 - x))) }))
}
