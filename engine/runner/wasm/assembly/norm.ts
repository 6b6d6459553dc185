import { madd, sum } from './simd'

/**
 * h[t] = x[t] / √(mean(x[t]²) + ε) ∘ weight for rows [from, to) (RMSNorm, Zhang & Sennrich 2019).
 * x, h and weight are padded with zeros to a multiple of 32 floats; `width` is the true count. Strides in bytes.
 */
export function rmsNorm(x: usize, weight: usize, h: usize, width: u32, stride: usize, epsilon: f32, from: u32, to: u32): void {
  for (let t = from; t < to; t++) {
    const row = x + t * stride
    const out = h + t * stride
    let a = f32x4.splat(0), b = a
    for (let i: usize = 0; i < stride; i += 32) {
      const p = v128.load(row + i)
      const q = v128.load(row + i, 16)
      a = f32x4.add(a, f32x4.mul(p, p))
      b = f32x4.add(b, f32x4.mul(q, q))
    }
    const scale = f32x4.splat(<f32>1 / sqrt<f32>(sum(f32x4.add(a, b)) / <f32>width + epsilon))
    for (let i: usize = 0; i < stride; i += 16) {
      v128.store(out + i, f32x4.mul(f32x4.mul(v128.load(row + i), scale), v128.load(weight + i)))
    }
  }
}

/** y[t] += row for rows [from, to) of `bytes` bytes: a bias. */
export function addRow(y: usize, stride: usize, row: usize, bytes: usize, from: u32, to: u32): void {
  for (let t = from; t < to; t++) {
    const out = y + t * stride
    for (let i: usize = 0; i < bytes; i += 16) v128.store(out + i, f32x4.add(v128.load(out + i), v128.load(row + i)))
  }
}

/** x[row] += weight · y[i] for pairs (row, weight) [from, to), rows of `stride` bytes. No row is named twice. */
export function addWeighted(y: usize, pairs: usize, x: usize, stride: usize, from: u32, to: u32): void {
  for (let i = from; i < to; i++) {
    const source = y + i * stride
    const target = x + load<u32>(pairs + i * 8) * stride
    const weight = v128.load32_splat(pairs + i * 8 + 4)
    for (let b: usize = 0; b < stride; b += 16) v128.store(target + b, madd(v128.load(source + b), weight, v128.load(target + b)))
  }
}
