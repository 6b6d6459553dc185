import { KV_BLOCK } from '../jobs'

/**
 * Brings keys and values of `count` scattered slots together as positions 0, 1, 2 … of a block at `k` and
 * one at `v`. `path` holds the slots, numbered through the sequence's block `table`.
 */
export function gather(
  path: usize, count: u32, table: usize, headKeys: usize, headValues: usize, keyBlock: usize, valueBlock: usize, headDim: u32, padded: u32, k: usize, v: usize,
): void {
  for (let p: u32 = 0; p < count; p++) {
    const slot = load<u32>(path + p * 4)
    const block: usize = load<u32>(table + slot / KV_BLOCK * 4)
    const at = slot % KV_BLOCK
    moveKey(headKeys + block * keyBlock + at * 4, k + p * 4, headDim)
    moveValue(headValues + block * valueBlock + at * 64, v + p * 64, padded)
  }
}

/** Moves keys and values of one KV head of one layer from slot to slot, pair by pair (from, to: slots of the pool). Units: KV heads. */
export function copySlots(keys: usize, values: usize, blocks: u32, headDim: u32, pairs: usize, count: u32, from: u32, to: u32): void {
  const padded = (headDim + 15) & ~15
  const keyBlock: usize = headDim * (KV_BLOCK * 4)
  const valueBlock: usize = padded * (KV_BLOCK * 4)
  for (let head = from; head < to; head++) {
    const k = keys + <usize>head * blocks * keyBlock
    const v = values + <usize>head * blocks * valueBlock
    for (let i: u32 = 0; i < count; i++) {
      const a = load<u32>(pairs + i * 8)
      const b = load<u32>(pairs + i * 8, 4)
      moveKey(k + <usize>(a / KV_BLOCK) * keyBlock + a % KV_BLOCK * 4, k + <usize>(b / KV_BLOCK) * keyBlock + b % KV_BLOCK * 4, headDim)
      moveValue(v + <usize>(a / KV_BLOCK) * valueBlock + a % KV_BLOCK * 64, v + <usize>(b / KV_BLOCK) * valueBlock + b % KV_BLOCK * 64, padded)
    }
  }
}

/** A key stands in a column of its block. */
function moveKey(from: usize, to: usize, headDim: u32): void {
  for (let i: u32 = 0; i < headDim; i++) {
    store<f32>(to, load<f32>(from))
    from += KV_BLOCK * 4
    to += KV_BLOCK * 4
  }
}

/** A value stands in rows of 16, one in every panel of its block. */
function moveValue(from: usize, to: usize, padded: u32): void {
  for (let i: u32 = 0; i < padded; i += 16) {
    v128.store(to, v128.load(from))
    v128.store(to, v128.load(from, 16), 16)
    v128.store(to, v128.load(from, 32), 32)
    v128.store(to, v128.load(from, 48), 48)
    from += KV_BLOCK * 64
    to += KV_BLOCK * 64
  }
}
