import { kernel, type Kernel } from '../kernel'
import stepWgsl from './step.wgsl?raw'
import embedWgsl from './embed.wgsl?raw'
import { bytesPerWeight, F32, scaled, weightsConstants, weightsSource, type MatrixFormat } from './weights'

const WG = 64

/** The rows of the input table. Bindings: table (vocab, d), rows, held tokens, x (rows, d), scales of the table if it has any. */
export function embedKernel(format: MatrixFormat = F32): Kernel<{ hidden: number }> {
  return kernel<{ hidden: number }>({
    name: 'embed',
    source: `${stepWgsl}\n${weightsSource(format, 5)}\n${embedWgsl}`,
    bindings: ['read-only-storage', 'read-only-storage', 'read-only-storage', 'storage', ...(scaled(format) ? ['read-only-storage' as const] : [])],
    suits: () => true,
    constants: ({ hidden }) => ({ WG, ...weightsConstants(format, hidden) }),
    grid: ({ hidden }, { rows }) => [Math.ceil(hidden / 4 / WG), rows],
    flops: () => 0,
    bytes: ({ hidden }, { rows }) => (4 + bytesPerWeight(format)) * hidden * rows,
  })
}
