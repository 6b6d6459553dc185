import { F32, ITEM_BYTES, KV_BLOCK, ROW_BYTES, SPLIT } from '../jobs'
import { blockBytes, gather, openKeys, openValues, paddedHead } from './cache'
import { exp, madd, sum } from './simd'

/** Blocks of values that are gone through for all query rows before the next: 8 · 16 positions stay in the L1 cache. */
const SPAN: u32 = 8
const SPLIT_BLOCKS: u32 = SPLIT / KV_BLOCK

/**
 * softmax(q · Kᵀ) · V over the positions that each row looks at; q carries the scale already; the cache is
 * laid out as in cache.ts. Serves prefill and decode. Units: items × KV heads.
 *
 * An item is up to TILE rows of one chunk, so that keys and values in the L1 cache serve the query heads of
 * a KV head (a group, GQA) and several rows; in registers they serve two of those at once.
 *
 * The context is cut into splits of SPLIT positions, always at the same places (FlashDecoding, Dao et al.
 * 2023): each has its own largest score, sum and weighted values, and they are folded together in order. So
 * splits may go to different threads (their partial results then wait for `merge`) or to one, and neither
 * that nor what else is in the batch changes a bit.
 *
 * Item, 32-bit words: first row, rows, first split, one past the last (or all: a number larger than any),
 * address of the partial results (0: fold here and write to `out`).
 */
export function attend(
  qkv: usize, stride: usize, out: usize, outStride: usize, rows: usize, keys: usize, values: usize, blocks: u32,
  headDim: u32, group: u32, kvHeads: u32, items: usize, format: u32, scratch: usize, from: u32, to: u32,
): void {
  const padded = paddedHead(headDim)
  const keyBlock = blockBytes(format, headDim)
  const valueBlock = blockBytes(format, padded)
  for (let unit = from; unit < to; unit++) {
    const item = items + unit / kvHeads * ITEM_BYTES
    const head = unit % kvHeads
    const first = load<u32>(item)
    const count = load<u32>(item, 4)
    const partial = load<u32>(item, 16)
    const row = rows + first * ROW_BYTES
    const longest = load<u32>(row + (count - 1) * ROW_BYTES, 4) + 1
    const lastSplit = min(load<u32>(item, 12), (longest + SPLIT - 1) / SPLIT)
    const queries = count * group
    const record: usize = (padded + 4) * 4

    const scores = scratch
    const scoreStride: usize = SPLIT * 4 + 64
    const own = scores + queries * scoreStride // this split's results
    const folded = own + queries * record // of all splits so far
    const list = folded + queries * record
    const opened = list + SPLIT_BLOCKS * 8
    const headKeys = keys + <usize>head * blocks * keyBlock
    const headValues = values + <usize>head * blocks * valueBlock
    const q = qkv + first * stride + head * group * headDim * 4

    for (let split = load<u32>(item, 8); split < lastSplit; split++) {
      const start = split * SPLIT
      const end = min(start + SPLIT, longest)
      findBlocks(format, row, start, end, headKeys, headValues, keyBlock, valueBlock, headDim, list, opened)
      scoreAll(q, stride, queries, group, headDim, list, end - start, scores, scoreStride)
      const result = partial ? partial + (head * load<u32>(item, 20) + split) * queries * record : own
      for (let i: u32 = 0; i < queries; i++) {
        const positions = load<u32>(row + i / group * ROW_BYTES, 4) + 1
        softmax(scores + i * scoreStride, positions > start ? min(positions, end) - start : 0, end - start, result + i * record + padded * 4)
        memory.fill(result + i * record, 0, padded * 4)
      }
      mixAll(scores, scoreStride, queries, list + SPLIT_BLOCKS * 4, end - start, padded, result, record)
      if (!partial) for (let i: u32 = 0; i < queries; i++) fold(folded + i * record, result + i * record, padded, split == 0)
    }
    if (partial) continue
    for (let i: u32 = 0; i < queries; i++) {
      finish(folded + i * record, padded, out + (first + i / group) * outStride + (head * group + i % group) * headDim * 4, headDim)
    }
  }
}

/** Folds partial results, split by split as `attend` does. Units: items × KV heads; of each row its first split's item only. */
export function merge(
  out: usize, outStride: usize, headDim: u32, group: u32, kvHeads: u32, items: usize, scratch: usize, from: u32, to: u32,
): void {
  const padded = paddedHead(headDim)
  const record: usize = (padded + 4) * 4
  for (let unit = from; unit < to; unit++) {
    const item = items + unit / kvHeads * ITEM_BYTES
    if (load<u32>(item, 8)) continue
    const head = unit % kvHeads
    const splits = load<u32>(item, 20)
    for (let i: u32 = 0; i < group; i++) {
      const first: usize = load<u32>(item, 16) + (head * splits * group + i) * record
      for (let split: u32 = 0; split < splits; split++) fold(scratch, first + split * group * record, padded, split == 0)
      finish(scratch, padded, out + load<u32>(item) * outStride + (head * group + i) * headDim * 4, headDim)
    }
  }
}

