import type { ModelConfig } from '../../../model/config'
import { kernel, type Load } from '../kernel'
import stepWgsl from './step.wgsl?raw'
import attentionWgsl from './attention.wgsl?raw'
import rowWgsl from './attention-row.wgsl?raw'
import decodeWgsl from './attention-decode.wgsl?raw'
import prefillWgsl from './attention-prefill.wgsl?raw'

/** Rows of a chunk that one workgroup of the prefill kernel takes. */
export const TILE_ROWS = 16

export interface AttentionShape {
  heads: number
  kvHeads: number
  headDim: number
}

const ROW_WG = 4
const DECODE_WG = 64

/** Bindings of all three: q, keys, values, rows, block tables, work list, out. */
const common = {
  bindings: [...Array<GPUBufferBindingType>(6).fill('read-only-storage'), 'storage'] as const,
  flops: ({ heads, headDim }: AttentionShape, { attended }: Load) => 4 * heads * headDim * attended,
  bytes: ({ heads, kvHeads, headDim }: AttentionShape, { rows, attended }: Load) => 8 * headDim * (kvHeads * attended + heads * rows),
}
const constants = ({ heads, kvHeads, headDim }: AttentionShape) =>
  ({ HEADS: heads, KV_HEADS: kvHeads, HEAD_DIM4: headDim / 4, SCALE: 1 / Math.sqrt(headDim) })

/** Every row of the step, one invocation a row and head. */
export const attentionRow = kernel<AttentionShape>({
  ...common,
  name: 'attention/row',
  source: `${stepWgsl}\n${attentionWgsl}\n${rowWgsl}`,
  suits: (device) => device.software,
  constants: (shape) => ({ ...constants(shape), WG: ROW_WG }),
  grid: ({ heads }, { rows }) => [Math.ceil((rows * heads) / ROW_WG)],
})

/** The decodes of the step, one workgroup a row and head. */
export const attentionDecode = kernel<AttentionShape>({
  ...common,
  name: 'attention/decode',
  source: `${stepWgsl}\n${attentionWgsl}\n${decodeWgsl}`,
  suits: (device) => !device.software,
  constants: (shape) => ({ ...constants(shape), WG: DECODE_WG }),
  grid: ({ heads }, { decodes }) => [heads, decodes],
})

/** Longer chunks, one workgroup a tile of 16 rows and head. Needs 2 · 16 · hd floats of shared memory and some. */
export const attentionPrefill = kernel<AttentionShape>({
  ...common,
  name: 'attention/prefill',
  source: `${stepWgsl}\n${attentionWgsl}\n${prefillWgsl}`,
  suits: (device, { headDim }) =>
    !device.software && 4 * (2 * TILE_ROWS * headDim + TILE_ROWS * TILE_ROWS + 3 * TILE_ROWS) <= device.limits.maxComputeWorkgroupStorageSize,
  constants,
  grid: ({ heads }, { tiles }) => [heads, tiles],
})

export function attentionShape({ heads, kvHeads, headDim }: ModelConfig): AttentionShape {
  return { heads, kvHeads, headDim }
}
