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
  let kl = 0
  let same = 0
  for (let t = 0; t < count; t++) {
    const [p, q] = [exact, other].map((logits) => logProbabilities(logits.subarray(t * vocab, (t + 1) * vocab)))
    for (let i = 0; i < vocab; i++) kl += Math.exp(p!.of[i]!) * (p!.of[i]! - q!.of[i]!)
    if (p!.best === q!.best) same++
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
  let nats = 0
  for (const [t, id] of ids.entries()) nats -= logProbabilities(logits.subarray(t * vocab, (t + 1) * vocab)).of[id]!
  return nats / Math.LN2
}

function logProbabilities(logits: Float32Array): { of: Float64Array; best: number } {
  let best = 0
  for (let i = 1; i < logits.length; i++) if (logits[i]! > logits[best]!) best = i
  let sum = 0
  for (const x of logits) sum += Math.exp(x - logits[best]!)
  const log = Math.log(sum) + logits[best]!
  return { of: Float64Array.from(logits, (x) => x - log), best }
}

/** Number of tokens that two continuations have in common before the first that differs. */
export function commonTokens(a: readonly number[], b: readonly number[]): number {
  const shorter = Math.min(a.length, b.length)
  for (let i = 0; i < shorter; i++) if (a[i] !== b[i]) return i
  return shorter
}
