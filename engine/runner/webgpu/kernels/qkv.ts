import type { ModelConfig } from '../../../model/config'
import type { KvPrecision } from '../../runner'
import { cacheWriter } from './cache'
import type { MatmulShape, MatmulUse } from './matmul'
import ropeWgsl from './output-rope.wgsl?raw'

/**
 * RMSNorm, the three projections, their biases, RoPE and the write into the paged cache in one dispatch.
 * Bindings: matrix, x (rows, d), gains (d) and biases, rows, angles, q (rows, H, hd), cache (int8: new keys and values aside).
 */
export function qkv(kv: KvPrecision): MatmulUse {
  return {
    name: 'qkv',
    input: 'normalised',
    output: `${ropeWgsl}\n${cacheWriter(kv)}`,
    bindings: ['read-only-storage', 'read-only-storage', 'storage', 'storage'],
    tokens: (load) => load.rows,
    outputBytes: ({ pairs }, tokens) => 4 * 2 * pairs * tokens,
  }
}

export function qkvShape(c: ModelConfig): MatmulShape {
  return {
    pairs: ((c.heads + 2 * c.kvHeads) * c.headDim) / 2,
    columns: c.hidden,
    around: { EPSILON: c.rmsNormEps, HEADS: c.heads, KV_HEADS: c.kvHeads, HEAD_DIM: c.headDim, BIAS: c.qkvBias ? 1 : 0 },
  }
}
