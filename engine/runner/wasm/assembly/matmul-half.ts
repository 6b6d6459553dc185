import { PANEL } from '../jobs'
import { HALF_SCALE, highHalves, lowHalves } from './half'
import { madd } from './simd'

/**
 * Panels of halves: as in matmul.ts, column by column, 32 rows of 2 bytes each. A 32-bit word holds row i in its
 * lower and row i + 4 in its upper half, so that 16 bytes come apart into rows 0 … 3 and 4 … 7 of eight.
 */

/** Inputs are multiplied by 2⁵⁶ and sums by 2⁵⁶ once more: neither leaves the range of a float. */
const HALFWAY: f32 = reinterpret<f32>((127 + 56) << 23)

/** One panel times one row of x, halves made floats on the way. Sums in the order of k, as all tiles. */
export function timesHalves(w: usize, x: usize, y: usize, cols: u32, add: bool): void {
  const scale = f32x4.splat(HALFWAY)
  for (let part: usize = 0; part < 2; part++) {
    let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0
    let p = w + part * 32
    let q = x
    const end = x + cols * 4
    do {
      const a = f32x4.mul(v128.load32_splat(q), scale)
      const v = v128.load(p)
      a0 = madd(lowHalves(v), a, a0)
      a1 = madd(highHalves(v), a, a1)
      const u = v128.load(p, 16)
      a2 = madd(lowHalves(u), a, a2)
      a3 = madd(highHalves(u), a, a3)
      p += PANEL * 2
      q += 4
    } while (q < end)
    put(y, f32x4.mul(a0, scale), add)
    put(y + 16, f32x4.mul(a1, scale), add)
    put(y + 32, f32x4.mul(a2, scale), add)
    put(y + 48, f32x4.mul(a3, scale), add)
    y += 64
  }
}

// @ts-ignore: decorator
@inline
function put(y: usize, value: v128, add: bool): void {
  v128.store(y, add ? f32x4.add(v128.load(y), value) : value)
}

/** A panel of halves as a panel of floats. */
export function expandHalves(w: usize, cols: u32, to: usize): void {
  const scale = f32x4.splat(HALF_SCALE)
  for (const end = w + cols * (PANEL * 2); w < end; w += 16) {
    const v = v128.load(w)
    v128.store(to, f32x4.mul(lowHalves(v), scale))
    v128.store(to, f32x4.mul(highHalves(v), scale), 16)
    to += 32
  }
}
