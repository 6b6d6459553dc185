import { kernel } from '../kernel'
import pcgWgsl from './pcg.wgsl?raw'
import synthesizeWgsl from './synthesize.wgsl?raw'

const WG = 64

/** Fills a matrix from the counter-based generator. `rows` of the load is the number of values. Bindings: the matrix. */
export const synthesize = kernel<null>({
  name: 'synthesize',
  source: `${pcgWgsl}\n${synthesizeWgsl}`,
  bindings: ['storage'],
  suits: () => true,
  constants: () => ({ WG }),
  grid: (_, { rows }) => [Math.ceil(rows / WG)],
  flops: (_, { rows }) => 2 * rows,
  bytes: (_, { rows }) => 4 * rows,
})
