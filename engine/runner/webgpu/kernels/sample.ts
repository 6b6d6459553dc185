import { kernel } from '../kernel'
import stepWgsl from './step.wgsl?raw'
import pcgWgsl from './pcg.wgsl?raw'
import sampleWgsl from './sample.wgsl?raw'

export interface SampleShape {
  vocab: number
  /** Workgroup size: fewer on a software adapter. */
  width: number
}

/** Draws the next token of each sampled row. Bindings: samples, logits, held tokens, tokens of the result. */
export const sample = kernel<SampleShape>({
  name: 'sample',
  source: `${stepWgsl}\n${pcgWgsl}\n${sampleWgsl}`,
  bindings: ['read-only-storage', 'read-only-storage', 'storage', 'storage'],
  suits: () => true,
  constants: ({ vocab, width }) => ({ WG: width, VOCAB: vocab, STRIDE: 2 * Math.ceil(vocab / 2) }),
  grid: (_, { samples }) => [samples],
  flops: ({ vocab }, { samples }) => vocab * samples,
  bytes: ({ vocab }, { samples }) => 4 * vocab * samples,
})
