import type { Milliseconds, Trace } from './trace'

export type Phase = 'network' | 'queue' | 'prefill' | 'decode'

export interface Segment {
  kind: Phase
  start: Milliseconds
  end: Milliseconds
}

/**
 * The stages of one request as the client lives through them, without gaps, from its scheduled arrival
 * to its last token (or to the last thing that happened, while it runs): network out, queue (until the
 * first step that computes it starts; again after a preemption), prefill (until its first token),
 * decode. Stages of no length are left out.
 */
export function segments(trace: Trace, request: number): Segment[] {
  const record = trace.requests.find((r) => r.id === request)
  if (!record) return []
  const marks: { kind: Phase; start: Milliseconds }[] = [{ kind: 'network', start: record.arrival }]
  let end = record.arrival
  let hasToken = false
  for (const e of trace.events) {
    if (e.request !== request) continue
    if (e.kind === 'gateway' || e.kind === 'queued' || e.kind === 'preempted') marks.push({ kind: 'queue', start: e.t })
    else if (e.kind === 'scheduled') marks.push({ kind: hasToken ? 'decode' : 'prefill', start: e.t })
    else if (e.kind === 'token' && !hasToken) {
      hasToken = true
      marks.push({ kind: 'decode', start: e.t })
    }
    if (e.kind !== 'finished' || end === record.arrival) end = Math.max(end, e.t)
  }
  const out: Segment[] = []
  for (const [i, mark] of marks.entries()) {
    const until = marks[i + 1]?.start ?? end
    if (until <= mark.start) continue
    const last = out[out.length - 1]
    if (last?.kind === mark.kind) last.end = until
    else out.push({ kind: mark.kind, start: mark.start, end: until })
  }
  return out
}

/** Time of each stage, ms, summed over its segments. */
export function phaseTimes(trace: Trace, request: number): Record<Phase, Milliseconds> {
  const sum: Record<Phase, Milliseconds> = { network: 0, queue: 0, prefill: 0, decode: 0 }
  for (const s of segments(trace, request)) sum[s.kind] += s.end - s.start
  return sum
}

/** Concatenates an update to a Trace in place: Traces only ever grow. */
export function append(trace: Trace, update: Pick<Trace, 'requests' | 'events' | 'steps'>): Trace {
  for (const r of update.requests) trace.requests.push(r)
  for (const e of update.events) trace.events.push(e)
  for (const s of update.steps) trace.steps.push(s)
  return trace
}
