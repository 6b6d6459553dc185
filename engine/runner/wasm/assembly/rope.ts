import { KV_BLOCK, ROW_BYTES } from '../jobs'

/**
 * Rotary embedding (Su et al. 2021; pairs are element i and i + head_dim / 2, as in Hugging Face's Llama)
 * of q, in place, and of k on its way into the cache, for rows [from, to).
 *
 * qkv[t]: q (heads · head_dim) at 0, k at kOffset, v at vOffset. q is multiplied by `scale`
 * (1 / √head_dim), which spares the scores. angles: cos then sin, head_dim / 2 each, for every position.
 *
 * The cache of a layer: for each KV head its `blocks` blocks of keys, (head_dim, 16 positions) each; and
 * apart from them its blocks of values, (⌈head_dim / 16⌉, 16 positions, 16) each: what attention reads
 * together lies together. Offsets and strides in bytes.
 */
export function rotateAppend(
  qkv: usize, stride: usize, kOffset: usize, vOffset: usize, angles: usize, rows: usize, keys: usize, values: usize,
  blocks: u32, headDim: u32, heads: u32, kvHeads: u32, scale: f32, from: u32, to: u32,
): void {
  const half = headDim / 2
  const keyBlock: usize = headDim * (KV_BLOCK * 4)
  const valueBlock: usize = ((headDim + 15) & ~15) * (KV_BLOCK * 4)
  for (let t = from; t < to; t++) {
    const position = load<u32>(rows + t * ROW_BYTES, 4)
    const table = load<u32>(rows + t * ROW_BYTES, 8)
    const cos = angles + <usize>position * headDim * 4
    const sin = cos + half * 4
    let q = qkv + t * stride
    let k = q + kOffset
    let v = q + vOffset
    for (let h: u32 = 0; h < heads; h++) {
      for (let i: u32 = 0; i < half; i++) {
        const c = load<f32>(cos + i * 4) * scale
        const s = load<f32>(sin + i * 4) * scale
        const a = load<f32>(q + i * 4)
        const b = load<f32>(q + (i + half) * 4)
        store<f32>(q + i * 4, a * c - b * s)
        store<f32>(q + (i + half) * 4, b * c + a * s)
      }
      q += headDim * 4
    }
    const place = load<u32>(rows + t * ROW_BYTES, 12)
    const block = load<u32>(table + place / KV_BLOCK * 4)
    const slot = place % KV_BLOCK
    for (let h: u32 = 0; h < kvHeads; h++) {
      const key = keys + (<usize>h * blocks + block) * keyBlock + slot * 4
      for (let i: u32 = 0; i < half; i++) {
        const c = load<f32>(cos + i * 4)
        const s = load<f32>(sin + i * 4)
        const a = load<f32>(k + i * 4)
        const b = load<f32>(k + (i + half) * 4)
        store<f32>(key + i * (KV_BLOCK * 4), a * c - b * s)
        store<f32>(key + (i + half) * (KV_BLOCK * 4), b * c + a * s)
      }
      const value = values + (<usize>h * blocks + block) * valueBlock + slot * 64
      for (let i: u32 = 0; i < headDim; i++) {
        store<f32>(value + i / 16 * (KV_BLOCK * 64) + i % 16 * 4, load<f32>(v + i * 4))
      }
      k += headDim * 4
      v += headDim * 4
    }
  }
}
