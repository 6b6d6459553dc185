import { PANEL } from '../jobs'
import { exp } from './simd'

/** middle[t][0…15] = silu(gate) · up, gate in the first and up in the second half of each row of `pairs` (32 floats). */
export function swiglu(pairs: usize, middle: usize, middleStride: usize, tokens: u32): void {
  const one = f32x4.splat(1)
  for (let t: u32 = 0; t < tokens; t++) {
    for (let i: usize = 0; i < <usize>(PANEL * 2); i += 16) {
      const gate = v128.load(pairs + i)
      const up = v128.load(pairs + i, PANEL * 2)
      v128.store(middle + i, f32x4.mul(f32x4.div(gate, f32x4.add(one, exp(f32x4.neg(gate)))), up))
    }
    pairs += PANEL * 4
    middle += middleStride
  }
}
