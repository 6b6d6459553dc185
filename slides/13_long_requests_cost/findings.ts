import { measured } from '$components/frame/measured'
import { perRequest } from '$engine/trace/metrics'
import type { Quantity, Unit } from '$engine/trace/quantity'
import type { Trace } from '$engine/trace/trace'
import type { Simulated } from '$engine/worker/protocol'
import { BLOCKS, FEW, OUTPUT, type Compared, type LongReading } from './experiment'

const BLOCK = 16
/** Busier than this over a whole run: a line that only grows. */
const FULL = 0.995

export interface Tails {
  /** Of the short requests. */
  median: Quantity
  tail: Quantity
  rate?: Quantity
  /** p99 against the same requests without a long one among them, on the same replicas. */
  times: Quantity
  /** Of the long ones; undefined where there are none. */
  long?: Quantity
}

/** What becomes of the short requests; undefined where nobody can serve so much. */
export function tails(s: Simulated, without: Simulated): Tails | undefined {
  const { by_length: by, verdict } = s.summary
  const [t, alone] = [by?.short.ttft_ms, without.summary.by_length?.short.ttft_ms]
  if (!by || !t || !alone || verdict) return undefined
  const q = (metric: string, value: number, unit: Unit, extra: Partial<Quantity> = {}): Quantity => ({ metric, value, unit, provenance: s.provenance, note: `${by.short.completed.toLocaleString('en')} short requests, ${by.long.completed.toLocaleString('en')} long ones, simulated on two replicas`, ...extra })
  const tpot = by.short.tpot_ms
  return {
    median: q('p50_ttft', t.p50, 'ms'),
    tail: q('p99_ttft', t.p99, 'ms', Number.isNaN(t.p99_interval[0]) ? {} : { interval: t.p99_interval }),
    rate: tpot ? q('decode_rate', 1000 / tpot.p50, 'tok/s') : undefined,
    times: q('p99_over_without', t.p99 / alone.p99, '×', { formula: String.raw`\frac{p_{99}}{p_{99}\text{ without long ones}}` }),
    long: by.long.ttft_ms ? q('p50_ttft_long', by.long.ttft_ms.p50, 'ms') : undefined,
  }
}

/** How much of the time the lane is empty, %; the lane's line only grows where it is full. */
export function lane({ lane: s }: Compared): { idle: Quantity; full: boolean } {
  const busy = s.summary.long_pool_utilisation ?? 0
  return { idle: { metric: 'lane_idle', value: 100 * (1 - busy), unit: '%', provenance: s.provenance, note: 'share of the time in which the replica kept for long requests computes nothing' }, full: busy > FULL }
}

export interface Pressure {
  /** Blocks of one long request against all of a replica's, %. */
  share: Quantity
  /** Of a thousand requests so many gave way for want of blocks. */
  preempted: Quantity
}

export function pressure(s: Simulated, longLength: number): Pressure {
  return {
    share: { metric: 'kv_share', value: (100 * Math.ceil((longLength + OUTPUT) / BLOCK)) / BLOCKS, unit: '%', provenance: s.provenance, formula: String.raw`\frac{\lceil \text{tokens} / 16 \rceil}{\text{blocks}}`, note: `of a pool of ${BLOCKS} blocks of ${BLOCK} tokens` },
    preempted: {
      metric: 'preemptions', value: (1000 * s.summary.preemptions) / Math.max(1, s.summary.completed), unit: '', provenance: s.provenance,
      note: 'in 1,000 requests: blocks given back and computed again', formula: String.raw`1000 \cdot \frac{\text{preemptions}}{\text{requests}}`,
    },
  }
}

/** Points of p99 TTFT of the short ones against the share, as long as they can be served. */
export function tailsByShare({ shares }: LongReading, of: keyof Compared): { x: number; y: number; low?: number; high?: number }[] {
  return shares.flatMap(({ share, [of]: s }) => {
    const t = s.summary.by_length?.short.ttft_ms
    if (!t || s.summary.verdict) return []
    return [{ x: share, y: t.p99, ...(Number.isNaN(t.p99_interval[0]) ? {} : { low: t.p99_interval[0], high: t.p99_interval[1] }) }]
  })
}

export interface Few {
  /** Slowest first token of the short ones. */
  slowest: Quantity
  ninety: Quantity
  /** Longest time between two tokens of a short one. */
  gap: Quantity
  /** First token of the long one. */
  long?: Quantity
}

/** What a few short requests saw, with a long one or without; undefined until all of them are done. */
export function few(trace: Trace): Few | undefined {
  const all = perRequest(trace)
  const short = all.filter((r) => r.request < FEW)
  if (all.length < trace.requests.length || short.length < FEW) return undefined
  const ttfts = short.map((r) => r.ttft)
  const gaps = short.flatMap((r) => r.itl)
  const long = all.find((r) => r.request >= FEW)
  const note = `${FEW} short requests${long ? ` and one of ${long.promptTokens.toLocaleString('en')} tokens` : ''}`
  return {
    slowest: measured(trace, 'max_ttft', Math.max(...ttfts), 'ms', { samples: ttfts, note }),
    ninety: measured(trace, 'p90_ttft', ttfts.sort((a, b) => a - b)[Math.ceil(0.9 * FEW) - 1]!, 'ms', { samples: ttfts, note }),
    gap: measured(trace, 'max_itl', Math.max(...gaps), 'ms', { samples: gaps, note, formula: String.raw`\max_i\,(t_{i+1} - t_i)` }),
    long: long && measured(trace, 'ttft_long', long.ttft, 'ms', { note }),
  }
}

/** By chunk: longest gap of a short one, and first token of the long one. */
export function byChunk({ sweep }: LongReading): { gap: { x: number; y: number }[]; long: { x: number; y: number }[] } {
  const points = sweep.flatMap(({ chunk, trace }) => {
    const found = few(trace)
    return found?.long ? [{ chunk, gap: found.gap.value, long: found.long.value }] : []
  })
  return { gap: points.map((p) => ({ x: p.chunk, y: p.gap })), long: points.map((p) => ({ x: p.chunk, y: p.long })) }
}

/** What the smallest chunk would make of the gap, and of the long one's first token against the chunk that is set. */
export function smallest({ sweep }: LongReading, chunk: number): { gap: Quantity; long: Quantity } | undefined {
  const [here, least] = [sweep.find((s) => s.chunk === chunk), sweep[0]]
  const [a, b] = [here && few(here.trace), least && few(least.trace)]
  if (!a?.long || !b?.long || chunk === least!.chunk) return undefined
  return {
    gap: b.gap,
    long: measured(least!.trace, 'long_ttft_ratio', b.long.value / a.long.value, '×', { formula: String.raw`\frac{\mathrm{TTFT}_{64}}{\mathrm{TTFT}}` }),
  }
}
