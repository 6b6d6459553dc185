import type { ModelConfig } from '../../../model/config'
import type { MatmulShape, MatmulUse } from './matmul'
import swigluWgsl from './output-swiglu.wgsl?raw'

/** RMSNorm, gate, up and silu(gate) · up in one dispatch. Bindings: matrix, x (rows, d), gains (d), result (rows, ffn). */
export const swiglu: MatmulUse = {
  name: 'swiglu',
  input: 'normalised',
  output: swigluWgsl,
  bindings: ['storage'],
  tokens: (load) => load.rows,
  outputBytes: ({ pairs }, tokens) => 4 * pairs * tokens,
}

export function swigluShape(c: ModelConfig): MatmulShape {
  return { pairs: c.ffn, columns: c.hidden, around: { EPSILON: c.rmsNormEps } }
}
