import { F16, F32, INT8, KV_BLOCK } from '../jobs'
import { HALF_SCALE, half, halves4 } from './half'

/**
 * The cache of a layer: for each KV head its `blocks` blocks of keys, (head_dim, 16 positions) each; and apart
 * from them its blocks of values, (⌈head_dim / 16⌉, 16 positions, 16) each: what attention reads together lies
 * together. Numbers are floats, halves, or 8-bit codes; a block of codes has 16 floats behind it, the scale of
 * each position (engine/model/quantize.ts, quantizeKv).
 */

// @ts-ignore: decorator
@inline
export function paddedHead(headDim: u32): u32 {
  return (headDim + 15) & ~15
}

// @ts-ignore: decorator
@inline
function shiftOf(format: u32): usize {
  return format == F32 ? 2 : format == F16 ? 1 : 0
}

/** Bytes of a block that holds `width` numbers for each of its positions. */
// @ts-ignore: decorator
@inline
export function blockBytes(format: u32, width: u32): usize {
  return (<usize>(width * KV_BLOCK) << shiftOf(format)) + (format == INT8 ? KV_BLOCK * 4 : 0)
}

// @ts-ignore: decorator
@inline
function scalesOf(block: usize, width: u32): usize {
  return block + width * KV_BLOCK
}

/** A position's key, `headDim` floats, into a column of a block. */
export function storeKey(format: u32, key: usize, block: usize, at: u32, headDim: u32): void {
  if (format == F32) {
    for (let i: u32 = 0; i < headDim; i++) store<f32>(block + (i * KV_BLOCK + at) * 4, load<f32>(key + i * 4))
  } else if (format == F16) {
    for (let i: u32 = 0; i < headDim; i++) store<u16>(block + (i * KV_BLOCK + at) * 2, toHalf(load<f32>(key + i * 4)))
  } else {
    const scale = scaleOf(key, headDim)
    store<f32>(scalesOf(block, headDim) + at * 4, scale)
    for (let i: u32 = 0; i < headDim; i++) store<i8>(block + i * KV_BLOCK + at, toCode(load<f32>(key + i * 4), scale))
  }
}

/** A position's value, `headDim` floats, into rows of 16, one in every panel of a block. */
export function storeValue(format: u32, value: usize, block: usize, at: u32, headDim: u32): void {
  const scale: f32 = format == INT8 ? scaleOf(value, headDim) : 0
  if (format == INT8) store<f32>(scalesOf(block, paddedHead(headDim)) + at * 4, scale)
  for (let i: u32 = 0; i < headDim; i++) {
    const x = load<f32>(value + i * 4)
    const place: usize = (i / 16 * KV_BLOCK + at) * 16 + i % 16
    if (format == F32) store<f32>(block + place * 4, x)
    else if (format == F16) store<u16>(block + place * 2, toHalf(x))
    else store<i8>(block + place, toCode(x, scale))
  }
}

function scaleOf(row: usize, count: u32): f32 {
  let most: f32 = 0
  for (let i: u32 = 0; i < count; i++) most = max(most, abs(load<f32>(row + i * 4)))
  return most / 127
}

/** Divides in double precision, as the definition in TypeScript does. */
function toCode(x: f32, scale: f32): i8 {
  if (!(scale > 0)) return 0
  return <i8>min(max(nearest(<f64>x / <f64>scale), -127), 127)
}

/** To the nearest half, ties to even. */
function toHalf(x: f32): u16 {
  const bits = reinterpret<u32>(x)
  const sign = bits >> 16 & 0x8000
  const rest = bits & 0x7fffffff
  if (rest >= 0x477ff000) return <u16>(sign | (rest > 0x7f800000 ? 0x7e00 : 0x7c00))
  // Subnormal: adding 1/2 leaves the half's fraction in the low bits, rounded by the addition.
  if (rest < 0x38800000) return <u16>(sign | (reinterpret<u32>(reinterpret<f32>(rest) + 0.5) - 0x3f000000))
  return <u16>(sign | ((rest - 0x38000000 + 0xfff + (rest >> 13 & 1)) >> 13))
}

/** A block of keys as floats. */
export function openKeys(format: u32, block: usize, headDim: u32, to: usize): void {
  if (format == F16) return openHalves(block, to, headDim * KV_BLOCK)
  const scales = scalesOf(block, headDim)
  const s0 = v128.load(scales), s1 = v128.load(scales, 16), s2 = v128.load(scales, 32), s3 = v128.load(scales, 48)
  for (; block < scales; block += 16) {
    const low = v128.load_ext<i8>(block)
    const high = v128.load_ext<i8>(block, 8)
    v128.store(to, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(low)), s0))
    v128.store(to, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(low)), s1), 16)
    v128.store(to, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(high)), s2), 32)
    v128.store(to, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(high)), s3), 48)
    to += 64
  }
}

