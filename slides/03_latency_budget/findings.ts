import { byPhase, ofRequest } from '$components/frame/measured'
import type { Tone } from '$components/controls/params'
import { BOTTLENECKS, stepAttribution, total, type Attribution } from '$engine/trace/bottleneck'
import { segments } from '$engine/trace/phases'
import type { Provenance } from '$engine/trace/provenance'
import type { Quantity } from '$engine/trace/quantity'
import type { Trace } from '$engine/trace/trace'
import type { Part, TalkWorkload } from '../workloads'
import type { BudgetReading } from './experiment'
import type { Worked, WorkedRow } from './worked'

/** What the reader has set of how the same runs are looked at. */
export interface Setting {
  rtt: number
  stream: boolean
}

/** A stage of the ruler, as BudgetBar draws it, and how it is known. */
export interface Stage {
  label: string
  ms: number
  start: number
  tone: Tone
  how: Provenance['how']
  provenance: Provenance
  budget?: number
  exempt?: boolean
  /** The part of the workload it is, where nobody here measured it. */
  part?: Part
}

/** Nobody's measurement: a length of wire that the reader set. */
const asSet = (rtt: number): Provenance => ({ how: 'published', source: 'set on this slide', conditions: `a round trip of ${rtt} ms, half of it each way` })

const publishedBy = ({ origin, range }: Part): Provenance => origin === 'assumed'
  ? { how: 'published', source: 'assumed for this talk', conditions: 'nobody measured it' }
  : { how: 'published', source: origin.source, conditions: range ? `${origin.conditions}; usually ${range[0]} to ${range[1]} ms` : origin.conditions }

/** What a live call took, alone. Undefined before its first token. */
function callTimes(trace: Trace): { prefill: number; decode: number; tokens: number; toTokens: (n: number) => number; out: number } | undefined {
  const id = trace.requests[0]?.id
  const times = trace.events.filter((e) => e.kind === 'token').map((e) => e.t)
  if (id === undefined || times.length === 0) return undefined
  const sum = (kind: 'prefill' | 'decode') => segments(trace, id).filter((s) => s.kind === kind).reduce((ms, s) => ms + s.end - s.start, 0)
  return { prefill: sum('prefill'), decode: sum('decode'), tokens: trace.requests[0]!.promptTokens, out: times.length, toTokens: (n) => times[Math.min(n, times.length) - 1]! - times[0]! }
}

/**
 * The whole way of one request as stages on one clock, ms: what is measured, what is simulated, and what others have
 * published. What is streamed overlaps; what comes after the first token (or sound) is then no longer waited for.
 */
export function stages({ workload, calls, line }: BudgetReading, { rtt, stream }: Setting): Stage[] {
  const out: Stage[] = []
  let now = 0
  const put = (label: string, ms: number, tone: Tone, provenance: Provenance, more: Partial<Stage> = {}) => {
    if (!(ms > 0)) return
    const start = more.start ?? now
    const taken = out.filter((s) => s.label.replace(/ \d$/, '') === label).length
    out.push({ label: taken ? `${label} ${taken + 1}` : label, ms, tone, provenance, how: provenance.how, ...more, start })
    now = Math.max(now, start + ms)
  }
  const elsewhere = (parts: readonly Part[]) => {
    for (const part of parts) put(part.name, part.ms, 'neutral', publishedBy(part), { part, start: stream && part.beside ? Math.max(0, now - part.ms) : undefined })
  }
  put('wire', rtt / 2, 'neutral', asSet(rtt))
  elsewhere(workload.before)
  const text = calls[0]?.text
  for (const [i, trace] of calls.entries()) {
    const call = callTimes(trace)
    const last = i === workload.calls - 1
    if (i > 0) elsewhere(workload.between)
    if (text) put('tokenize', text.encodeMs * trace.requests[0]!.promptTokens, 'neutral', trace.provenance)
    if (line) put('queue', line.summary.wait_ms?.mean ?? 0, 'queue', line.provenance, { budget: allowed(workload, call?.prefill ?? 0) })
    if (!call) return out
    put('prefill', call.prefill, 'prefill', trace.provenance, { budget: workload.slo.ttftMs ?? undefined })
    const decoding = { budget: workload.slo.tpotMs === null ? undefined : workload.slo.tpotMs * (call.out - 1) }
    if (!last) {
      put('decode', call.decode, 'decode', trace.provenance, decoding)
      continue
    }
    const speech = workload.after
    const ready = stream ? Math.max(1, ...speech.map((p) => p.tokens ?? 1)) : call.out
    const first = call.toTokens(ready)
    const made = now
    if (!stream || ready > 1) put('decode', stream ? first : call.decode, 'decode', trace.provenance, stream ? {} : decoding)
    if (text) put('detokenize', text.decodeMs * ready, 'neutral', trace.provenance)
    elsewhere(speech)
    put('wire back', rtt / 2, 'neutral', asSet(rtt))
    if (stream && call.out > ready) put(ready > 1 ? 'the rest' : 'decode', call.decode - first, 'decode', trace.provenance, { ...decoding, exempt: true, start: ready > 1 ? made + first : undefined })
  }
  return out
}

