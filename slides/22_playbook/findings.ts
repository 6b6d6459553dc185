import { binding, BOTTLENECKS, total, type Attribution, type Bottleneck } from '$engine/trace/bottleneck'
import type { Provenance } from '$engine/trace/provenance'
import type { Quantity } from '$engine/trace/quantity'
import { LEVERS, REQUEST_LEVERS, type Board, type Lever, type Pulled } from '../levers'
import { SUPPORT, type PlaybookReading } from './experiment'
import { EFFORT, QUALITY, SLIDE_OF, SYMPTOMS, type Act, type Symptom } from './symptoms'

export const HOST = { lever: 'host', label: 'Host, proxy, client', acts: ['overhead', 'network'] } as const satisfies { lever: Act; label: string; acts: readonly Bottleneck[] }
const ALL: readonly { lever: Act; label: string; acts: readonly Bottleneck[] }[] = [...LEVERS, ...REQUEST_LEVERS, HOST]

export const symptomOf = (id: string): Symptom | undefined => SYMPTOMS.find((s) => s.id === id)

export interface Ranked {
  lever: Act
  label: string
  acts: readonly Bottleneck[]
  /** What it does to the figure in question, in %; null: cannot be told; undefined: not simulated (yet). */
  gain?: Quantity | null
  cost?: Quantity | null
  quality: Quantity | string
  effort: string
  /** What is different, or why it cannot be pulled here. */
  says?: string
  slide: string
}

/** What quality is measured by: a test's score, or how well a passage is predicted (fewer bits are better). */
export const qualityName = (q: Quantity) => (q.metric === 'quality_change' ? 'MMLU' : 'bits')

/** A few thousand simulated requests tell no tenth of a hundredth from none. */
const RESOLUTION = 0.1
const told = <Q extends Quantity | null | undefined>(q: Q): Q => (q ? { ...q, resolution: RESOLUTION } : q)

/** All levers, those that lower the figure most first; then those that act on nothing that is measured here. */
export function ranked(board: Board | undefined, metric: Symptom['metric']): Ranked[] {
  const worth = (r: Ranked) => r.gain?.value ?? (r.says === undefined ? 1e6 : 1e9)
  return ALL.map(({ lever, label, acts }): Ranked => {
    const p: Pulled | undefined = lever === 'host' ? undefined : board?.pulled[lever]
    return {
      lever, label, acts, slide: SLIDE_OF[lever], effort: EFFORT[lever],
      gain: p && p.after ? told(p.effects[metric] ?? null) : undefined, cost: told(p?.effects.cost), quality: told(p?.effects.quality) ?? QUALITY[lever],
      says: lever === 'host' ? 'No simulation knows the host: compare with and without.' : p?.says,
    }
  }).sort((a, b) => worth(a) - worth(b))
}

/** Which lever is worth most against the figure, of those whose gain is no accident of the draw. */
export const best = (rows: readonly Ranked[]): Ranked | undefined => rows.find((r) => r.gain && r.gain.value < -1)

export interface Named {
  bottleneck: Bottleneck
  share: Quantity
}

/** The bottleneck of what was diagnosed, and of the time until the first token. */
export function named(parts: Attribution | undefined, provenance: Provenance): Named | undefined {
  const bottleneck = parts && binding(parts)
  if (!bottleneck) return undefined
  return {
    bottleneck,
    share: { metric: 'bottleneck_share', value: (100 * parts[bottleneck]) / total(parts), unit: '%', provenance, formula: String.raw`\frac{\text{ms of it}}{\text{E2E}}`, note: BOTTLENECKS.map((b) => `${b} ${Math.round((100 * parts[b]) / total(parts))} %`).join(', ') },
  }
}

