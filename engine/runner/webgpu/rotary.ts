import type { ModelConfig } from '../../model/config'

/**
 * (cos, sin) of position · θ^(−2i/hd) for every position and pair: (positions, hd/2, 2), angles rounded to f32 as
 * PyTorch rounds them (Su et al. 2021, eq. 15). Made here because a GPU's sin() of a large angle is inexact.
 */
export function angleTable({ headDim, ropeTheta }: ModelConfig, positions: number): Float32Array<ArrayBuffer> {
  const half = headDim / 2
  const table = new Float32Array(positions * headDim)
  for (let i = 0; i < half; i++) {
    const frequency = Math.fround(1 / Math.fround(ropeTheta ** ((2 * i) / headDim)))
    for (let p = 0; p < positions; p++) {
      const angle = Math.fround(p * frequency)
      table[(p * half + i) * 2] = Math.cos(angle)
      table[(p * half + i) * 2 + 1] = Math.sin(angle)
    }
  }
  return table
}
