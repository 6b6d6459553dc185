import { pcg } from '$engine/model/random'
import type { ModelConfig } from '$engine/model/config'

/** Kernels in double precision, one obvious loop each, for tests to hold fast ones against. */

/** `count` reproducible numbers in −1 … 1. */
export function f32s(count: number, seed: number): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => pcg((pcg(seed) + i) >>> 0) / 2 ** 31 - 1)
}

/** (T, cols) @ (cols, rows) -> (T, rows), w row-major (rows, cols) */
export function matmulPlain(x: Float32Array, w: Float32Array, cols: number): Float64Array {
  const [count, rows] = [x.length / cols, w.length / cols]
  return Float64Array.from({ length: count * rows }, (_, i) => {
    let sum = 0
    for (let k = 0; k < cols; k++) sum += x[Math.floor(i / rows) * cols + k]! * w[(i % rows) * cols + k]!
    return sum
  })
}

export function swigluPlain(gate: Float64Array, up: Float64Array): Float64Array {
  return gate.map((g, i) => (g / (1 + Math.exp(-g))) * up[i]!)
}

export function rmsNormPlain(x: Float32Array, weight: Float32Array, epsilon: number): Float64Array {
  const d = weight.length
  const square = (t: number) => x.subarray(t * d, (t + 1) * d).reduce((s, v) => s + v * v, 0)
  return Float64Array.from(x, (v, i) => (v / Math.sqrt(square(Math.floor(i / d)) / d + epsilon)) * weight[i % d]!)
}

/** Row t stands at position t; element i of a head turns with element i + headDim / 2. */
export function rotatePlain(x: Float32Array, headDim: number, theta: number, heads: number): Float64Array {
  const half = headDim / 2
  return Float64Array.from(x, (v, i) => {
    const position = Math.floor(i / (heads * headDim))
    const e = i % headDim
    const angle = position * theta ** (-(e % half) / half)
    return e < half ? v * Math.cos(angle) - x[i + half]! * Math.sin(angle) : v * Math.cos(angle) + x[i - half]! * Math.sin(angle)
  })
}

/** Causal attention of every row over itself and those before it: q (T, H·hd), k and v (T, KV·hd). */
export function attendPlain(q: Float64Array, k: Float64Array, v: Float32Array, c: ModelConfig): Float64Array {
  const { heads, kvHeads, headDim } = c
  const out = new Float64Array(q.length)
  for (let t = 0; t < q.length / (heads * headDim); t++) for (let h = 0; h < heads; h++) {
    const kv = Math.floor((h * kvHeads) / heads)
    const weights: number[] = []
    for (let p = 0; p <= t; p++) {
      let dot = 0
      for (let i = 0; i < headDim; i++) dot += q[(t * heads + h) * headDim + i]! * k[(p * kvHeads + kv) * headDim + i]!
      weights.push(Math.exp(dot / Math.sqrt(headDim)))
    }
    const sum = weights.reduce((a, b) => a + b)
    for (let p = 0; p <= t; p++) for (let i = 0; i < headDim; i++) out[(t * heads + h) * headDim + i]! += (weights[p]! / sum) * v[(p * kvHeads + kv) * headDim + i]!
  }
  return out
}

/** Largest difference between two rows of numbers of one length. */
export function difference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) throw new RangeError(`${a.length} numbers against ${b.length}`)
  let most = 0
  for (let i = 0; i < a.length; i++) {
    const d = Math.abs(a[i]! - b[i]!)
    if (!(d <= most)) most = d // a NaN counts as the largest
    if (Number.isNaN(d)) return NaN
  }
  return most
}