/** What the limit on TTFT leaves the line beside the prefill. */
const allowed = ({ slo }: TalkWorkload, prefill: number) => (slo.ttftMs === null ? undefined : Math.max(0, slo.ttftMs - prefill))

export interface Findings {
  /** Until prefill starts, and its share of the wait. */
  before: Quantity
  beforeShare: Quantity
  /** Until the first token, sound or whole answer is there. */
  waited: Quantity
  /** What patience leaves the model when its turn comes. */
  leftForModel: Quantity
  /** What patience has left; negative: it is used up. */
  left: Quantity
  /** Share of it that is used. */
  used: Quantity
  largest: { label: string; quantity: Quantity }
  /** Where the wait went, by the five places. */
  attribution: Attribution
  ttft?: Quantity
  rate?: Quantity
}

const SUM = String.raw`\text{wait} = \mathrm{RTT} + t_{\text{gateway}} + t_{\text{lookup}} + t_{\text{queue}} + t_{\text{prefill}} + \dots`

/** What the ruler says; undefined until its line is simulated. */
export function findings(reading: BudgetReading, setting: Setting): Findings | undefined {
  const { workload, line, trace } = reading
  if (!line) return undefined
  const all = stages(reading, setting)
  const held = all.filter((s) => !s.exempt)
  const prefill = all.find((s) => s.label === 'prefill')
  if (!prefill) return undefined
  const waited = Math.max(...held.map((s) => s.start + s.ms))
  const note = held.map((s) => `${s.label} ${s.how}`).join(', ')
  // The sum is no better known than its line, which is simulated from this machine's own steps.
  const sum = (metric: string, value: number, unit: Quantity['unit']): Quantity => ({ metric, value, unit, provenance: line.provenance, formula: SUM, note })
  const largest = largestOf(held)
  const own = ofRequest(trace, trace.requests[0]!.id)
  return {
    before: sum('before_model', prefill.start, 'ms'),
    beforeShare: sum('before_share', (100 * prefill.start) / waited, '%'),
    waited: sum(setting.stream ? 'ttft' : 'e2e', waited, 'ms'),
    leftForModel: seconds('left_for_model', workload.patience.ms - prefill.start, sum),
    left: sum('patience_left', workload.patience.ms - waited, 'ms'),
    used: sum('patience_used', (100 * waited) / workload.patience.ms, '%'),
    largest: { label: largest.label, quantity: { metric: 'largest_part', value: largest.ms, unit: 'ms', provenance: largest.provenance } },
    attribution: attributionOf(reading, setting, held),
    ttft: setting.stream ? sum('ttft', waited, 'ms') : undefined,
    rate: own?.rate,
  }
}

/** A night is not told in milliseconds. */
const seconds = (metric: string, ms: number, sum: (metric: string, value: number, unit: Quantity['unit']) => Quantity) => (ms < 60_000 ? sum(metric, ms, 'ms') : sum(metric, ms / 1000, 's'))

