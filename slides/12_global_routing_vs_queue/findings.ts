import type { Quantity, Unit } from '$engine/trace/quantity'
import type { CurvePoint, Simulated } from '$engine/worker/protocol'
import type { RouterChoice, RoutingReading } from './experiment'

const WAIT = (p: CurvePoint) => p.summary.wait_ms?.mean

/** Mean wait in the near region at a load of its own; undefined where no load can be sustained. On a straight line between the simulated loads. */
export function waitHere({ here }: RoutingReading, load: number): Quantity | undefined {
  const { points, provenance } = here
  const after = points.findIndex((p) => p.x >= load - 1e-9)
  if (after < 0) return undefined
  const [a, b] = [points[Math.max(0, after - 1)]!, points[after]!]
  const [low, high] = [WAIT(a), WAIT(b)]
  if (low === undefined || high === undefined) return undefined
  const way = b.x - a.x < 1e-9 ? 1 : (load - a.x) / (b.x - a.x)
  return { metric: 'wait_here', value: low + way * (high - low), unit: 'ms', provenance, note: `mean wait, all requests served near; ${b.requests.toLocaleString('en')} simulated` }
}

/** Load from which the wait here is longer than the round trip; undefined where it never is. */
export function breakEven({ here }: RoutingReading, rtt: number): Quantity | undefined {
  const { points, provenance } = here
  const after = points.findIndex((p) => (WAIT(p) ?? 0) >= rtt)
  if (after < 0) return undefined
  const b = points[after]!
  const a = points[Math.max(0, after - 1)]!
  const way = after === 0 ? 0 : (rtt - WAIT(a)!) / (WAIT(b)! - WAIT(a)!)
  return { metric: 'break_even', value: 100 * (a.x + way * (b.x - a.x)), unit: '%', provenance, formula: String.raw`\overline{W}(\rho) = \mathrm{RTT}` }
}

/** The curve of the near region: load in %, mean wait in ms. */
export function waits({ here }: RoutingReading): { x: number; y: number; low: number; high: number }[] {
  return here.points.flatMap(({ x, summary: { wait_ms: w } }) => (w ? [{ x: 100 * x, y: w.mean, low: w.interval[0], high: w.interval[1] }] : []))
}

export interface Router {
  median: Quantity
  tail: Quantity
  rate?: Quantity
  /** Share of the requests that were sent over the sea. */
  away: Quantity
  /** More comes than it lets be served: its figures grow with the length of the run. */
  grows: boolean
}

/** What one router made of the arrivals. */
export function ofRouter({ summary, provenance }: Simulated): Router | undefined {
  const { ttft_ms: t, tpot_ms: tpot, regions, completed, verdict } = summary
  if (!t) return undefined
  const q = (metric: string, value: number, unit: Unit, extra: Partial<Quantity> = {}): Quantity => ({ metric, value, unit, provenance, note: `${completed.toLocaleString('en')} simulated requests, the same for every router`, ...extra })
  return {
    median: q('p50_ttft', t.p50, 'ms'),
    tail: q('p99_ttft', t.p99, 'ms', Number.isNaN(t.p99_interval[0]) ? {} : { interval: t.p99_interval }),
    rate: tpot ? q('decode_rate', 1000 / tpot.p50, 'tok/s') : undefined,
    away: q('sent_away', (100 * (regions[1]?.served ?? 0)) / Math.max(1, completed), '%'),
    grows: verdict !== null,
  }
}

/** p99 of one against another's. */
export function against(one: Simulated, other: Simulated, metric: string): Quantity | undefined {
  const [a, b] = [one.summary.ttft_ms?.p99, other.summary.ttft_ms?.p99]
  return a === undefined || !b ? undefined : { metric, value: a / b, unit: '×', provenance: one.provenance, formula: String.raw`p_{99} / p_{99}'` }
}

/** Bars of a comparison, in the order they were asked. */
export function tails(runs: Record<RouterChoice, Simulated>, name: (router: RouterChoice) => string) {
  return (Object.entries(runs) as [RouterChoice, Simulated][]).flatMap(([router, s]) => {
    const t = s.summary.ttft_ms
    return t ? [{ label: name(router), value: t.p99, how: s.provenance.how, tone: 'queue' as const, ...(Number.isNaN(t.p99_interval[0]) ? {} : { low: t.p99_interval[0], high: t.p99_interval[1] }), ...(s.summary.verdict ? { note: 'and growing' } : {}) }] : []
  })
}
