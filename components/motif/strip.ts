import type { RequestRecord, Trace } from '$engine/trace/trace'

export type PillKind = 'waiting' | 'prefill' | 'decode' | 'draft' | 'accepted' | 'rejected' | 'cached'

export interface Pill {
  key: string
  kind: PillKind
  /** Null where there is no text to read: a synthetic model, or a run beyond the trained context. */
  text: string | null
  /** The newest token of a request that is still running. */
  fresh: boolean
}

/** A stretch of the prompt left out, or a prompt without text. */
export interface Elision {
  key: string
  count: number
  /** How much of it has been computed, 0 … 1. */
  done: number
  /** False for "… 480 more", true for a whole prompt: "512 prompt tokens". */
  whole: boolean
}

export interface StripOptions {
  /** Prompt tokens shown before and after the elision. */
  head?: number
  tail?: number
  /** Output tokens kept; older ones have long left the strip. */
  newest?: number
}

export interface Strip {
  items: (Pill | Elision)[]
  prompt: number
  computed: number
  output: number
  timingOnly: boolean
}

/** The tokens of one request as they stand at time `at`; undefined for a request that is not in the Trace. */
export function stripAt(trace: Trace, request: number, at: number, { head = 6, tail = 6, newest = 96 }: StripOptions = {}): Strip | undefined {
  const record = trace.requests.find((r) => r.id === request)
  if (!record) return undefined

  let cached = 0
  let computed = 0
  let finished = false
  const output: { key: string; text: string | null; kind: 'decode' | 'accepted' }[] = []
  const drafts = new Drafts()
  for (const e of trace.events) {
    if (e.request !== request || e.t > at) continue
    if (e.kind === 'cached') cached = computed = e.count ?? 0
    else if (e.kind === 'prefill') computed += e.count ?? 0
    // The blocks are gone and will be computed again; the tokens that were seen stay seen.
    else if (e.kind === 'preempted' && e.reason !== 'swap') cached = computed = 0
    else if (e.kind === 'draft') drafts.propose(record.timingOnly ? null : (e.text ?? null), e.parent)
    else if (e.kind === 'verify') drafts.judge(e.path ?? Array.from({ length: e.count ?? 0 }, (_, i) => i))
    else if (e.kind === 'token') output.push({ key: `o${output.length}`, text: record.timingOnly ? null : (e.text ?? null), kind: drafts.next() })
    else if (e.kind === 'finished' || e.kind === 'failed' || e.kind === 'rejected') finished = true
  }
  computed = Math.min(computed, record.promptTokens)

  const decoded = output.slice(-newest).map((o): Pill => ({ ...o, fresh: false }))
  const last = decoded.at(-1)
  if (last && !finished) last.fresh = true
  // Once the window of outputs is full the prompt is out of sight.
  const items = output.length > newest ? decoded : [...promptItems(record, cached, computed, head, tail), ...decoded]
  if (!finished) items.push(...drafts.pills(output.length))
  return { items, prompt: record.promptTokens, computed, output: output.length, timingOnly: record.timingOnly ?? false }
}

/** What was drafted since the last verification, and what became of what was drafted before it. */
class Drafts {
  private texts: (string | null)[] = []
  private parents: number[] = []
  /** Accepted drafts that are still to come as tokens; undefined while nobody has looked. */
  private accepted?: number
  /** The likeliest branch, or what of it was rejected. */
  private shown: number[] = []
  private judged = 0

  propose(text: string | null, parent = this.texts.length - 1): void {
    if (this.accepted !== undefined) {
      this.texts = []
      this.parents = []
      this.shown = []
      this.accepted = undefined
      if (parent >= 0) parent = -1
    }
    // Siblings come likeliest first: of a tree the strip shows the branch of the first ones.
    const first = this.parents.indexOf(parent) < 0
    if (first && parent === (this.shown.at(-1) ?? -1)) this.shown.push(this.texts.length)
    this.texts.push(text)
    this.parents.push(parent)
  }

  judge(path: readonly number[]): void {
    this.accepted = path.length
    this.judged++
    this.shown = this.shown.filter((i) => !path.includes(i))
  }

  /** What the next token is: an accepted draft, or the target's own. */
  next(): 'accepted' | 'decode' {
    if (!this.accepted) return 'decode'
    this.accepted--
    return 'accepted'
  }

  /** Those not verified yet follow the text and keep their place in it when they are accepted; rejected ones stand behind it once more. */
  pills(output: number): Pill[] {
    const open = this.accepted === undefined
    return this.shown.map((i, k): Pill => ({ key: open ? `o${output + k}` : `x${this.judged}-${i}`, kind: open ? 'draft' : 'rejected', text: this.texts[i]!, fresh: false }))
  }
}

function promptItems(record: RequestRecord, cached: number, computed: number, head: number, tail: number): (Pill | Elision)[] {
  const texts = record.timingOnly ? undefined : record.promptTexts
  const n = record.promptTokens
  if (!texts) return n > 0 ? [{ key: 'prompt', count: n, done: computed / n, whole: true }] : []
  const kind = (i: number): PillKind => (i < cached ? 'cached' : i < computed ? 'prefill' : 'waiting')
  const pill = (i: number): Pill => ({ key: `p${i}`, kind: kind(i), text: texts[i] ?? null, fresh: false })
  const range = (from: number, to: number) => Array.from({ length: to - from }, (_, k) => pill(from + k))
  // An elision of one or two would save no room.
  if (n <= head + tail + 2) return range(0, n)
  const count = n - head - tail
  const done = Math.min(Math.max((computed - head) / count, 0), 1)
  return [...range(0, head), { key: 'more', count, done, whole: false }, ...range(n - tail, n)]
}

export type TextPart = { kind: 'text' | 'space' | 'newline'; text: string }

/** Splits a token into what is read and the white space that is only hinted at. */
export function textParts(text: string): TextPart[] {
  return (text.match(/\r?\n|[ \t\u00a0]|[^ \t\u00a0\r\n]+|\r/g) ?? []).map((part) => ({
    kind: /[\r\n]/.test(part) ? 'newline' : /^[ \t\u00a0]$/.test(part) ? 'space' : 'text',
    text: part,
  }))
}