/** How far the simulation that levers are judged by is off from the file, at worst of its means. */
export function fitError({ diagnosis }: PlaybookReading): Quantity | undefined {
  if (!diagnosis) return undefined
  const { mean_ttft, mean_tpot, mean_e2e, tail_ttft } = diagnosis.served.error
  const means = Object.entries({ TTFT: mean_ttft, TPOT: mean_tpot, E2E: mean_e2e }).filter(([, v]) => Number.isFinite(v))
  if (means.length === 0) return undefined
  const percent = (v: number) => `${v < 0 ? '−' : '+'}${Math.abs(100 * v).toFixed(1)} %`
  return {
    metric: 'fit_error', value: 100 * Math.max(...means.map(([, v]) => Math.abs(v))), unit: '%',
    provenance: { how: 'simulated', seed: 1, costs: diagnosis.provenance }, formula: String.raw`\max \left| \frac{\text{simulated}}{\text{observed}} - 1 \right|`,
    note: `${[...means, ...(Number.isFinite(tail_ttft) ? [[diagnosis.source.used < 300 ? 'p90 TTFT' : 'p99 TTFT', tail_ttft] as [string, number]] : [])].map(([k, v]) => `${k} ${percent(v)}`).join(', ')}; ${diagnosis.source.used} of ${diagnosis.source.requests} requests`,
  }
}

export interface Case {
  machines: number
  /** $ a day. */
  dollars: Quantity
  load: Quantity
}

/** The worked case in machines and money. */
export function worked({ board, rate, machines }: PlaybookReading): Case | undefined {
  if (!board || rate === undefined || machines === undefined) return undefined
  const { simulated, capacity } = board.before
  const { provenance } = simulated
  const cost = (n: number): Quantity => ({ metric: 'cost_a_day', value: 24 * SUPPORT.price * n, unit: '$', provenance, formula: String.raw`24\,\text{h} \cdot \$/\text{h} \cdot \text{machines}`, note: `${n} ${n === 1 ? 'machine' : 'machines'} at $${SUPPORT.price} an hour, an assumption` })
  return {
    machines, dollars: cost(machines),
    load: { metric: 'peak_load', value: (100 * rate) / capacity, unit: '%', provenance, formula: String.raw`\frac{\lambda_\text{peak}}{\text{capacity}}`, note: `${rate.toFixed(2)} req/s in the busiest hour, ${capacity.toFixed(2)} req/s sustained` },
  }
}

/** Ours: what a technique does to throughput where the machines are full. */
export function throughput(board: Board | undefined, lever: Act): Quantity | undefined {
  const p = lever === 'host' ? undefined : board?.pulled[lever]
  if (!p?.after || !board) return undefined
  return { metric: 'throughput_gain', value: p.after.capacity / board.before.capacity, unit: '×', provenance: p.after.simulated.provenance, formula: String.raw`\frac{\text{req/s sustained after}}{\text{req/s sustained before}}`, note: p.says }
}

const published = (metric: string, value: number, unit: Quantity['unit'], source: string, conditions: string): Quantity => ({ metric, value, unit, provenance: { how: 'published', source, conditions } })

/** What others measured of the same techniques, on other machines and traffic: to be read beside ours, not against it. */
export const PUBLISHED: Partial<Record<Lever, { ttft?: Quantity; throughput?: Quantity }>> = {
  batching: { throughput: published('throughput_gain', 2.6, '×', 'Sarathi-Serve (OSDI 2024)', 'chunked prefill, Mistral-7B, A100, at equal latency') },
  cache: { ttft: published('ttft_change', -56, '%', 'LMSYS, HiCache (2025)', 'a second tier in host memory'), throughput: published('throughput_gain', 6.4, '×', 'SGLang, RadixAttention (2024)', 'at most, by workload') },
  speculation: { throughput: published('throughput_gain', 1.39, '×', 'DynaTree', 'Pythia-2.8B drafted by Pythia-70M, one user, decode') },
  hardware: { throughput: published('throughput_gain', 29_228 / 21_606, '×', 'MLPerf Inference v4.1', 'Llama-2-70B, server, eight H200 for eight H100') },
  capacity: { ttft: published('ttft_change', 100 * (114 / 154 - 1), '%', 'MosaicML, LLM Inference Performance Engineering (2023)', 'Llama-2-70B, eight A100 for four, tensor parallel') },
}

/** What one reporter measured, as a figure. */
export function reported({ reported: r, source, done, confirmed }: Symptom): { from: Quantity; to: Quantity } | undefined {
  if (!r) return undefined
  const provenance: Provenance = { how: 'published', source, conditions: `${r.of}; one reporter, ${done}${confirmed ? '' : '; cause suspected'}` }
  return { from: { metric: 'reported', value: r.from, unit: r.unit, provenance }, to: { metric: 'reported', value: r.to, unit: r.unit, provenance } }
}
