import { KV_BLOCK, ROW_BYTES } from '../jobs'
import { blockBytes, paddedHead, storeKey, storeValue } from './cache'

/**
 * Rotary embedding (Su et al. 2021; pairs are element i and i + head_dim / 2, as in Hugging Face's Llama)
 * of q and k, in place; k and v go into the cache (cache.ts). Rows [from, to).
 *
 * qkv[t]: q (heads · head_dim) at 0, k at kOffset, v at vOffset. q is multiplied by `scale`
 * (1 / √head_dim), which spares the scores. angles: cos then sin, head_dim / 2 each, for every position.
 * Offsets and strides in bytes.
 */
export function rotateAppend(
  qkv: usize, stride: usize, kOffset: usize, vOffset: usize, angles: usize, rows: usize, keys: usize, values: usize,
  blocks: u32, headDim: u32, heads: u32, kvHeads: u32, scale: f32, format: u32, from: u32, to: u32,
): void {
  const keyBlock = blockBytes(format, headDim)
  const valueBlock = blockBytes(format, paddedHead(headDim))
  for (let t = from; t < to; t++) {
    const row = rows + t * ROW_BYTES
    const position = load<u32>(row, 4)
    const slot = load<u32>(row, 12)
    const block = load<u32>(load<u32>(row, 8) + slot / KV_BLOCK * 4)
    const cos = angles + <usize>position * headDim * 4
    let q = qkv + t * stride
    let k = q + kOffset
    let v = q + vOffset
    for (let h: u32 = 0; h < heads; h++) {
      rotate(q, cos, headDim / 2, scale)
      q += headDim * 4
    }
    for (let h: u32 = 0; h < kvHeads; h++) {
      rotate(k, cos, headDim / 2, 1)
      storeKey(format, k, keys + (<usize>h * blocks + block) * keyBlock, slot % KV_BLOCK, headDim)
      storeValue(format, v, values + (<usize>h * blocks + block) * valueBlock, slot % KV_BLOCK, headDim)
      k += headDim * 4
      v += headDim * 4
    }
  }
}

// @ts-ignore: decorator
@inline
function rotate(x: usize, cos: usize, half: u32, scale: f32): void {
  const sin = cos + half * 4
  for (let i: u32 = 0; i < half; i++) {
    const c = load<f32>(cos + i * 4) * scale
    const s = load<f32>(sin + i * 4) * scale
    const a = load<f32>(x + i * 4)
    const b = load<f32>(x + (i + half) * 4)
    store<f32>(x + i * 4, a * c - b * s)
    store<f32>(x + (i + half) * 4, b * c + a * s)
  }
}
