import type { ModelConfig } from '../../../model/config'
import type { MatmulShape, MatmulUse } from './matmul'
import logitsWgsl from './output-logits.wgsl?raw'

/** The final RMSNorm and the unembedding of the rows asked for. Bindings: matrix, x (rows, d), gains (d), row list, logits. */
export const logits: MatmulUse = {
  name: 'logits',
  input: 'normalised',
  output: logitsWgsl,
  bindings: ['read-only-storage', 'storage'],
  tokens: (load) => load.logits,
  outputBytes: ({ pairs }, tokens) => 4 * 2 * pairs * tokens,
}

export function logitsShape(c: ModelConfig): MatmulShape {
  return { pairs: Math.ceil(c.vocabSize / 2), columns: c.hidden, around: { EPSILON: c.rmsNormEps } }
}