/**
 * Addresses of blocks of floats that hold positions [start, end) of a row: keys at `list`, values SPLIT_BLOCKS
 * entries on. Where the cache holds halves or codes the blocks are made in `opened`; and where the row belongs to
 * a tree its last positions, which lie scattered, are brought together there, as if the row's branch were the only one.
 */
function findBlocks(
  format: u32, row: usize, start: u32, end: u32, headKeys: usize, headValues: usize, keyBlock: usize, valueBlock: usize,
  headDim: u32, list: usize, opened: usize,
): void {
  const table = load<u32>(row, 8)
  const wall = load<u32>(row, 16)
  for (let first = start; first < end; first += KV_BLOCK) {
    let k = opened
    let v = k + blockBytes(F32, headDim)
    if (first >= wall) {
      gather(format, load<u32>(row, 20) + (first - wall) * 4, min(KV_BLOCK, end - first), table, headKeys, headValues, headDim, k, v)
      opened = v + blockBytes(F32, paddedHead(headDim))
    } else {
      const block: usize = load<u32>(table + first / KV_BLOCK * 4)
      const keys = headKeys + block * keyBlock
      const values = headValues + block * valueBlock
      if (format == F32) {
        k = keys
        v = values
      } else {
        openKeys(format, keys, headDim, k)
        openValues(format, values, headDim, v)
        opened = v + blockBytes(F32, paddedHead(headDim))
      }
    }
    store<u32>(list, <u32>k)
    store<u32>(list + SPLIT_BLOCKS * 4, <u32>v)
    list += 4
  }
}

/** Scores of all query rows against `count` positions whose key blocks stand in `list`. */
function scoreAll(q: usize, stride: usize, queries: u32, group: u32, headDim: u32, list: usize, count: u32, scores: usize, scoreStride: usize): void {
  for (let first: u32 = 0; first < count; first += KV_BLOCK) {
    const block: usize = load<u32>(list + first / KV_BLOCK * 4)
    let score = scores + first * 4
    let i: u32 = 0
    let head: u32 = 0
    let a = q
    while (i < queries) {
      let b = a + headDim * 4
      if (++head == group) {
        head = 0
        b += stride - group * headDim * 4
      }
      if (i + 1 == queries) {
        scores1(a, block, headDim, score)
        break
      }
      scores2(a, b, block, headDim, score, scoreStride)
      a = b + headDim * 4
      if (++head == group) {
        head = 0
        a += stride - group * headDim * 4
      }
      i += 2
      score += 2 * scoreStride
    }
  }
}

