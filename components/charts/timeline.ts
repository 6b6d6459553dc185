import { segments, type Phase } from '$engine/trace/phases'
import type { Event, Trace } from '$engine/trace/trace'

export interface TimelineRow {
  request: number
  /** Stages up to the playhead, ms on the Trace's clock. */
  stages: { kind: Phase; start: number; end: number }[]
  finished: boolean
}

/** One row a request in order of arrival, as things stood at `at`; those that have not arrived yet have no stages. */
export function timelineRows(trace: Trace, at: number): TimelineRow[] {
  // segments() goes through all events it is given: each request gets its own, or 400 requests would cost 400 passes.
  const byRequest = new Map<number, Event[]>()
  for (const e of trace.events) {
    const own = byRequest.get(e.request)
    if (own) own.push(e)
    else byRequest.set(e.request, [e])
  }
  return [...trace.requests]
    .sort((a, b) => a.arrival - b.arrival || a.id - b.id)
    .map((record) => {
      const events = byRequest.get(record.id) ?? []
      const stages = segments({ ...trace, requests: [record], events }, record.id)
        .filter((s) => s.start < at)
        .map((s) => ({ ...s, end: Math.min(s.end, at) }))
      return { request: record.id, stages, finished: events.some((e) => e.kind === 'finished' && e.t <= at) }
    })
}

/** When the last thing happened, ms. */
export function traceEnd(trace: Trace): number {
  return trace.events.reduce((t, e) => Math.max(t, e.t), 0)
}
