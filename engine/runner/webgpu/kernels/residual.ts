import type { ModelConfig } from '../../../model/config'
import type { MatmulShape, MatmulUse } from './matmul'
import residualWgsl from './output-residual.wgsl?raw'

/** A projection added to the residual stream: attention's output and SwiGLU's down. Bindings: matrix, input (rows, columns), x (rows, d). */
export const residual: MatmulUse = {
  name: 'residual',
  input: 'plain',
  output: residualWgsl,
  bindings: ['storage'],
  tokens: (load) => load.rows,
  outputBytes: ({ pairs }, tokens) => 8 * 2 * pairs * tokens, // read and written
}

export function residualShape(c: ModelConfig, columns: number): MatmulShape {
  return { pairs: c.hidden / 2, columns, around: {} }
}