/** A block of values as floats. */
export function openValues(format: u32, block: usize, headDim: u32, to: usize): void {
  const width = paddedHead(headDim)
  if (format == F16) return openHalves(block, to, width * KV_BLOCK)
  const scales = scalesOf(block, width)
  for (let at: u32 = 0; block < scales; block += 16) {
    const s = v128.load32_splat(scales + at * 4)
    at = (at + 1) % KV_BLOCK
    const low = v128.load_ext<i8>(block)
    const high = v128.load_ext<i8>(block, 8)
    v128.store(to, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(low)), s))
    v128.store(to, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(low)), s), 16)
    v128.store(to, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(high)), s), 32)
    v128.store(to, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(high)), s), 48)
    to += 64
  }
}

function openHalves(from: usize, to: usize, count: u32): void {
  const scale = f32x4.splat(HALF_SCALE)
  for (const end = from + count * 2; from < end; from += 8) {
    v128.store(to, f32x4.mul(halves4(from), scale))
    to += 16
  }
}

/**
 * Brings keys and values of `count` scattered slots together, as floats, as positions 0, 1, 2 … of a block at
 * `k` and one at `v`. `path` holds the slots, numbered through the sequence's block `table`.
 */
export function gather(format: u32, path: usize, count: u32, table: usize, headKeys: usize, headValues: usize, headDim: u32, k: usize, v: usize): void {
  const width = paddedHead(headDim)
  const keyBlock = blockBytes(format, headDim)
  const valueBlock = blockBytes(format, width)
  for (let p: u32 = 0; p < count; p++) {
    const slot = load<u32>(path + p * 4)
    const block: usize = load<u32>(table + slot / KV_BLOCK * 4)
    const at = slot % KV_BLOCK
    const key = headKeys + block * keyBlock
    const value = headValues + block * valueBlock
    for (let i: u32 = 0; i < headDim; i++) store<f32>(k + (i * KV_BLOCK + p) * 4, number(format, key, headDim, i * KV_BLOCK + at, at))
    for (let i: u32 = 0; i < width; i++) {
      const row = i / 16 * KV_BLOCK * 16 + i % 16
      store<f32>(v + (row + p * 16) * 4, number(format, value, width, row + at * 16, at))
    }
  }
}

/** Number `index` of a block, which belongs to position `at`. */
// @ts-ignore: decorator
@inline
function number(format: u32, block: usize, width: u32, index: u32, at: u32): f32 {
  if (format == F32) return load<f32>(block + index * 4)
  if (format == F16) return half(block + index * 2)
  return <f32>load<i8>(block + index) * load<f32>(scalesOf(block, width) + at * 4)
}

/** Moves keys and values of one KV head of one layer from slot to slot, pair by pair (from, to: slots of the pool). Units: KV heads. */
export function copySlots(format: u32, keys: usize, values: usize, blocks: u32, headDim: u32, pairs: usize, count: u32, from: u32, to: u32): void {
  const width = paddedHead(headDim)
  const keyBlock = blockBytes(format, headDim)
  const valueBlock = blockBytes(format, width)
  const shift = shiftOf(format)
  for (let head = from; head < to; head++) {
    const k = keys + <usize>head * blocks * keyBlock
    const v = values + <usize>head * blocks * valueBlock
    for (let i: u32 = 0; i < count; i++) {
      const a = load<u32>(pairs + i * 8)
      const b = load<u32>(pairs + i * 8, 4)
      const ka = k + <usize>(a / KV_BLOCK) * keyBlock
      const kb = k + <usize>(b / KV_BLOCK) * keyBlock
      const va = v + <usize>(a / KV_BLOCK) * valueBlock
      const vb = v + <usize>(b / KV_BLOCK) * valueBlock
      for (let j: u32 = 0; j < headDim; j++) {
        memory.copy(kb + (<usize>(j * KV_BLOCK + b % KV_BLOCK) << shift), ka + (<usize>(j * KV_BLOCK + a % KV_BLOCK) << shift), <usize>1 << shift)
      }
      for (let j: u32 = 0; j < width; j += 16) {
        memory.copy(vb + (<usize>(j * KV_BLOCK + b % KV_BLOCK * 16) << shift), va + (<usize>(j * KV_BLOCK + a % KV_BLOCK * 16) << shift), <usize>16 << shift)
      }
      if (format == INT8) {
        store<f32>(scalesOf(kb, headDim) + b % KV_BLOCK * 4, load<f32>(scalesOf(ka, headDim) + a % KV_BLOCK * 4))
        store<f32>(scalesOf(vb, width) + b % KV_BLOCK * 4, load<f32>(scalesOf(va, width) + a % KV_BLOCK * 4))
      }
    }
  }
}
