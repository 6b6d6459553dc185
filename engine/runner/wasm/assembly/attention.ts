import { KV_BLOCK, ROW_BYTES } from '../jobs'
import { exp, madd, sum } from './simd'

/** Blocks of values that are gone through for all heads of a group before the next: 8 · 16 positions stay in the L1 cache. */
const SPAN: u32 = 8

/**
 * out[t][h] = softmax(q[t][h] · Kᵀ) · V over positions 0 … position(t), through the block tables; q carries
 * the scale already; the cache is laid out as in rope.ts. Serves prefill and decode: the query heads of a KV head (a group, GQA) and, in pairs,
 * the registers are what is reused. Units: rows × KV heads. Strides and sizes in bytes.
 *
 * scratch: group rows of `scoreStride` bytes for the scores, then group rows of padded head_dim for the sums, then group scales.
 */
export function attend(
  qkv: usize, stride: usize, out: usize, outStride: usize, rows: usize, keys: usize, values: usize, blocks: u32,
  headDim: u32, group: u32, kvHeads: u32, scoreStride: usize, scratch: usize, from: u32, to: u32,
): void {
  const padded = (headDim + 15) & ~15
  const keyBlock: usize = headDim * (KV_BLOCK * 4)
  const valueBlock: usize = padded * (KV_BLOCK * 4)
  const sums = scratch + group * scoreStride
  const scales = sums + group * padded * 4
  for (let unit = from; unit < to; unit++) {
    const t = unit / kvHeads
    const head = unit % kvHeads
    const positions = load<u32>(rows + t * ROW_BYTES, 4) + 1
    const table = load<u32>(rows + t * ROW_BYTES, 8)
    const headKeys = keys + <usize>head * blocks * keyBlock
    const headValues = values + <usize>head * blocks * valueBlock
    const q = qkv + t * stride + head * group * headDim * 4

    for (let first: u32 = 0; first < positions; first += KV_BLOCK) {
      const block = headKeys + <usize>load<u32>(table + first / KV_BLOCK * 4) * keyBlock
      let row: u32 = 0
      for (; row + 2 <= group; row += 2) scores2(q + row * headDim * 4, block, headDim, scratch + row * scoreStride + first * 4, scoreStride)
      if (row < group) scores1(q + row * headDim * 4, block, headDim, scratch + row * scoreStride + first * 4)
    }

    memory.fill(sums, 0, group * padded * 4)
    for (let row: u32 = 0; row < group; row++) store<f32>(scales + row * 4, softmax(scratch + row * scoreStride, positions))

    for (let first: u32 = 0; first < positions; first += SPAN * KV_BLOCK) {
      const last = min(first + SPAN * KV_BLOCK, positions)
      for (let d: u32 = 0; d < padded; d += 16) {
        const panel = headValues + d * (KV_BLOCK * 4)
        let row: u32 = 0
        for (; row + 2 <= group; row += 2) mix2(scratch + row * scoreStride, scoreStride, table, panel, valueBlock, first, last, sums + (row * padded + d) * 4, padded * 4)
        if (row < group) mix1(scratch + row * scoreStride, table, panel, valueBlock, first, last, sums + (row * padded + d) * 4)
      }
    }

    let target = out + t * outStride + head * group * headDim * 4
    for (let row: u32 = 0; row < group; row++) {
      scaled(sums + row * padded * 4, load<f32>(scales + row * 4), target, headDim)
      target += headDim * 4
    }
  }
}

/** Scores of two query heads against the 16 keys of a block. */
function scores2(q: usize, k: usize, headDim: u32, score: usize, scoreStride: usize): void {
  let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0
  let qb = q + headDim * 4
  const end = qb
  do {
    const a = v128.load32_splat(q)
    const b = v128.load32_splat(qb)
    const k0 = v128.load(k)
    a0 = madd(k0, a, a0)
    b0 = madd(k0, b, b0)
    const k1 = v128.load(k, 16)
    a1 = madd(k1, a, a1)
    b1 = madd(k1, b, b1)
    const k2 = v128.load(k, 32)
    a2 = madd(k2, a, a2)
    b2 = madd(k2, b, b2)
    const k3 = v128.load(k, 48)
    a3 = madd(k3, a, a3)
    b3 = madd(k3, b, b3)
    q += 4
    qb += 4
    k += KV_BLOCK * 4
  } while (q < end)
  v128.store(score, a0)
  v128.store(score, a1, 16)
  v128.store(score, a2, 32)
  v128.store(score, a3, 48)
  score += scoreStride
  v128.store(score, b0)
  v128.store(score, b1, 16)
  v128.store(score, b2, 32)
  v128.store(score, b3, 48)
}

/** Scores of one query head against the 16 keys of a block. */
function scores1(q: usize, k: usize, headDim: u32, score: usize): void {
  let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0
  const end = q + headDim * 4
  do {
    const a = v128.load32_splat(q)
    a0 = madd(v128.load(k), a, a0)
    a1 = madd(v128.load(k, 16), a, a1)
    a2 = madd(v128.load(k, 32), a, a2)
    a3 = madd(v128.load(k, 48), a, a3)
    q += 4
    k += KV_BLOCK * 4
  } while (q < end)
  v128.store(score, a0)
  v128.store(score, a1, 16)
  v128.store(score, a2, 32)
  v128.store(score, a3, 48)
}

