import { kernel, type Kernel } from '../kernel'
import pcgWgsl from './pcg.wgsl?raw'
import f16Wgsl from './synthesize-f16.wgsl?raw'
import f32Wgsl from './synthesize.wgsl?raw'
import intWgsl from './synthesize-int.wgsl?raw'
import syntheticWgsl from './synthetic.wgsl?raw'
import { F32, groupsOf, unitsOf, type MatrixFormat } from './weights'

const WG = 64

/**
 * Fills a matrix from the counter-based generator, in the format it is to be kept in. `rows` of the load is the number
 * of values. Bindings: the matrix, and its scales if it has any.
 */
export function synthesize(format: MatrixFormat = F32): Kernel<{ columns: number }> {
  const { format: name, group, asymmetric } = format
  const each = ({ columns }: { columns: number }) => (name === 'f32' ? 1 : name === 'f16' ? 2 : columns / groupsOf(format, columns)) // columns an invocation
  return kernel<{ columns: number }>({
    name: 'synthesize',
    source: [pcgWgsl, syntheticWgsl, name === 'f32' ? f32Wgsl : name === 'f16' ? f16Wgsl : intWgsl].join('\n'),
    bindings: group > 0 ? ['storage', 'storage'] : ['storage'],
    suits: () => true,
    constants: ({ columns }) => ({
      WG,
      ...(name === 'f32' ? {} : { UNITS: unitsOf(format, columns) }),
      ...(group > 0 ? { BITS: name === 'int8' ? 8 : 4, GROUP: group, ASYMMETRIC: asymmetric ? 1 : 0 } : {}),
    }),
    grid: (shape, { rows }) => [Math.ceil(rows / each(shape) / WG)],
    flops: (_, { rows }) => 2 * rows,
    bytes: (_, { rows }) => 4 * rows,
  })
}
