import { percentile, perRequest, type RequestMetrics } from '$engine/trace/metrics'
import type { MetricName, Quantity, Unit } from '$engine/trace/quantity'
import type { Step, Trace } from '$engine/trace/trace'

/** Below this many requests a 99th percentile is one or two of them: p90 and the maximum are shown instead. */
export const ENOUGH_FOR_P99 = 300

/** A shorter stretch of clock is shown with what the clock can tell apart. */
const LONG_ENOUGH_MS = 20

const TTFT = String.raw`\mathrm{TTFT} = t_{\text{first token}} - t_{\text{arrival}}`
const TPOT = String.raw`\mathrm{TPOT} = \frac{\mathrm{E2E} - \mathrm{TTFT}}{N - 1}`
const RATE = String.raw`\frac{1000}{\mathrm{TPOT}}`
const E2E = String.raw`\mathrm{E2E} = t_{\text{last token}} - t_{\text{arrival}}`

export const FORMULAS = { ttft: TTFT, tpot: TPOT, rate: RATE, e2e: E2E }

/** A number read off a Trace: it is known as the Trace is known. */
export function measured(trace: Trace, metric: MetricName, value: number, unit: Unit, more: Partial<Quantity> = {}): Quantity {
  return { metric, value, unit, provenance: trace.provenance, note: runOf(trace), ...more }
}

/** "60 requests, tales-5m" */
export function runOf(trace: Trace): string {
  const p = trace.provenance
  const model = p.how === 'measured' || p.how === 'recorded' ? `, ${p.device.model}` : ''
  const n = trace.requests.length
  return `${n} ${n === 1 ? 'request' : 'requests'}${model}`
}

/** What the clock could tell, where the stretch timed was short. */
function resolved(trace: Trace, spanMs: number, perToken = 1): Partial<Quantity> {
  return spanMs < LONG_ENOUGH_MS && trace.resolution !== undefined ? { resolution: trace.resolution / perToken } : {}
}

export interface RequestQuantities {
  ttft: Quantity
  /** Undefined where there was one token only. */
  tpot?: Quantity
  rate?: Quantity
  e2e: Quantity
}

/** TTFT, TPOT, tok/s and E2E of one finished request (REFERENCE §1); undefined while it runs. */
export function ofRequest(trace: Trace, request: number): RequestQuantities | undefined {
  const m = perRequest(trace).find((r) => r.request === request)
  return m && fromMetrics(trace, m)
}

export function fromMetrics(trace: Trace, m: RequestMetrics): RequestQuantities {
  const gaps = m.outputTokens - 1
  const decoding = m.e2e - m.ttft
  const tpot = m.tpot === undefined ? undefined
    : measured(trace, 'tpot', m.tpot, 'ms/token', { formula: TPOT, samples: m.itl, ...resolved(trace, decoding, gaps) })
  return {
    ttft: measured(trace, 'ttft', m.ttft, 'ms', { formula: TTFT, ...resolved(trace, m.ttft) }),
    tpot,
    rate: m.tpot === undefined ? undefined : measured(trace, 'decode_rate', 1000 / m.tpot, 'tok/s', { formula: RATE }),
    e2e: measured(trace, 'e2e', m.e2e, 'ms', { formula: E2E, ...resolved(trace, m.e2e) }),
  }
}

/** Median TTFT and median decode rate over all finished requests; undefined before the first. */
export function typical(trace: Trace): { ttft?: Quantity; tpot?: Quantity; rate?: Quantity } {
  const all = perRequest(trace)
  const ttfts = all.map((r) => r.ttft)
  const tpots = all.flatMap((r) => r.tpot ?? [])
  const tpot = tpots.length ? percentile(tpots, 50) : undefined
  return {
    ttft: ttfts.length ? measured(trace, 'p50_ttft', percentile(ttfts, 50), 'ms', { formula: TTFT, samples: ttfts }) : undefined,
    tpot: tpot === undefined ? undefined : measured(trace, 'p50_tpot', tpot, 'ms/token', { formula: TPOT, samples: tpots }),
    rate: tpot === undefined ? undefined : measured(trace, 'decode_rate', 1000 / tpot, 'tok/s', { formula: RATE, samples: tpots.map((t) => 1000 / t) }),
  }
}

/** The tail of TTFT by the small-sample rule: p99 from 300 requests on, the maximum below. */
export function tail(trace: Trace): Quantity | undefined {
  const ttfts = perRequest(trace).map((r) => r.ttft)
  if (ttfts.length === 0) return undefined
  return ttfts.length >= ENOUGH_FOR_P99
    ? measured(trace, 'p99_ttft', percentile(ttfts, 99), 'ms', { formula: TTFT, samples: ttfts })
    : measured(trace, 'max_ttft', Math.max(...ttfts), 'ms', { formula: TTFT, samples: ttfts })
}

export function percentileOf(trace: Trace, p: 50 | 90): Quantity | undefined {
  const ttfts = perRequest(trace).map((r) => r.ttft)
  return ttfts.length ? measured(trace, `p${p}_ttft`, percentile(ttfts, p), 'ms', { formula: TTFT, samples: ttfts }) : undefined
}

/** Steps that computed prompt tokens, and steps that only decoded. */
export function byPhase(trace: Trace): { prefill: Step[]; decode: Step[] } {
  const prompt = new Map(trace.requests.map((r) => [r.id, r.promptTokens]))
  const prefill: Step[] = []
  const decode: Step[] = []
  for (const step of trace.steps) {
    const prefilling = step.batch.some((s) => s.context < (prompt.get(s.request) ?? 0))
    ;(prefilling ? prefill : decode).push(step)
  }
  return { prefill, decode }
}

/** Sums over steps: milliseconds, FLOPs, bytes. */
export function sums(steps: readonly Step[]): { ms: number; flops: number; bytes: number } {
  return steps.reduce((s, x) => ({ ms: s.ms + x.duration, flops: s.flops + x.flops, bytes: s.bytes + x.bytes }), { ms: 0, flops: 0, bytes: 0 })
}