/**
 * Scores to e^(score − largest), in place; returns what to multiply by to make them probabilities. What lies
 * behind the last position, up to a multiple of eight, counts as −∞; those slots hold whatever was there before.
 */
function softmax(score: usize, positions: u32): f32 {
  const end = score + positions * 4
  const padded = score + ((positions + 7) & ~7) * 4
  for (let p = end; p < padded; p += 4) store<f32>(p, -Infinity)
  let top = v128.load(score), other = v128.load(score, 16)
  for (let p = score + 32; p < padded; p += 32) {
    top = f32x4.pmax(top, v128.load(p))
    other = f32x4.pmax(other, v128.load(p, 16))
  }
  top = f32x4.pmax(top, other)
  const most = f32x4.splat(max(
    max(f32x4.extract_lane(top, 0), f32x4.extract_lane(top, 1)),
    max(f32x4.extract_lane(top, 2), f32x4.extract_lane(top, 3))))
  let total = f32x4.splat(0), rest = total
  // Two at a time: V8 makes the constants of `exp` anew in every round.
  for (let p = score; p < padded; p += 32) {
    const a = exp(f32x4.sub(v128.load(p), most))
    const b = exp(f32x4.sub(v128.load(p, 16), most))
    v128.store(p, a)
    v128.store(p, b, 16)
    total = f32x4.add(total, a)
    rest = f32x4.add(rest, b)
  }
  return <f32>1 / sum(f32x4.add(total, rest))
}

/** target = sums · scale, `count` floats. */
function scaled(sums: usize, scale: f32, target: usize, count: u32): void {
  const whole = sums + (count & ~3) * 4
  const end = sums + count * 4
  for (; sums < whole; sums += 16) {
    v128.store(target, f32x4.mul(v128.load(sums), f32x4.splat(scale)))
    target += 16
  }
  for (; sums < end; sums += 4) {
    store<f32>(target, load<f32>(sums) * scale)
    target += 4
  }
}

/** Adds to 16 sums of each of two heads: probabilities of positions [first, last) times their values. */
function mix2(score: usize, scoreStride: usize, table: usize, panel: usize, blockBytes: usize, first: u32, last: u32, sums: usize, sumStride: usize): void {
  let a0 = v128.load(sums), a1 = v128.load(sums, 16), a2 = v128.load(sums, 32), a3 = v128.load(sums, 48)
  const other = sums + sumStride
  let b0 = v128.load(other), b1 = v128.load(other, 16), b2 = v128.load(other, 32), b3 = v128.load(other, 48)
  let p = score + first * 4
  let pb = p + scoreStride
  for (; first < last; first += KV_BLOCK) {
    let v = panel + <usize>load<u32>(table + first / KV_BLOCK * 4) * blockBytes
    const end = score + min(first + KV_BLOCK, last) * 4
    do {
      const a = v128.load32_splat(p)
      const b = v128.load32_splat(pb)
      const v0 = v128.load(v)
      a0 = madd(v0, a, a0)
      b0 = madd(v0, b, b0)
      const v1 = v128.load(v, 16)
      a1 = madd(v1, a, a1)
      b1 = madd(v1, b, b1)
      const v2 = v128.load(v, 32)
      a2 = madd(v2, a, a2)
      b2 = madd(v2, b, b2)
      const v3 = v128.load(v, 48)
      a3 = madd(v3, a, a3)
      b3 = madd(v3, b, b3)
      v += 64
      p += 4
      pb += 4
    } while (p < end)
  }
  v128.store(sums, a0)
  v128.store(sums, a1, 16)
  v128.store(sums, a2, 32)
  v128.store(sums, a3, 48)
  v128.store(other, b0)
  v128.store(other, b1, 16)
  v128.store(other, b2, 32)
  v128.store(other, b3, 48)
}

/** As mix2, for one head. */
function mix1(score: usize, table: usize, panel: usize, blockBytes: usize, first: u32, last: u32, sums: usize): void {
  let a0 = v128.load(sums), a1 = v128.load(sums, 16), a2 = v128.load(sums, 32), a3 = v128.load(sums, 48)
  let p = score + first * 4
  for (; first < last; first += KV_BLOCK) {
    let v = panel + <usize>load<u32>(table + first / KV_BLOCK * 4) * blockBytes
    const end = score + min(first + KV_BLOCK, last) * 4
    do {
      const a = v128.load32_splat(p)
      a0 = madd(v128.load(v), a, a0)
      a1 = madd(v128.load(v, 16), a, a1)
      a2 = madd(v128.load(v, 32), a, a2)
      a3 = madd(v128.load(v, 48), a, a3)
      v += 64
      p += 4
    } while (p < end)
  }
  v128.store(sums, a0)
  v128.store(sums, a1, 16)
  v128.store(sums, a2, 32)
  v128.store(sums, a3, 48)
}
