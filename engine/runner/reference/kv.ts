import type { ModelConfig } from '../../model/config'
import { BLOCK_SIZE } from '../runner'

/**
 * Keys and values in blocks of 16 positions, found through a sequence's block table (PagedAttention,
 * Kwon et al. 2023). Layout: layer, block, position in block, key/value head, head dimension.
 */
export class PagedKv {
  private readonly keys: Float32Array
  private readonly values: Float32Array
  private readonly row: number // KV·hd

  constructor(private readonly c: ModelConfig, private readonly blocks: number) {
    this.row = c.kvHeads * c.headDim
    this.keys = new Float32Array(c.layers * blocks * BLOCK_SIZE * this.row)
    this.values = new Float32Array(this.keys.length)
  }

  /** Stores k, v (T, KV·hd) at positions start … start + T − 1. */
  write(layer: number, table: Int32Array, start: number, k: Float32Array, v: Float32Array): void {
    for (let t = 0; t < k.length / this.row; t++) {
      const at = this.offset(layer, table, start + t)
      this.keys.set(k.subarray(t * this.row, (t + 1) * this.row), at)
      this.values.set(v.subarray(t * this.row, (t + 1) * this.row), at)
    }
  }

  key(layer: number, table: Int32Array, position: number, head: number): Float32Array {
    const at = this.offset(layer, table, position) + head * this.c.headDim
    return this.keys.subarray(at, at + this.c.headDim)
  }

  value(layer: number, table: Int32Array, position: number, head: number): Float32Array {
    const at = this.offset(layer, table, position) + head * this.c.headDim
    return this.values.subarray(at, at + this.c.headDim)
  }

  private offset(layer: number, table: Int32Array, position: number): number {
    const block = table[Math.floor(position / BLOCK_SIZE)]!
    return ((layer * this.blocks + block) * BLOCK_SIZE + (position % BLOCK_SIZE)) * this.row
  }
}
