import type { Trace } from './trace'

/** One entry of the Chrome trace-event format; times in µs. */
export interface TraceEvent {
  name: string
  ph: 'X' | 'i' | 'C' | 'M'
  pid: number
  tid: number
  ts?: number
  dur?: number
  s?: 't'
  args?: Record<string, unknown>
}

const ENGINE = 1
const REQUESTS = 2

/**
 * A Trace in the Chrome trace-event format (JSON object form), which Perfetto and chrome://tracing open:
 * a track of steps for each replica with a counter of KV blocks, and a track for each request with its
 * time in line, its prefill and its decode, instants where it was preempted.
 */
export function toPerfetto(trace: Trace): { displayTimeUnit: 'ms'; traceEvents: TraceEvent[] } {
  const out: TraceEvent[] = [name(ENGINE, 'engine'), name(REQUESTS, 'requests')]
  for (const s of trace.steps) {
    const tid = s.replica ?? 0
    const tokens = s.batch.reduce((n, b) => n + b.tokens, 0)
    out.push({ name: `${s.role === 'draft' ? 'draft' : 'step'} of ${s.batch.length}`, ph: 'X', pid: ENGINE, tid, ts: s.start * 1000, dur: s.duration * 1000, args: { sequences: s.batch.length, tokens } })
    out.push({ name: `KV blocks, replica ${tid}`, ph: 'C', pid: ENGINE, tid, ts: (s.start + s.duration) * 1000, args: { blocks: s.kvBlocks } })
  }
  const marks = new Map<number, { sent?: number; scheduled?: number; first?: number; last?: number }>()
  for (const e of trace.events) {
    const m = marks.get(e.request) ?? {}
    marks.set(e.request, m)
    if (e.kind === 'sent') m.sent = e.t
    else if (e.kind === 'scheduled') m.scheduled ??= e.t
    else if (e.kind === 'token') {
      m.first = Math.min(m.first ?? Infinity, e.t)
      m.last = Math.max(m.last ?? -Infinity, e.t)
    } else if (e.kind === 'preempted' || e.kind === 'rejected' || e.kind === 'failed') {
      out.push({ name: e.kind, ph: 'i', s: 't', pid: REQUESTS, tid: e.request, ts: e.t * 1000, args: e.reason === undefined ? {} : { reason: e.reason } })
    }
  }
  for (const r of trace.requests) {
    const m = marks.get(r.id)
    if (!m) continue
    const part = (what: string, from: number | undefined, to: number | undefined) => {
      if (from !== undefined && to !== undefined && to >= from) out.push({ name: what, ph: 'X', pid: REQUESTS, tid: r.id, ts: from * 1000, dur: (to - from) * 1000, args: { promptTokens: r.promptTokens } })
    }
    part('queue', m.sent, m.scheduled)
    part('prefill', m.scheduled, m.first)
    part('decode', m.first, m.last)
  }
  return { displayTimeUnit: 'ms', traceEvents: out }
}

function name(pid: number, text: string): TraceEvent {
  return { name: 'process_name', ph: 'M', pid, tid: 0, args: { name: text } }
}
