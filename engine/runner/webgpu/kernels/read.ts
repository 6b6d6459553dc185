import { kernel } from '../kernel'
import readWgsl from './read.wgsl?raw'

export interface ReadShape {
  workgroups: number
  width: number
}

/** Reads a buffer once. `rows` of the load is the number of vec4s. Bindings: data, sums. */
export const read = kernel<ReadShape>({
  name: 'read',
  source: readWgsl,
  bindings: ['read-only-storage', 'storage'],
  suits: () => true,
  constants: ({ width }) => ({ WG: width }),
  grid: ({ workgroups }) => [workgroups],
  flops: (_, { rows }) => 4 * rows,
  bytes: (_, { rows }) => 16 * rows,
})
