import type { ModelConfig } from '../../model/config'
import { storedKv } from '../../model/quantize'
import { BLOCK_SIZE, type KvPrecision } from '../runner'

/**
 * Keys and values in blocks of 16 slots, found through a sequence's block table (PagedAttention,
 * Kwon et al. 2023). Layout: layer, slot, key/value head, head dimension. Numbers are kept as 32-bit floats, with the
 * values that they have in the cache's precision.
 */
export class PagedKv {
  private readonly keys: Float32Array
  private readonly values: Float32Array
  private readonly row: number // KV·hd
  private readonly slots: number

  constructor(private readonly c: ModelConfig, blocks: number, private readonly precision: KvPrecision = 'f32') {
    this.row = c.kvHeads * c.headDim
    this.slots = blocks * BLOCK_SIZE
    this.keys = new Float32Array(c.layers * this.slots * this.row)
    this.values = new Float32Array(this.keys.length)
  }

  /** Stores k, v (T, KV·hd) in these slots. */
  write(layer: number, slots: Int32Array, k: Float32Array, v: Float32Array): void {
    const { headDim } = this.c
    for (const [t, slot] of slots.entries()) {
      for (let at = 0; at < this.row; at += headDim) {
        const head = [t * this.row + at, t * this.row + at + headDim] as const
        this.keys.set(storedKv(k.subarray(...head), this.precision), this.offset(layer, slot) + at)
        this.values.set(storedKv(v.subarray(...head), this.precision), this.offset(layer, slot) + at)
      }
    }
  }

  /** What is in slot `from` of every layer, into slot `to`. */
  copy(from: number, to: number): void {
    for (let layer = 0; layer < this.c.layers; layer++) {
      const at = this.offset(layer, from)
      this.keys.copyWithin(this.offset(layer, to), at, at + this.row)
      this.values.copyWithin(this.offset(layer, to), at, at + this.row)
    }
  }

  key(layer: number, slot: number, head: number): Float32Array {
    const at = this.offset(layer, slot) + head * this.c.headDim
    return this.keys.subarray(at, at + this.c.headDim)
  }

  value(layer: number, slot: number, head: number): Float32Array {
    const at = this.offset(layer, slot) + head * this.c.headDim
    return this.values.subarray(at, at + this.c.headDim)
  }

  private offset(layer: number, slot: number): number {
    return (layer * this.slots + slot) * this.row
  }
}