/** Scores of two query rows against the 16 keys of a block. */
function scores2(q: usize, qb: usize, k: usize, headDim: u32, score: usize, scoreStride: usize): void {
  let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0
  const end = q + headDim * 4
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

/** Scores of one query row against the 16 keys of a block. */
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
 * The first `positions` of `shown` scores to e^(score − largest), in place, the others to 0; the largest
 * and the sum go to `result`. What lies behind the last position, up to a multiple of eight, counts as −∞.
 */
function softmax(score: usize, positions: u32, shown: u32, result: usize): void {
  const end = score + positions * 4
  const padded = score + ((positions + 7) & ~7) * 4
  memory.fill(padded, 0, (shown + 15 & ~15) * 4 - (padded - score))
  store<f32>(result, -Infinity)
  store<f32>(result, 0, 4)
  if (!positions) return
  for (let p = end; p < padded; p += 4) store<f32>(p, -Infinity)
  let top = v128.load(score), other = v128.load(score, 16)
  for (let p = score + 32; p < padded; p += 32) {
    top = f32x4.pmax(top, v128.load(p))
    other = f32x4.pmax(other, v128.load(p, 16))
  }
  top = f32x4.pmax(top, other)
  const largest = max(
    max(f32x4.extract_lane(top, 0), f32x4.extract_lane(top, 1)),
    max(f32x4.extract_lane(top, 2), f32x4.extract_lane(top, 3)))
  const most = f32x4.splat(largest)
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
  store<f32>(result, largest)
  store<f32>(result, sum(f32x4.add(total, rest)), 4)
}

/** Adds weights · values to the results of all query rows; the value blocks stand in `list`. */
function mixAll(scores: usize, scoreStride: usize, queries: u32, list: usize, count: u32, padded: u32, result: usize, record: usize): void {
  for (let first: u32 = 0; first < count; first += SPAN * KV_BLOCK) {
    const last = min(first + SPAN * KV_BLOCK, count)
    for (let d: u32 = 0; d < padded; d += 16) {
      let i: u32 = 0
      let score = scores + first * 4
      let sums = result + d * 4
      for (; i + 2 <= queries; i += 2) {
        mix2(score, scoreStride, list + first / KV_BLOCK * 4, d * (KV_BLOCK * 4), last - first, sums, record)
        score += 2 * scoreStride
        sums += 2 * record
      }
      if (i < queries) mix1(score, list + first / KV_BLOCK * 4, d * (KV_BLOCK * 4), last - first, sums)
    }
  }
}

/** sums (16 values, two rows) += weights · values over `count` positions. */
function mix2(p: usize, scoreStride: usize, list: usize, panel: usize, count: u32, sums: usize, record: usize): void {
  const other = sums + record
  let a0 = v128.load(sums), a1 = v128.load(sums, 16), a2 = v128.load(sums, 32), a3 = v128.load(sums, 48)
  let b0 = v128.load(other), b1 = v128.load(other, 16), b2 = v128.load(other, 32), b3 = v128.load(other, 48)
  let pb = p + scoreStride
  const last = p + count * 4
  do {
    let v: usize = load<u32>(list) + panel
    list += 4
    const end = min(p + KV_BLOCK * 4, last)
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
  } while (p < last)
  v128.store(sums, a0)
  v128.store(sums, a1, 16)
  v128.store(sums, a2, 32)
  v128.store(sums, a3, 48)
  v128.store(other, b0)
  v128.store(other, b1, 16)
  v128.store(other, b2, 32)
  v128.store(other, b3, 48)
}

/** As mix2, for one row. */
function mix1(p: usize, list: usize, panel: usize, count: u32, sums: usize): void {
  let a0 = v128.load(sums), a1 = v128.load(sums, 16), a2 = v128.load(sums, 32), a3 = v128.load(sums, 48)
  const last = p + count * 4
  do {
    let v: usize = load<u32>(list) + panel
    list += 4
    const end = min(p + KV_BLOCK * 4, last)
    do {
      const a = v128.load32_splat(p)
      a0 = madd(v128.load(v), a, a0)
      a1 = madd(v128.load(v, 16), a, a1)
      a2 = madd(v128.load(v, 32), a, a2)
      a3 = madd(v128.load(v, 48), a, a3)
      v += 64
      p += 4
    } while (p < end)
  } while (p < last)
  v128.store(sums, a0)
  v128.store(sums, a1, 16)
  v128.store(sums, a2, 32)
  v128.store(sums, a3, 48)
}

/** Takes a split's results (padded head_dim values, then largest score and sum of weights) into those of the splits before. */
function fold(folded: usize, result: usize, padded: u32, isFirst: bool): void {
  const tail = padded * 4
  if (isFirst) return memory.copy(folded, result, tail + 8)
  const n = load<f32>(result + tail, 4)
  if (n == 0) return // nothing of this split is looked at
  const a = load<f32>(folded + tail)
  const b = load<f32>(result + tail)
  const most = max(a, b)
  const shares = exp(f32x4.replace_lane(f32x4.splat(a - most), 1, b - most))
  const before = f32x4.splat(f32x4.extract_lane(shares, 0))
  const now = f32x4.splat(f32x4.extract_lane(shares, 1))
  for (let i: usize = 0; i < tail; i += 16) {
    v128.store(folded + i, madd(v128.load(result + i), now, f32x4.mul(v128.load(folded + i), before)))
  }
  store<f32>(folded + tail, most)
  store<f32>(folded + tail, load<f32>(folded + tail, 4) * f32x4.extract_lane(before, 0) + n * f32x4.extract_lane(now, 0), 4)
}

/** target = values / sum of weights, `count` floats. */
function finish(folded: usize, padded: u32, target: usize, count: u32): void {
  const scale = <f32>1 / load<f32>(folded + padded * 4, 4)
  const whole = folded + (count & ~3) * 4
  const end = folded + count * 4
  const s = f32x4.splat(scale)
  for (; folded < whole; folded += 16) {
    v128.store(target, f32x4.mul(v128.load(folded), s))
    target += 16
  }
  for (; folded < end; folded += 4) {
    store<f32>(target, load<f32>(folded) * scale)
    target += 4
  }
}
