/**
 * Halves to floats without an instruction for it: sign, exponent and fraction put where a float has them come
 * to 2⁻¹¹² of the value (the exponents' zero points are 112 apart), subnormal halves included. Whoever uses
 * these multiplies by 2¹¹² in all; powers of two change no rounding.
 */
const BITS: i32 = 0x8fffe000
export const HALF_SCALE: f32 = reinterpret<f32>((127 + 112) << 23)

/** Four halves at p, times 2⁻¹¹². */
// @ts-ignore: decorator
@inline
export function halves4(p: usize): v128 {
  return v128.and(i32x4.shl(v128.load_ext<i16>(p), 13), i32x4.splat(BITS))
}

/** The lower half of each 32-bit word, times 2⁻¹¹². */
// @ts-ignore: decorator
@inline
export function lowHalves(words: v128): v128 {
  return v128.and(i32x4.shr_s(i32x4.shl(words, 16), 3), i32x4.splat(BITS))
}

/** The upper half of each 32-bit word, times 2⁻¹¹². */
// @ts-ignore: decorator
@inline
export function highHalves(words: v128): v128 {
  return v128.and(i32x4.shr_s(words, 3), i32x4.splat(BITS))
}

/** One half. */
// @ts-ignore: decorator
@inline
export function half(p: usize): f32 {
  return reinterpret<f32>((<i32>load<i16>(p) << 13) & BITS) * HALF_SCALE
}
