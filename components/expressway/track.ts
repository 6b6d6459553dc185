import type { Event, RequestRecord, Step, Trace } from '$engine/trace/trace'

/** What one step computed for one request. */
interface Share {
  start: number
  end: number
  tokens: number
  /** Tokens in its KV cache before the step. */
  context: number
}

/** A stay on the road: from being scheduled to the end, or to being preempted. Times in ms, Infinity while open. */
export interface Stint {
  from: number
  until: number
  /** Time of the stint's first output token. */
  firstToken: number
  /** Output tokens that came before the stint: a preempted request computes them anew. */
  before: number
}

/** A draft: tokens proposed, and how the target judged them. Times in ms. */
export interface Draft {
  t: number
  proposed: number
  /** When it was verified, Infinity until then, and how many tokens of it held. */
  verified: number
  accepted: number
}

/** All that the Trace says of one request, sorted by time. */
export interface Track {
  record: RequestRecord
  arrival: number
  /** Reached the engine's door; NaN until it has. */
  door: number
  stints: Stint[]
  /** Times at which output tokens reached the client, ascending. */
  tokens: number[]
  shares: Share[]
  drafts: Draft[]
  /** The replica that has it; undefined until the Trace says so. */
  replica?: number
  /** Infinity while the request is open. */
  end: number
  ending?: 'finished' | 'rejected' | 'failed'
}

/** The Trace arranged by request. Grows with the Trace; holds nothing that is not in it. */
export interface TraceIndex {
  tracks: Track[]
  byId: Map<number, Track>
  blockSize: number
  /** Duration of the first step, ms; NaN before it: the pace of what has no time of its own. */
  firstStep: number
  /** Replicas seen: one more than the largest number of one. */
  replicas: number
  /** Requests are drafted for. */
  drafting: boolean
  /** Goes up with every change. */
  version: number
}

interface Growing extends TraceIndex {
  /** How much of each array is in the index, and its last element: a grown copy of the array begins alike. */
  seen: { requests: Seen<RequestRecord>; events: Seen<Event>; steps: Seen<Step> }
}

interface Seen<T> {
  count: number
  last: T | undefined
}

const byTrace = new WeakMap<Trace, Growing>()
/** A running Trace is handed on as copies, each a little longer: the newest index is usually the one to go on from. */
let newest: Growing | undefined

/** The index of a Trace; made once, extended when the Trace (or a longer copy of it) has more. */
export function indexTrace(trace: Trace): TraceIndex {
  let index = byTrace.get(trace)
  if (!index || !continues(trace, index)) {
    index = newest && continues(trace, newest) ? newest : emptyIndex(trace.blockSize ?? 16)
    byTrace.set(trace, index)
  }
  newest = index
  extend(index, trace)
  return index
}

function emptyIndex(blockSize: number): Growing {
  const nothing = () => ({ count: 0, last: undefined })
  return { tracks: [], byId: new Map(), blockSize, firstStep: NaN, replicas: 1, drafting: false, version: 0, seen: { requests: nothing(), events: nothing(), steps: nothing() } }
}

/** True when everything in the index is also at the beginning of the Trace. */
function continues(trace: Trace, { seen, blockSize }: Growing): boolean {
  const holds = <T>(array: T[], { count, last }: Seen<T>) => count <= array.length && (count === 0 || array[count - 1] === last)
  return blockSize === (trace.blockSize ?? 16) && seen.events.count + seen.steps.count > 0
    && holds(trace.requests, seen.requests) && holds(trace.events, seen.events) && holds(trace.steps, seen.steps)
}

function extend(index: Growing, trace: Trace): void {
  const fresh = <T>(array: T[], seen: Seen<T>): T[] => {
    const news = array.slice(seen.count)
    seen.count = array.length
    seen.last = array[array.length - 1]
    return news
  }
  const requests = fresh(trace.requests, index.seen.requests)
  const events = fresh(trace.events, index.seen.events)
  const steps = fresh(trace.steps, index.seen.steps)
  if (requests.length + events.length + steps.length === 0) return
  for (const record of requests) {
    const track: Track = { record, arrival: record.arrival, door: NaN, stints: [], tokens: [], shares: [], drafts: [], end: Infinity }
    index.tracks.push(track)
    index.byId.set(record.id, track)
  }
  for (const step of steps) {
    if (Number.isNaN(index.firstStep)) index.firstStep = step.duration
    for (const { request, tokens, context } of step.batch) {
      const track = index.byId.get(request)
      if (track && step.replica !== undefined) served(index, track, step.replica)
      const shares = track?.shares
      if (shares) insert(shares, { start: step.start, end: step.start + step.duration, tokens, context }, (s) => s.start)
    }
  }
  for (const event of events) {
    const track = index.byId.get(event.request)
    if (!track) continue
    if (event.replica !== undefined) served(index, track, event.replica)
    if (event.kind === 'draft') index.drafting = true
    note(track, event)
  }
  index.version++
}

function served(index: Growing, track: Track, replica: number): void {
  track.replica ??= replica
  index.replicas = Math.max(index.replicas, replica + 1)
}

