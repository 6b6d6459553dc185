import { roundTicks } from '$components/charts/frame'
import { segments, type Segment } from '$engine/trace/phases'
import type { Trace } from '$engine/trace/trace'

export interface RulerData {
  /** Stages up to the playhead, in ms since the request's scheduled arrival. */
  stages: Segment[]
  /** One a token after the first: from the token before it (or the stage's start) to itself. */
  tokens: { start: number; end: number }[]
  /** When the first token came, once it has. */
  ttft?: number
  /** How far the ruler is drawn: the playhead, or the end of the request. */
  reached: number
  /** Where the request stands in the whole Trace: end of its last event, ms since arrival. */
  last: number
  finished: boolean
}

/** What a ruler shows of one request at time `at`; undefined for a request that is not in the Trace. */
export function rulerAt(trace: Trace, request: number, at: number): RulerData | undefined {
  const record = trace.requests.find((r) => r.id === request)
  if (!record) return undefined
  const since = (t: number) => t - record.arrival
  const events = trace.events.filter((e) => e.request === request)
  const over = events.find((e) => e.kind === 'finished' || e.kind === 'failed' || e.kind === 'rejected')
  const whole = segments(trace, request).map((s) => ({ kind: s.kind, start: since(s.start), end: since(s.end) }))
  const now = since(at)

  // What is still going on has no end yet: it is drawn up to the playhead.
  const lastEnd = whole.at(-1)?.end ?? 0
  if (!over && now > lastEnd) {
    const open = openPhase(events)
    const tail = whole.at(-1)
    if (tail?.kind === open) tail.end = now
    else whole.push({ kind: open, start: lastEnd, end: now })
  }
  const stages = whole.filter((s) => s.start < now).map((s) => ({ ...s, end: Math.min(s.end, now) }))

  const times = events.filter((e) => e.kind === 'token').map((e) => since(e.t))
  const tokens: { start: number; end: number }[] = []
  for (let i = 1; i < times.length && times[i]! <= now; i++) {
    const end = times[i]!
    const stage = whole.find((s) => s.kind === 'decode' && s.start < end && end <= s.end)
    tokens.push({ start: Math.max(times[i - 1]!, stage?.start ?? 0), end })
  }
  const first = times[0]
  const last = Math.max(0, ...events.map((e) => since(e.t)))
  return {
    stages,
    tokens,
    ttft: first !== undefined && first <= now ? first : undefined,
    reached: Math.max(0, over ? Math.min(now, last) : now),
    last,
    finished: over !== undefined && since(over.t) <= now,
  }
}

function openPhase(events: Trace['events']): Segment['kind'] {
  let phase: Segment['kind'] = 'network'
  let hasToken = false
  for (const e of events) {
    if (e.kind === 'gateway' || e.kind === 'queued' || e.kind === 'preempted') phase = 'queue'
    else if (e.kind === 'scheduled') phase = hasToken ? 'decode' : 'prefill'
    else if (e.kind === 'token') {
      hasToken = true
      phase = 'decode'
    }
  }
  return phase
}

const STEPS = [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10]

/** The smallest round end of an axis that holds `value`: it moves seldom while the value grows. */
export function roundEnd(value: number): number {
  if (!(value > 0)) return 100
  const decade = 10 ** Math.floor(Math.log10(value))
  return STEPS.find((s) => s * decade >= value * (1 - 1e-9))! * decade
}

/** At most seven round ticks from 0 to `end`, fewer where labels would crowd. */
export function axisTicks(end: number, width: number): number[] {
  return roundTicks(0, end, Math.min(7, Math.max(3, Math.floor(width / 110))))
}
