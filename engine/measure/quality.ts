/** How two models that read the same text differ in what they expect next. */
export interface Divergence {
  /** Kullback-Leibler divergence of the second from the first, nats a token (mean). */
  kl: number
  /** Share of positions at which both would take the same token. */
  agreement: number
}

/** `exact`, `other`: logits of the same positions, (T, vocab). Throws RangeError when they do not belong together. */
export function divergence(exact: Float32Array, other: Float32Array, vocab: number): Divergence {
  if (exact.length !== other.length || exact.length === 0 || exact.length % vocab !== 0) {
    throw new RangeError(`logits of ${exact.length} and ${other.length} numbers do not belong to the same positions of a vocabulary of ${vocab}`)
  }
  const count = exact.length / vocab
  const [p, q] = [new Float64Array(vocab), new Float64Array(vocab)]
  let kl = 0
  let same = 0
  for (let t = 0; t < count; t++) {
    const [a, b] = [logProbabilities(exact, t * vocab, p), logProbabilities(other, t * vocab, q)]
    for (let i = 0; i < vocab; i++) kl += Math.exp(p[i]!) * (p[i]! - q[i]!)
    if (a === b) same++
  }
  return { kl: kl / count, agreement: same / count }
}

/**
 * Bits that the model needs for each byte of a text: `logits` (T, vocab) at the positions before `ids` (T).
 * Throws RangeError where the two do not belong together.
 */
export function bitsPerByte(logits: Float32Array, ids: readonly number[], vocab: number, bytes: number): number {
  return bitsOf(logits, ids, vocab) / bytes
}

/** Bits that the model needs for all of `ids` (T), by its `logits` (T, vocab) at the positions before them. Throws RangeError as `bitsPerByte`. */
export function bitsOf(logits: Float32Array, ids: readonly number[], vocab: number): number {
  if (logits.length !== ids.length * vocab || ids.length === 0) throw new RangeError(`logits of ${logits.length} numbers do not belong to ${ids.length} tokens of a vocabulary of ${vocab}`)
  const p = new Float64Array(vocab)
  let nats = 0
  for (const [t, id] of ids.entries()) {
    logProbabilities(logits, t * vocab, p)
    nats -= p[id]!
  }
  return nats / Math.LN2
}

/** Log-probabilities of the position that begins at `at`, into `into` (vocab). Returns the most likely token. */
function logProbabilities(logits: Float32Array, at: number, into: Float64Array): number {
  let best = 0
  for (let i = 1; i < into.length; i++) if (logits[at + i]! > logits[at + best]!) best = i
  const most = logits[at + best]!
  let sum = 0
  for (let i = 0; i < into.length; i++) sum += Math.exp(logits[at + i]! - most)
  const log = Math.log(sum) + most
  for (let i = 0; i < into.length; i++) into[i] = logits[at + i]! - log
  return best
}

/** Number of tokens that two continuations have in common before the first that differs. */
export function commonTokens(a: readonly number[], b: readonly number[]): number {
  const shorter = Math.min(a.length, b.length)
  for (let i = 0; i < shorter; i++) if (a[i] !== b[i]) return i
  return shorter
}
