import type { ModelConfig } from '../../../model/config'
import type { KvPrecision } from '../../runner'
import { kernel, type Load } from '../kernel'
import { bytesPerKv, cacheReader } from './cache'
import stepWgsl from './step.wgsl?raw'
import attentionWgsl from './attention.wgsl?raw'
import rowWgsl from './attention-row.wgsl?raw'
import decodeWgsl from './attention-decode.wgsl?raw'
import combineWgsl from './attention-combine.wgsl?raw'
import prefillWgsl from './attention-prefill.wgsl?raw'

/** Rows of a chunk that one workgroup of the prefill kernel takes. */
export const TILE_ROWS = 16

export interface AttentionShape {
  heads: number
  kvHeads: number
  headDim: number
  kv: KvPrecision
  /** Positions of a context that one workgroup of the decode kernel takes: a multiple of 64. */
  split: number
}

export const DEFAULT_SPLIT = 256

const ROW_WG = 4
const DECODE_WG = 64

/** Bindings of all: q, cache, rows, block tables and masks, work list, out, partial sums. */
const common = (kv: KvPrecision) => ({
  bindings: ['read-only-storage', 'read-only-storage', 'read-only-storage', 'read-only-storage', 'read-only-storage', 'storage', 'storage'] as const,
  flops: ({ heads, headDim }: AttentionShape, { attended }: Load) => 4 * heads * headDim * attended,
  bytes: ({ heads, kvHeads, headDim }: AttentionShape, { rows, attended }: Load) => 2 * headDim * kvHeads * attended * bytesPerKv(kv, headDim) + 8 * headDim * heads * rows,
})
const constants = ({ heads, kvHeads, headDim }: AttentionShape) =>
  ({ HEADS: heads, KV_HEADS: kvHeads, HEAD_DIM4: headDim / 4, SCALE: 1 / Math.sqrt(headDim) })

/** Query heads that one workgroup of the decode kernel takes: as many that share a KV head as it has room for. */
export function headsTogether({ heads, kvHeads }: Pick<AttentionShape, 'heads' | 'kvHeads'>): number {
  const group = heads / kvHeads
  let together = Math.min(group, DECODE_WG / 8)
  while (group % together !== 0) together--
  return together
}

/** Whether the prefill kernel's tiles fit the device's shared memory. */
export function tilesFit({ maxComputeWorkgroupStorageSize }: Pick<GPUSupportedLimits, 'maxComputeWorkgroupStorageSize'>, headDim: number): boolean {
  return 4 * (2 * TILE_ROWS * headDim + TILE_ROWS * TILE_ROWS + 3 * TILE_ROWS) <= maxComputeWorkgroupStorageSize
}

export interface AttentionKernels {
  row: ReturnType<typeof kernel<AttentionShape>>
  decode: ReturnType<typeof kernel<AttentionShape>>
  combine: ReturnType<typeof kernel<AttentionShape>>
  prefill: ReturnType<typeof kernel<AttentionShape>>
}

/** The kernels of attention over a cache of this shape. Needs hd ≤ 128. */
export function attentionKernels(shape: AttentionShape): AttentionKernels {
  const { kv } = shape
  const together = headsTogether(shape)
  const source = (own: string) => `${stepWgsl}\n${attentionWgsl}\n${cacheReader(kv)}\n${own}`
  const named = (way: string) => `attention/${way}${kv === 'f32' ? '' : `, ${kv}`}`
  return {
    // Every row of the step, one invocation a row and head.
    row: kernel<AttentionShape>({
      ...common(kv),
      name: named('row'),
      source: source(rowWgsl),
      suits: (device) => device.software,
      constants: (s) => ({ ...constants(s), WG: ROW_WG }),
      grid: ({ heads }, { rows }) => [Math.ceil((rows * heads) / ROW_WG)],
    }),
    // The decodes of the step, one workgroup a row, a KV head and a part of the context.
    decode: kernel<AttentionShape>({
      ...common(kv),
      name: named('decode'),
      source: `const GROUP = ${together}u;\n${source(decodeWgsl)}`,
      suits: (device) => !device.software,
      constants: (s) => ({ ...constants(s), WG: DECODE_WG, SPLIT: s.split }),
      grid: ({ heads }, { decodes, splits }) => [heads / together, decodes, splits],
    }),
    // Their parts added up.
    combine: kernel<AttentionShape>({
      ...common(kv),
      name: named('combine'),
      source: source(combineWgsl),
      suits: (device) => !device.software,
      constants: (s) => ({ ...constants(s), SPLIT: s.split }),
      grid: ({ heads }, { decodes }) => [heads, decodes],
      flops: ({ heads, headDim }, { decodes, splits }) => 2 * heads * headDim * decodes * splits,
      bytes: ({ heads, headDim }, { decodes, splits }) => 4 * heads * (headDim + 4) * decodes * splits,
    }),
    // Longer chunks, one workgroup a tile of 16 rows and head. Needs 2 · 16 · hd floats of shared memory and some.
    prefill: kernel<AttentionShape>({
      ...common(kv),
      name: named('prefill'),
      source: source(prefillWgsl),
      suits: (device, { headDim }) => !device.software && tilesFit(device.limits, headDim),
      constants,
      grid: ({ heads }, { tiles }) => [heads, tiles],
    }),
  }
}

export function attentionShape({ heads, kvHeads, headDim }: ModelConfig, kv: KvPrecision, split = DEFAULT_SPLIT): AttentionShape {
  return { heads, kvHeads, headDim, kv, split }
}
