import type { Clock } from '../serving/clock'
import type { Milliseconds } from '../trace/trace'
import { DONE, errorText, readPiece, type Api } from './answer'
import { EndpointError, quoted, type Fault } from './errors'
import { SseReader } from './sse'
import type { Transport } from './transport'

export interface AskOptions {
  transport: Transport
  /** Path before /v1. */
  base: string
  api: Api
  /** JSON. */
  body: string
  /** What the server may call it in its logs. */
  name: string
  /** Bearer token; goes to the transport's origin and nowhere else. */
  key?: string
  clock: Clock
  timeouts: Timeouts
  /** Hang up after so many tokens. */
  cancelAfter?: number
  signal?: AbortSignal
  onToken?: (text: string, at: Milliseconds) => void
}

export interface Timeouts {
  /** To the first byte of the answer, between two, and to its end. ms */
  firstMs: Milliseconds
  idleMs: Milliseconds
  totalMs: Milliseconds
}

export const TIMEOUTS: Timeouts = { firstMs: 120_000, idleMs: 60_000, totalMs: 1_800_000 }

/** What came of a request. Times on the clock. */
export interface Outcome {
  /** Its bytes were handed to a connection; undefined: they never were. */
  sent?: Milliseconds
  /** When pieces with output came, and their texts. */
  pieces: { at: Milliseconds; text: string }[]
  finish?: string
  /** As the server counts. */
  promptTokens?: number
  outputTokens?: number
  end: Milliseconds
  fault?: Fault
  /** Why, in words. */
  reason?: string
}

/** What a refusal may come to before the rest of it is left. */
const LONGEST_REFUSAL = 20_000
/** An answer that goes on past this is no answer. */
const MOST_PIECES = 1_000_000

/** Asks for text, streamed, and watches it come. Never rejects: whatever happens is an Outcome. */
export async function ask({ transport, base, api, body, name, key, clock, timeouts, cancelAfter = Infinity, signal, onToken }: AskOptions): Promise<Outcome> {
  const out: Outcome = { pieces: [], end: 0 }
  const stop = new AbortController()
  const halt = () => stop.abort(new EndpointError('stopped', 'the run was ended before the answer was complete'))
  signal?.addEventListener('abort', halt, { once: true })
  if (signal?.aborted) halt()

  const begin = clock.now()
  let last = begin
  let heard = false
  const sse = new SseReader()
  const refusal: Uint8Array[] = []
  let refused: number | undefined
  let size = 0
  let done = false
  let finishedAt = NaN
  const watch = () => {
    const now = clock.now()
    const due = Math.min(last + (heard ? timeouts.idleMs : timeouts.firstMs), begin + timeouts.totalMs)
    if (now < due) return void (timer = setTimeout(watch, due - now))
    const what = now >= begin + timeouts.totalMs ? `not over after ${timeouts.totalMs / 1000} s` : heard ? `nothing more for ${timeouts.idleMs / 1000} s` : `no answer within ${timeouts.firstMs / 1000} s`
    stop.abort(new EndpointError('timeout', what))
  }
  let timer = setTimeout(watch, Math.min(timeouts.firstMs, timeouts.totalMs))

  try {
    await transport.send({
      method: 'POST', path: `${base}/v1/${api === 'chat' ? 'chat/completions' : 'completions'}`, body,
      headers: { accept: 'text/event-stream', 'x-request-id': name, ...(key === undefined ? {} : { authorization: `Bearer ${key}` }) },
    }, {
      sent: () => void (out.sent = clock.now()),
      headers: (status, header) => {
        heard = true
        last = clock.now()
        if (status >= 300 && status < 400) throw new EndpointError('redirect', `HTTP ${status}: it sends ${elsewhere(header('location'), transport.origin)}, which is not followed`)
        const type = header('content-type') ?? ''
        if (status !== 200) refused = status
        else if (!/^text\/event-stream\b/i.test(type)) throw new EndpointError('content-type', `the answer is ${type === '' ? 'of no named type' : quoted(type, 60)}, not text/event-stream`)
      },
      data: (bytes) => {
        last = clock.now()
        if (refused !== undefined) {
          refusal.push(bytes)
          if ((size += bytes.length) > LONGEST_REFUSAL) throw new EndpointError('status', `HTTP ${refused}`)
          return
        }
        if (!done) read(bytes)
      },
    }, stop.signal)
    if (refused !== undefined) throw new EndpointError('status', `HTTP ${refused}: ${refusalText(refusal)}`)
    if (!done && (sse.unfinished || out.finish === undefined)) throw new EndpointError('cut', `the stream ended after ${out.pieces.length} tokens without saying that it was complete`)
    // The event that says the end has no text and may yet be a token's (the end of text is one): the server's count tells.
    if (!Number.isNaN(finishedAt) && (out.outputTokens ?? 0) > out.pieces.length) out.pieces.push({ at: finishedAt, text: '' })
    if (out.pieces.length === 0) throw new EndpointError('empty', 'the answer has no token')
  } catch (error) {
    const known = error instanceof EndpointError ? error : new EndpointError('cut', error instanceof Error ? error.message : String(error))
    out.fault = known.fault
    // A server, or a library, may repeat what it was sent.
    out.reason = key ? known.message.replaceAll(key, '[key]') : known.message
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', halt)
    out.end = clock.now()
  }
  return out

  function read(bytes: Uint8Array): void {
    for (const data of sse.push(bytes)) {
      if (data === DONE) {
        done = true
        return
      }
      const piece = readPiece(data, api)
      if (piece.usage?.prompt !== undefined) out.promptTokens = piece.usage.prompt
      if (piece.usage?.completion !== undefined) out.outputTokens = piece.usage.completion
      if (piece.finish !== undefined) {
        out.finish = piece.finish
        if (piece.text === undefined) finishedAt = last
      }
      if (piece.text === undefined) continue
      out.pieces.push({ at: last, text: piece.text })
      onToken?.(piece.text, last)
      if (out.pieces.length >= cancelAfter) throw new EndpointError('cancelled', `hung up on after ${out.pieces.length} tokens, as the run was asked to`)
      if (out.pieces.length > MOST_PIECES) throw new EndpointError('garbage', `an answer of more than ${MOST_PIECES} tokens`)
    }
  }
}

function refusalText(parts: readonly Uint8Array[]): string {
  const decoder = new TextDecoder()
  const text = parts.map((p) => decoder.decode(p, { stream: true })).join('')
  try {
    return errorText(JSON.parse(text))
  } catch {
    return quoted(text) || 'no words with it'
  }
}

function elsewhere(location: string | undefined, origin: string): string {
  if (location === undefined || !URL.canParse(location, origin)) return 'elsewhere'
  const to = new URL(location, origin)
  return to.origin === origin ? `to ${to.pathname}` : `to ${to.origin}`
}
