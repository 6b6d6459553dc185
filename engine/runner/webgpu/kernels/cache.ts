import type { KvPrecision } from '../../runner'
import { kernel } from '../kernel'
import stepWgsl from './step.wgsl?raw'
import cacheF32Wgsl from './cache-f32.wgsl?raw'
import cacheF16Wgsl from './cache-f16.wgsl?raw'
import cacheFreshWgsl from './cache-fresh.wgsl?raw'
import copyWgsl from './copy-kv.wgsl?raw'
import kvF32Wgsl from './kv-f32.wgsl?raw'
import kvF16Wgsl from './kv-f16.wgsl?raw'
import kvInt8Wgsl from './kv-int8.wgsl?raw'
import quantizeWgsl from './quantize-kv.wgsl?raw'
import { bytesSource } from './weights'

const WIDTH = { f32: 4, f16: 2, int8: 1 }
const SCALE_BYTES = { f32: 0, f16: 0, int8: 4 }

/** Bytes of the cache of one layer. */
export function cacheBytes(kv: KvPrecision, blocks: number, { kvHeads, headDim }: { kvHeads: number; headDim: number }): number {
  return blocks * kvHeads * 32 * (headDim * WIDTH[kv] + SCALE_BYTES[kv])
}

/** Bytes per stored key or value, scales included. */
export function bytesPerKv(kv: KvPrecision, headDim: number): number {
  return WIDTH[kv] + SCALE_BYTES[kv] / headDim
}

/** WGSL by which attention reads the cache, at binding 2. */
export function cacheReader(kv: KvPrecision): string {
  return kv === 'f32' ? kvF32Wgsl : kv === 'f16' ? kvF16Wgsl : `${kvInt8Wgsl}\n${bytesSource()}`
}

/** WGSL by which the projections write into the cache, or (int8) aside, at binding 7. */
export function cacheWriter(kv: KvPrecision): string {
  return { f32: cacheF32Wgsl, f16: cacheF16Wgsl, int8: cacheFreshWgsl }[kv]
}

export interface CacheShape {
  kvHeads: number
  headDim: number
  kv: KvPrecision
}

const QUANTIZE_WG = 32

/** New keys and values into an int8 cache. Bindings: fresh (rows, 2, KV heads, hd), rows, cache. */
export const quantizeKv = kernel<CacheShape>({
  name: 'quantize-kv',
  source: `${stepWgsl}\n${quantizeWgsl}`,
  bindings: ['read-only-storage', 'read-only-storage', 'storage'],
  suits: (_, { kv }) => kv === 'int8',
  constants: ({ kvHeads, headDim }) => ({ WG: QUANTIZE_WG, KV_HEADS: kvHeads, HEAD_DIM4: headDim / 4 }),
  grid: ({ kvHeads }, { rows }) => [Math.ceil((rows * 2 * kvHeads) / QUANTIZE_WG)],
  flops: ({ kvHeads, headDim }, { rows }) => 4 * rows * kvHeads * headDim,
  bytes: ({ kvHeads, headDim }, { rows }) => rows * 2 * kvHeads * (5 * headDim + 4),
})

const COPY_WG = 64

/** Slots copied within one layer's cache. Bindings: pairs of slots, cache. */
export const copyKv = kernel<CacheShape>({
  name: 'copy-kv',
  source: `${stepWgsl}\n${copyWgsl}`,
  bindings: ['read-only-storage', 'storage'],
  suits: () => true,
  constants: ({ kvHeads, headDim, kv }) => ({ WG: COPY_WG, KV_HEADS: kvHeads, WORDS: (headDim * WIDTH[kv]) / 4, SCALED: SCALE_BYTES[kv] / 4 }),
  grid: ({ kvHeads, headDim, kv }) => [Math.ceil((2 * kvHeads * (headDim * WIDTH[kv] + SCALE_BYTES[kv])) / 4 / COPY_WG)],
  flops: () => 0,
  bytes: ({ kvHeads, headDim, kv }, { copies }) => copies * 4 * kvHeads * (headDim * WIDTH[kv] + SCALE_BYTES[kv]),
})
