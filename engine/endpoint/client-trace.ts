import type { Event, Milliseconds, RequestRecord, Trace } from '../trace/trace'
import type { Outcome } from './ask'

/** One request as its client saw it, as the events of a Trace. */
export function eventsOf(record: RequestRecord, out: Outcome, texts = false): Event[] {
  const request = record.id
  const events: Event[] = [{ t: record.arrival, request, kind: 'sent' }]
  // Between this and the first token a client sees nothing: line and prefill are one wait.
  if (out.sent !== undefined) events.push({ t: out.sent, request, kind: 'gateway' })
  const owners = pieceOfToken(out.pieces.map((p) => p.text), out.outputTokens)
  const times = tokenTimes(out)
  for (const [k, t] of times.entries()) {
    const text = texts && owners[k] !== owners[k - 1] ? { text: out.pieces[owners[k]!]!.text } : {}
    events.push({ t, request, kind: 'token', ...text })
  }
  if (out.fault === undefined) events.push({ t: times[times.length - 1] ?? out.end, request, kind: 'finished' })
  else events.push({ t: Math.max(out.end, record.arrival), request, kind: 'failed', reason: `${out.fault}: ${out.reason}` })
  return events
}

/** When each output token came: as many as the server says there were, with the pieces that came. */
export function tokenTimes(out: Outcome): Milliseconds[] {
  return pieceOfToken(out.pieces.map((p) => p.text), out.outputTokens).map((i) => out.pieces[i]!.at)
}

/**
 * Which piece each token came with. As a rule a piece is a token. Where the server counts more (it sends several at once),
 * the others came with the pieces of the longest texts, in proportion; where it counts fewer, pieces between are passed
 * over: the first and the last token stay where they were.
 */
export function pieceOfToken(texts: readonly string[], counted: number | undefined): number[] {
  const pieces = texts.length
  const tokens = pieces === 0 ? 0 : Math.max(1, counted ?? pieces)
  if (tokens <= pieces) return Array.from({ length: tokens }, (_, k) => (tokens === 1 ? 0 : Math.round((k * (pieces - 1)) / (tokens - 1))))
  const extra = tokens - pieces
  const characters = texts.reduce((n, t) => n + t.length, 0)
  const out: number[] = []
  let seen = 0
  let given = 0
  for (const [i, text] of texts.entries()) {
    out.push(i)
    seen += characters > 0 ? text.length / characters : 1 / pieces
    const due = i === pieces - 1 ? extra : Math.round(extra * Math.min(1, seen))
    for (; given < due; given++) out.push(i)
  }
  return out
}

/** Gathers the Trace of a run as its requests end. */
export class ClientTrace {
  private readonly requests: RequestRecord[] = []
  private readonly events: Event[] = []

  /** `server` and `model` name what was asked. */
  constructor(private readonly server: string, private readonly model: string, private readonly at = new Date().toISOString()) {}

  add(record: RequestRecord, out: Outcome, texts = false): void {
    this.requests.push(record)
    for (const e of eventsOf(record, out, texts)) this.events.push(e)
  }

  /** All so far, in order of time. */
  trace(): Trace {
    return {
      provenance: { how: 'measured', device: { name: this.server, runner: 'endpoint', model: this.model }, at: this.at },
      requests: [...this.requests].sort((a, b) => a.id - b.id),
      events: [...this.events].sort((a, b) => a.t - b.t),
      steps: [],
    }
  }
}