/** The calls' own time by what bound their steps, the line, the wire; what others do on the way is overhead. */
function attributionOf({ calls }: BudgetReading, { rtt }: Setting, held: readonly Stage[]): Attribution {
  const sum: Attribution = { compute: 0, memory: 0, queue: 0, network: rtt, overhead: 0 }
  for (const s of held) {
    if (s.tone === 'queue') sum.queue += s.ms
    else if (s.tone === 'neutral' && !s.label.startsWith('wire')) sum.overhead += s.ms
  }
  // Of the model's own stages as much as is waited for.
  for (const phase of ['prefill', 'decode'] as const) {
    const waited = held.filter((s) => s.tone === phase).reduce((ms, s) => ms + s.ms, 0)
    const own: Attribution = { compute: 0, memory: 0, queue: 0, network: 0, overhead: 0 }
    for (const trace of calls) for (const step of byPhase(trace)[phase]) {
      if (!trace.roofs) continue
      const { bound, bindingMs, overheadMs } = stepAttribution(step, trace.roofs)
      own[bound] += bindingMs
      own.overhead += overheadMs
    }
    const whole = total(own)
    if (whole > 0) for (const place of BOTTLENECKS) sum[place] += (own[place] / whole) * waited
  }
  return sum
}

/** The largest by what it is, not by how often it comes: two lines are one queue. */
function largestOf(held: readonly Stage[]): { label: string; ms: number; provenance: Provenance } {
  const kinds = new Map<string, { label: string; ms: number; provenance: Provenance }>()
  for (const s of held) {
    const label = s.label.replace(/ (\d|back)$/, '')
    const kind = kinds.get(label) ?? { label, ms: 0, provenance: s.provenance }
    kinds.set(label, { ...kind, ms: kind.ms + s.ms })
  }
  return [...kinds.values()].reduce((a, b) => (b.ms > a.ms ? b : a))
}

/** What the user waits for, in words. */
export function waitsFor(workload: TalkWorkload, stream: boolean): string {
  return stream ? (workload.after.length > 0 ? 'first sound' : 'first token') : 'whole answer'
}

/** Parts that nobody here measured, and the tokenizer's: numbers to click on. */
export function cited(all: readonly Stage[]): { label: string; quantity: Quantity }[] {
  const seen = new Set<string>()
  return all.flatMap(({ label, ms, provenance, part }) => {
    const small = /tokenize/.test(label)
    if ((!part && !small) || seen.has(label)) return []
    seen.add(label)
    return [{ label, quantity: { metric: `part_${label.replace(/ /g, '_')}`, value: ms, unit: 'ms' as const, provenance } }]
  })
}

const MODEL_PARTS = { queue: 'queue', prefill: 'prefill', decode: 'decode' } as const

/** A row of the worked case as BudgetBar draws it: what is no engine's work is one stage. */
export function workedStages({ parts }: WorkedRow, { provenance }: Worked): Omit<Stage, 'start'>[] {
  const published: Provenance = { how: 'published', source: 'the RAG workload of this slide', conditions: 'wire, gateway and lookup' }
  const before = parts.network + parts.gateway + parts.retrieval
  return [
    { label: 'way, lookup', ms: before, tone: 'neutral', provenance: published, how: published.how },
    ...Object.values(MODEL_PARTS).filter((part) => parts[part] > 0).map((part) => ({ label: part, ms: parts[part], tone: part, provenance, how: provenance.how })),
  ]
}

export interface WorkedFindings {
  from: Quantity
  to: Quantity
  instead: Quantity
  /** In the order in which they were made. */
  fixes: string[]
}

export function workedFindings({ rows, instead, provenance }: Worked): WorkedFindings {
  const total = (metric: string, { total: ms }: WorkedRow): Quantity => ({ metric, value: ms / 1000, unit: 's', provenance, note: 'means over the same arrivals; one H100, Llama-3.1-8B, eight places, 95 % load' })
  return { from: total('worked_from', rows[0]!), to: total('worked_to', rows.at(-1)!), instead: total('worked_instead', instead), fixes: rows.flatMap((r) => r.fix?.name ?? []) }
}
