import type { ModelConfig } from '../../../model/config'
import type { MatmulShape, MatmulUse } from './matmul'
import ropeWgsl from './output-rope.wgsl?raw'

/**
 * RMSNorm, the three projections, RoPE and the write into the paged cache in one dispatch.
 * Bindings: matrix, x (rows, d), gains (d), rows, angles, q (rows, H, hd), keys, values.
 */
export const qkv: MatmulUse = {
  name: 'qkv',
  input: 'normalised',
  output: ropeWgsl,
  bindings: ['read-only-storage', 'read-only-storage', 'storage', 'storage', 'storage'],
  tokens: (load) => load.rows,
  outputBytes: ({ pairs }, tokens) => 4 * 2 * pairs * tokens,
}

export function qkvShape(c: ModelConfig): MatmulShape {
  return {
    pairs: ((c.heads + 2 * c.kvHeads) * c.headDim) / 2,
    columns: c.hidden,
    around: { EPSILON: c.rmsNormEps, HEADS: c.heads, KV_HEADS: c.kvHeads, HEAD_DIM: c.headDim },
  }
}