function note(track: Track, event: Event): void {
  const { t } = event
  const last = track.stints[track.stints.length - 1]
  switch (event.kind) {
    case 'gateway':
      track.door = t
      break
    case 'scheduled':
      track.stints.push({ from: t, until: Infinity, firstToken: Infinity, before: track.tokens.length })
      break
    case 'preempted':
      if (last) last.until = Math.min(last.until, t)
      break
    case 'token':
      insert(track.tokens, t, (x) => x)
      // A log of tokens alone does not say when the request left the line: then its first token does.
      if (!last) track.stints.push({ from: t, until: Infinity, firstToken: t, before: 0 })
      else last.firstToken = Math.min(last.firstToken, t)
      break
    case 'draft': {
      // One event a token, or one a proposal: what is not yet judged is one draft.
      const open = track.drafts[track.drafts.length - 1]
      if (open && open.verified === Infinity) {
        open.proposed += event.count ?? 1
        open.t = t
      } else track.drafts.push({ t, proposed: event.count ?? 1, verified: Infinity, accepted: 0 })
      break
    }
    case 'verify': {
      const open = track.drafts[track.drafts.length - 1]
      if (open && open.verified === Infinity) {
        open.verified = t
        open.accepted = event.count ?? 0
      }
      break
    }
    case 'finished':
    case 'rejected':
    case 'failed':
      track.end = t
      track.ending = event.kind
      if (last) last.until = Math.min(last.until, t)
      break
  }
}

/** Keeps the array ascending; new elements nearly always belong at its end. */
function insert<T>(array: T[], value: T, key: (x: T) => number): void {
  let i = array.length
  while (i > 0 && key(array[i - 1]!) > key(value)) i--
  array.splice(i, 0, value)
}

/** How many elements have key ≤ t, in an array ascending by key. */
function countUpTo<T>(array: T[], t: number, key: (x: T) => number): number {
  let low = 0
  let high = array.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (key(array[middle]!) <= t) low = middle + 1
    else high = middle
  }
  return low
}

const itself = (x: number) => x
const startOf = (s: Share) => s.start

/** The stay on the road that `t` falls into, or the last one before it. */
export function stintAt(track: Track, t: number): Stint | undefined {
  for (let i = track.stints.length - 1; i >= 0; i--) if (track.stints[i]!.from <= t) return track.stints[i]
  return undefined
}

/** Output tokens that have reached the client. */
export function tokensAt(track: Track, t: number): number {
  return countUpTo(track.tokens, t, itself)
}

/** Tokens in the request's KV cache in this stint; inside a running step the share of it that is done. */
export function kvTokensAt(track: Track, stint: Stint, t: number): number {
  if (t < stint.from || t >= stint.until) return 0
  if (track.shares.length === 0) {
    // No steps (a client's log): the prompt fills evenly until the first token, each token adds itself.
    const target = track.record.promptTokens + stint.before
    if (t < stint.firstToken) return Number.isFinite(stint.firstToken) ? (target * (t - stint.from)) / (stint.firstToken - stint.from) : 0
    return track.record.promptTokens + Math.max(0, tokensAt(track, t) - 1)
  }
  const n = countUpTo(track.shares, t, startOf)
  const share = track.shares[n - 1]
  if (!share || share.start < stint.from) return 0
  return share.context + share.tokens * doneOf(share, t)
}

const doneOf = (share: Share, t: number) => (t >= share.end ? 1 : (t - share.start) / (share.end - share.start))

/** Share of the stint's prompt (and, after a preemption, of the tokens it has to redo) in the cache, 0 … 1. */
export function prefilledAt(track: Track, stint: Stint, t: number): number {
  if (t >= stint.firstToken) return 1
  const target = track.record.promptTokens + stint.before
  return target > 0 ? Math.min(1, kvTokensAt(track, stint, t) / target) : 1
}

/**
 * Output tokens of this stint beyond its first, as a real number: between two tokens it moves while a step
 * computes the next one, and stands while the engine works for others.
 */
export function producedAt(track: Track, stint: Stint, t: number): number {
  if (t < stint.firstToken) return 0
  const here = tokensAt(track, Math.min(t, stint.until))
  const next = track.tokens[here]
  const whole = here - stint.before - 1
  if (next === undefined || t >= stint.until || next > stint.until) return whole
  const last = track.tokens[here - 1]!
  // The client sees the step's work as much later as the token is on its way.
  const back = track.record.network?.back ?? 0
  const share = track.shares[countUpTo(track.shares, next - back - 1e-9, startOf) - 1]
  const from = share ? Math.max(last, share.start + back) : last
  if (t <= from) return whole
  // Several tokens may come at once (a verified draft).
  return whole + (countUpTo(track.tokens, next, itself) - here) * ((t - from) / (next - from))
}

/** Tokens a second around `t`: of the token being made, or of the last one where none follows. 0 before the second token. */
export function speedAt(track: Track, t: number): number {
  const here = Math.min(tokensAt(track, t), track.tokens.length - 1)
  if (here < 1) return 0
  const gap = track.tokens[here]! - track.tokens[here - 1]!
  return gap > 0 ? 1000 / gap : 0
}

/** Time of the last step that worked for the request, or its mean time between tokens; undefined where neither is known. */
export function lastPace({ shares, tokens }: Track): number | undefined {
  const share = shares[shares.length - 1]
  if (share) return share.end - share.start
  return tokens.length > 1 ? (tokens[tokens.length - 1]! - tokens[0]!) / (tokens.length - 1) : undefined
}

/** Tokens proposed and not yet judged at `t`; undefined where nothing is being drafted. */
export function draftAt({ drafts }: Track, t: number): { tokens: number; from: number } | undefined {
  let last: Draft | undefined
  for (let i = drafts.length - 1; i >= 0 && !last; i--) if (drafts[i]!.t <= t) last = drafts[i]
  return last && t < last.verified ? { tokens: last.proposed, from: last.t } : undefined
}
