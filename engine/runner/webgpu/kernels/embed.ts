import { kernel } from '../kernel'
import stepWgsl from './step.wgsl?raw'
import embedWgsl from './embed.wgsl?raw'

const WG = 64

/** The rows of the input table. Bindings: rows, held tokens, table (vocab, d), x (rows, d). */
export const embed = kernel<{ hidden: number }>({
  name: 'embed',
  source: `${stepWgsl}\n${embedWgsl}`,
  bindings: ['read-only-storage', 'read-only-storage', 'read-only-storage', 'storage'],
  suits: () => true,
  constants: ({ hidden }) => ({ WG, HIDDEN4: hidden / 4 }),
  grid: ({ hidden }, { rows }) => [Math.ceil(hidden / 4 / WG), rows],
  flops: () => 0,
  bytes: ({ hidden }, { rows }) => 8 * hidden * rows,
})
