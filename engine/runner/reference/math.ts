/** y (T, rows) = x (T, cols) · Wᵀ, W (rows, cols) row-major; sums in double precision. */
export function matmul(x: Float32Array, w: Float32Array, cols: number): Float32Array {
  const rows = w.length / cols
  const count = x.length / cols
  const y = new Float32Array(count * rows)
  for (let t = 0; t < count; t++) {
    const xRow = x.subarray(t * cols, (t + 1) * cols)
    for (let r = 0; r < rows; r++) {
      const base = r * cols
      let sum = 0
      for (let i = 0; i < cols; i++) sum += w[base + i]! * xRow[i]!
      y[t * rows + r] = sum
    }
  }
  return y
}

/** x / √(mean(x²) + ε) · weight, row by row (Zhang & Sennrich 2019). */
export function rmsNorm(x: Float32Array, weight: Float32Array, eps: number): Float32Array {
  const d = weight.length
  const y = new Float32Array(x.length)
  for (let t = 0; t < x.length; t += d) {
    let squares = 0
    for (let i = 0; i < d; i++) squares += x[t + i]! ** 2
    const scale = 1 / Math.sqrt(squares / d + eps)
    for (let i = 0; i < d; i++) y[t + i] = x[t + i]! * scale * weight[i]!
  }
  return y
}

/**
 * Rotary position embedding in place (Su et al. 2021), in Hugging Face's pairing: element i of the
 * lower half of a head turns with element i of its upper half. x: (T, heads·headDim), row t at positions[t].
 */
export function rope(x: Float32Array, headDim: number, heads: number, positions: readonly number[], theta: number): void {
  const half = headDim / 2
  for (const [row, position] of positions.entries()) {
    for (let i = 0; i < half; i++) {
      const angle = position * theta ** (-i / half)
      const cos = Math.cos(angle)
      const sin = Math.sin(angle)
      for (let h = 0; h < heads; h++) {
        const low = (row * heads + h) * headDim + i
        const a = x[low]!
        const b = x[low + half]!
        x[low] = a * cos - b * sin
        x[low + half] = b * cos + a * sin
      }
    }
  }
}

/** x + bias, row by row, in place of x; as it is where there is none. */
export function addBias(x: Float32Array, bias: Float32Array | undefined): Float32Array {
  if (bias) for (let i = 0; i < x.length; i++) x[i]! += bias[i % bias.length]!
  return x
}

/** silu(gate) ⊙ up (Shazeer 2020), in place of gate. */
export function swiglu(gate: Float32Array, up: Float32Array): Float32Array {
  for (let i = 0; i < gate.length; i++) gate[i] = (gate[i]! / (1 + Math.exp(-gate[i]!))) * up[i]!
  return gate
}

export function softmaxInPlace(x: Float32Array): void {
  let max = -Infinity
  for (const v of x) max = Math.max(max, v)
  let sum = 0
  for (let i = 0; i < x.length; i++) sum += x[i] = Math.exp(x[i]! - max)
  for (let i = 0; i < x.length; i++) x[i]! /= sum
}

/** x += y */
export function add(x: Float32Array, y: Float32Array): void {
  for (let i = 0; i < x.length; i++) x[i]! += y[i]!
}
