import type { ModelConfig } from '../../model/config'
import { ATTEND, COPY_SLOTS, EMBED, KV_BLOCK, MATMUL, MERGE, PANEL, RMS_NORM, ROTATE_APPEND, SPLIT, SWIGLU, TILE_QUERIES, TOKEN_BLOCK } from './jobs'
import { floatBits, type Machine } from './machine'
import type { Staged } from './stage'
import { padded, type Matrix } from './weights'

/** Keys and values of one layer: addresses of the two regions (assembly/rope.ts says how they are laid out). */
export interface LayerCache {
  keys: number
  values: number
}

/**
 * The kernels of one model, by name. Addresses are bytes into the linear memory; activations are rows
 * of 32-bit floats, each filled up to a multiple of 32; T is how many rows a step computes.
 */
export class Kernels {
  /** Bytes of one row. */
  readonly hiddenStride: number
  readonly qkvStride: number
  readonly attendedStride: number
  readonly middleStride: number
  /** Bytes of one layer's keys and of its values. */
  readonly keyBytes: number
  readonly valueBytes: number
  /** Bytes each thread needs to itself. */
  readonly scratchBytes: number
  /** Bytes of a query row's partial result in attention: a head's values, the largest score, the sum of weights. */
  readonly recordBytes: number
  private readonly epsilon: number
  private readonly queryScale: number

  constructor(private readonly c: ModelConfig, private readonly blocks: number) {
    const headValues = Math.ceil(c.headDim / 16) * 16
    this.hiddenStride = 4 * padded(c.hidden)
    this.qkvStride = 4 * (padded(c.heads * c.headDim) + 2 * padded(c.kvHeads * c.headDim))
    this.attendedStride = 4 * padded(c.heads * c.headDim)
    this.middleStride = 4 * padded(c.ffn)
    this.keyBytes = 4 * c.kvHeads * blocks * KV_BLOCK * c.headDim
    this.valueBytes = 4 * c.kvHeads * blocks * KV_BLOCK * headValues
    this.recordBytes = 4 * (headValues + 4)
    const queries = Math.max(TILE_QUERIES, c.heads / c.kvHeads)
    // One cache line more than the scores: rows a power of two apart would fight for the same lines.
    const attention = queries * (4 * SPLIT + 64 + 2 * this.recordBytes) + (SPLIT / KV_BLOCK) * (8 + 4 * KV_BLOCK * (c.headDim + headValues))
    this.scratchBytes = Math.ceil(Math.max(attention, 4 * TOKEN_BLOCK * PANEL) / 64) * 64
    this.epsilon = floatBits(c.rmsNormEps)
    this.queryScale = floatBits(1 / Math.sqrt(c.headDim))
  }

  /** x = rows of the embedding table: (T) -> (T, d). `rows` are records of token, position and block table. */
  embed(m: Machine, rows: number, count: number, table: Matrix, x: number): void {
    m.launch(EMBED, count, rows, table.address, x, table.cols, this.hiddenStride)
  }

  /** h = x / √(mean(x²) + ε) ∘ weight: (T, d) -> (T, d) */
  rmsNorm(m: Machine, x: number, weight: number, count: number, h: number): void {
    m.launch(RMS_NORM, count, x, weight, h, this.c.hidden, this.hiddenStride, this.epsilon)
  }

  /** y = x Wᵀ, or y += x Wᵀ: (T, cols) @ (cols, rows) -> (T, rows) */
  matmul(m: Machine, w: Matrix, x: number, xStride: number, count: number, y: number, yStride: number, add = false): void {
    m.launch(MATMUL, units(w, count), w.address, x, y, w.cols, count, xStride, yStride, add ? 1 : 0, w.panels)
  }

  /** middle = silu(x gateᵀ) ∘ (x upᵀ): (T, d) -> (T, ffn) */
  swiglu(m: Machine, gateUp: Matrix, x: number, count: number, middle: number, scratch: number): void {
    m.launch(SWIGLU, units(gateUp, count), gateUp.address, x, middle, gateUp.cols, count, this.hiddenStride, this.middleStride, gateUp.panels, scratch, this.scratchBytes)
  }

  /** Turns q and k by their positions, scales q, and stores k and v in the cache. */
  rotateAppend(m: Machine, qkv: number, angles: number, rows: number, count: number, cache: LayerCache): void {
    const { c } = this
    const kOffset = 4 * padded(c.heads * c.headDim)
    const vOffset = kOffset + 4 * padded(c.kvHeads * c.headDim)
    m.launch(ROTATE_APPEND, count, qkv, this.qkvStride, kOffset, vOffset, angles, rows, cache.keys, cache.values, this.blocks, c.headDim, c.heads, c.kvHeads, this.queryScale)
  }

  /** out = softmax(q Kᵀ / √hd) V over what each row looks at: (T, H·hd) -> (T, H·hd). Items as staged (stage.ts). */
  attend(m: Machine, qkv: number, rows: number, items: number, { items: count, splitItems }: Pick<Staged, 'items' | 'splitItems'>, cache: LayerCache, out: number, scratch: number): void {
    const { c } = this
    const group = c.heads / c.kvHeads
    m.launch(
      ATTEND, count * c.kvHeads, qkv, this.qkvStride, out, this.attendedStride, rows, cache.keys, cache.values, this.blocks,
      c.headDim, group, c.kvHeads, items, scratch, this.scratchBytes)
    if (splitItems) m.launch(MERGE, splitItems * c.kvHeads, out, this.attendedStride, c.headDim, group, c.kvHeads, items, scratch, this.scratchBytes)
  }

  /** Moves keys and values of one layer between slots: `count` pairs of slots (from, to), one after the other. */
  copySlots(m: Machine, cache: LayerCache, pairs: number, count: number): void {
    m.launch(COPY_SLOTS, this.c.kvHeads, cache.keys, cache.values, this.blocks, this.c.headDim, pairs, count)
  }
}

function units(w: Matrix, count: number): number {
  return w.panels * Math.ceil(count / TOKEN_BLOCK)
}

/** cos and sin of position · θ^(−i / (hd / 2)), hd / 2 of each a position (rotary embedding, Su et al. 2021). */
export function fillAngles(f32: Float32Array, address: number, c: ModelConfig): void {
  const half = c.headDim / 2
  const frequencies = Array.from({ length: half }, (_, i) => c.ropeTheta ** (-i / half))
  for (let position = 0, at = address / 4; position < c.maxPositions; position++, at += c.headDim) {
    for (let i = 0; i < half; i++) {
      const angle = position * frequencies[i]!
      f32[at + i] = Math.cos(angle)
      f32[at + half + i] = Math.sin(angle)
    }
  }
}
