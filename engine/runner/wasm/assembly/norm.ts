import { sum } from './simd'

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
