/** softmax(logits / temperature) of one row (vocab). */
export function distribution(logits: Float32Array, temperature: number): Float64Array {
  let max = -Infinity
  for (const v of logits) if (v > max) max = v
  const p = new Float64Array(logits.length)
  let sum = 0
  for (let i = 0; i < p.length; i++) sum += p[i] = Math.exp((logits[i]! - max) / temperature)
  for (let i = 0; i < p.length; i++) p[i]! /= sum
  return p
}

/** An id drawn by u in [0, 1). */
export function drawFrom(p: Float64Array, u: number): number {
  let left = u
  let last = 0
  for (let i = 0; i < p.length; i++) {
    if (p[i] === 0) continue
    last = i
    if ((left -= p[i]!) < 0) return i
  }
  return last // rounding left a little over
}

/** p without what is in `out`, made whole again; undefined when nothing is left. */
export function without(p: Float64Array, out: number): Float64Array | undefined {
  const rest = p.slice()
  rest[out] = 0
  return normalize(rest)
}

/** Divides by the sum, in place; undefined when the sum is 0. */
export function normalize(p: Float64Array): Float64Array | undefined {
  let sum = 0
  for (const v of p) sum += v
  if (!(sum > 0)) return undefined
  for (let i = 0; i < p.length; i++) p[i]! /= sum
  return p
}
