import { measured } from '$components/frame/measured'
import { perRequest } from '$engine/trace/metrics'
import type { Quantity, Unit } from '$engine/trace/quantity'
import type { Trace } from '$engine/trace/trace'
import type { Simulated } from '$engine/worker/protocol'
import { BURST, LINK, POLICIES, USERS, type ByPolicy, type CacheReading, type Policy } from './experiment'

export interface Kept {
  policy: Policy
  median: Quantity
  /** p99 of TTFT, of TPOT. */
  tail: Quantity
  tpot: Quantity
  rate: Quantity
  /** Of a thousand requests so many gave way. */
  preempted: Quantity
  /** …and so many went to the host, where there is one. */
  offloaded?: Quantity
  /** Of the memory that is taken, the share without a token in it, %. */
  waste: Quantity
  /** Output tokens of all users. */
  throughput: Quantity
  /** Shares of the pool, %: used, kept empty, holes too small for who waits. */
  shares: { used: number; empty: number; holes: number }
}

/** What one way to keep the cache came to; undefined where nobody was answered. */
export function kept(policy: Policy, { summary: s, provenance }: Simulated): Kept | undefined {
  const { ttft_ms: t, tpot_ms: tpot, kv_memory: m } = s
  if (!t || !tpot || !m) return undefined
  const q = (metric: string, value: number, unit: Unit, extra: Partial<Quantity> = {}): Quantity => ({ metric, value, unit, provenance, note: `${s.completed.toLocaleString('en')} simulated requests of ${USERS} users, each asking again after the answer`, ...extra })
  const per1k = (n: number) => (1000 * n) / s.completed
  const empty = m.reserved + m.internal
  const band = (of: typeof t) => (Number.isNaN(of.p99_interval[0]) ? {} : { interval: of.p99_interval })
  return {
    policy,
    median: q('p50_ttft', t.p50, 'ms'), tail: q('p99_ttft', t.p99, 'ms', band(t)), tpot: q('p99_tpot', tpot.p99, 'ms/token', band(tpot)), rate: q('decode_rate', 1000 / tpot.p50, 'tok/s'),
    preempted: q('preemptions', per1k(s.preemptions), '', { note: 'in 1,000 requests: blocks given back, and all computed again', formula: String.raw`1000 \cdot \frac{\text{preemptions}}{\text{requests}}` }),
    offloaded: policy === 'offload' ? q('offloads', per1k(s.offloads), '', { note: `in 1,000 requests: all layers but a few went to the host over a link of ${LINK / 1e9} GB/s, and came back` }) : undefined,
    waste: q('kv_waste', (100 * (empty + m.external)) / (m.used + empty + m.external), '%', { formula: String.raw`\frac{\text{kept empty} + \text{holes}}{\text{used} + \text{kept empty} + \text{holes}}`, note: 'vLLM found 60 to 80 % before paging, less than 4 % after (SOSP 2023)' }),
    throughput: q('throughput', s.output_throughput, 'tok/s'),
    shares: { used: 100 * m.used, empty: 100 * empty, holes: 100 * m.external },
  }
}

export const all = (by: ByPolicy<Simulated>): Kept[] => POLICIES.flatMap((policy) => kept(policy, by[policy]) ?? [])

/** p99 of TTFT against memory. */
export function tails({ curve }: CacheReading, policy: Policy): { x: number; y: number; low?: number; high?: number }[] {
  return curve.flatMap(({ memory, by }) => {
    const t = by[policy].summary.ttft_ms
    return t ? [{ x: memory, y: t.p99, ...(Number.isNaN(t.p99_interval[0]) ? {} : { low: t.p99_interval[0], high: t.p99_interval[1] }) }] : []
  })
}

/** p99 of one way against another's. */
export function against(one: Kept, other: Kept): Quantity {
  return { metric: 'p99_ratio', value: one.tail.value / other.tail.value, unit: '×', provenance: one.tail.provenance, formula: String.raw`p_{99} / p_{99}'` }
}

const count = (trace: Trace) => trace.events.filter((e) => e.kind === 'preempted').length

export interface Burst {
  /** Times that a request of the burst gave way. */
  preempted: Quantity
  /** The same requests in virtual time. */
  simulated: Quantity
  /** Longest time between two tokens of one request. */
  pause: Quantity
}

/** What the live burst came to, beside the simulated one; undefined until all of it is served. */
export function burst(live: Trace | undefined, simulated: Trace): Burst | undefined {
  if (!live) return undefined
  const done = perRequest(live)
  if (done.length < live.requests.length || done.length === 0) return undefined
  const gaps = done.flatMap((r) => r.itl)
  return {
    preempted: measured(live, 'preemptions', count(live), '', { note: `${BURST} requests at once` }),
    simulated: measured(simulated, 'preemptions', count(simulated), '', { note: `the same ${BURST} requests in virtual time, all there at once; live each comes when it is tokenized` }),
    pause: measured(live, 'max_itl', Math.max(...gaps), 'ms', { samples: gaps, formula: String.raw`\max_i\,(t_{i+1} - t_i)` }),
  }
}

/** A burst until the last of it has a place: as long as memory is asked for by more than there is room for. */
export function whileCrowded(trace: Trace): Trace {
  const last = trace.events.reduce((t, e) => (e.kind === 'scheduled' ? Math.max(t, e.t) : t), 0)
  return { ...trace, events: trace.events.filter((e) => e.t <= last), steps: trace.steps.filter((s) => s.start <= last) }
}

/** Positions in the same memory, int8 against what is held else. */
export function positions({ times, set, apart }: CacheReading): Quantity {
  return {
    metric: 'kv_positions', value: times, unit: '×', provenance: set.int8.provenance, formula: String.raw`\frac{\text{bytes of a position}}{\text{bytes in int8}}`,
    note: apart ? 'one scale for each position and head' : 'step costs of f32: this runner holds keys and values in nothing else',
  }
}
