/** a · b + c: one rounding where the engine has relaxed SIMD (a fused multiply-add), two where not. */
// @ts-ignore: decorator
@inline
export function madd(a: v128, b: v128, c: v128): v128 {
  return ASC_FEATURE_RELAXED_SIMD ? f32x4.relaxed_madd(a, b, c) : f32x4.add(f32x4.mul(a, b), c)
}

/** a + b + c + d of the four lanes, in the order (0 + 2) + (1 + 3). */
// @ts-ignore: decorator
@inline
export function sum(a: v128): f32 {
  const halves = f32x4.add(a, v128.shuffle<f32>(a, a, 2, 3, 0, 1))
  return f32x4.extract_lane(halves, 0) + f32x4.extract_lane(halves, 1)
}

/**
 * eˣ by lane, relative error below 2⁻²² (tests/unit/wasm.kernels.test.ts goes through the range); exactly 0 below −87.3.
 * x = n·ln 2 + r with |r| ≤ ln 2 / 2; eʳ by the minimax polynomial of Cephes' expf; 2ⁿ put into the exponent.
 * n is rounded by adding 1.5 · 2²³, which leaves it in the low bits of the sum. ln 2 is taken off in two
 * parts, the first with so few bits that n times it is exact.
 */
export function exp(x: v128): v128 {
  const lowest = f32x4.splat(-87.3)
  const shift = f32x4.splat(12582912)
  const clamped = f32x4.min(f32x4.max(x, lowest), f32x4.splat(88.3))
  const shifted = madd(clamped, f32x4.splat(1.44269504088896341), shift)
  const n = f32x4.sub(shifted, shift)
  let r = madd(n, f32x4.splat(-0.693359375), clamped)
  r = madd(n, f32x4.splat(2.12194440e-4), r)
  let p = f32x4.splat(1.9875691500e-4)
  p = madd(p, r, f32x4.splat(1.3981999507e-3))
  p = madd(p, r, f32x4.splat(8.3334519073e-3))
  p = madd(p, r, f32x4.splat(4.1665795894e-2))
  p = madd(p, r, f32x4.splat(1.6666665459e-1))
  p = madd(p, r, f32x4.splat(5.0000001201e-1))
  p = f32x4.add(madd(p, f32x4.mul(r, r), r), f32x4.splat(1))
  const power = i32x4.add(i32x4.shl(shifted, 23), i32x4.splat(0x3f800000))
  return v128.and(f32x4.mul(p, power), f32x4.ge(x, lowest))
}
