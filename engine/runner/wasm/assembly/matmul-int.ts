import { INT4, INT4_ASYMMETRIC, INT8 } from '../jobs'
import { HALF_SCALE, halves4 } from './half'
import { madd } from './simd'

/**
 * Panels of 8- and 4-bit codes, times inputs of 16 bits (quantize.ts): i32x4.dot_i16x8 multiplies four rows by
 * two columns. Sums of a group of columns are whole numbers, exact in any order; a group's sum times the two
 * scales is added to y group after group. So all tiles give the same bits here too.
 *
 * Codes, pair of columns by pair of columns (an odd last one has zeros beside it):
 *   int8   64 bytes a pair: row 0 column 0, row 0 column 1, row 1 column 0 …
 *   int4   32 bytes a pair: 16 bytes for 16 rows, of which 16-bit word 2 r + c holds rows r, 4 + r, 8 + r and
 *          12 + r of column c from the lowest four bits up; code + 8, or the code of an asymmetric matrix
 *   wide   128 bytes a pair: as int8, 16 bits each (expanded for many tokens; asymmetric codes as they are)
 *
 * Scales are halves: 32 a group and panel, row by row; asymmetric matrices have 32 minima behind them.
 *
 * A row of inputs: codes, padded to 32; then a float's scale for each group; then the sum of its codes for each.
 */

/** Bytes of a row's codes. */
// @ts-ignore: decorator
@inline
function codesBytes(cols: u32): usize {
  return ((cols + 31) & ~31) * 2
}

/** One panel times `tokens` rows of inputs, codes unpacked on the way. y holds what is added to. */
export function timesCodes(format: u32, w: usize, scales: usize, x: usize, y: usize, cols: u32, tokens: u32, xStride: usize, yStride: usize, group: u32): void {
  const scaleBytes: usize = format == INT4_ASYMMETRIC ? 128 : 64
  const pairBytes: usize = format == INT8 ? 64 : 32
  const groups = (cols + group - 1) / group
  for (let t: u32 = 0; t < tokens; t++) {
    let codes = w
    let input = x
    let inputScale = x + codesBytes(cols)
    let scale = scales
    for (let col: u32 = 0; col < cols; col += group) {
      const pairs = (min(group, cols - col) + 1) / 2
      const s = f32x4.splat(load<f32>(inputScale) * HALF_SCALE)
      const total = load<i32>(inputScale + groups * 4)
      if (format == INT8) {
        half8(codes, input, pairs, y, scale, s)
        half8(codes + 32, input, pairs, y + 64, scale + 32, s)
      } else {
        const start = format == INT4 ? -8 * total : 0
        half4(codes, input, pairs, start, y, scale, s)
        half4(codes + 16, input, pairs, start, y + 64, scale + 32, s)
        if (format == INT4_ASYMMETRIC) addMinima(y, scale + 64, s, total)
      }
      codes += pairs * pairBytes
      input += pairs * 4
      inputScale += 4
      scale += scaleBytes
    }
    x += xStride
    y += yStride
  }
}

/** y += scales · s · sums, four rows. */
// @ts-ignore: decorator
@inline
function addScaled(y: usize, sums: v128, scale: usize, s: v128): void {
  v128.store(y, madd(f32x4.convert_i32x4_s(sums), f32x4.mul(halves4(scale), s), v128.load(y)))
}

/** y += minima · s · (sum of the group's inputs), 32 rows. */
function addMinima(y: usize, minima: usize, s: v128, total: i32): void {
  const by = f32x4.mul(s, f32x4.splat(<f32>total))
  for (const end = y + 128; y < end; y += 16) {
    v128.store(y, madd(halves4(minima), by, v128.load(y)))
    minima += 8
  }
}

/** 16 rows of a group. */
function half8(w: usize, x: usize, pairs: u32, y: usize, scale: usize, s: v128): void {
  let a0 = i32x4.splat(0), a1 = a0, a2 = a0, a3 = a0
  const end = x + pairs * 4
  do {
    const a = v128.load32_splat(x)
    a0 = i32x4.add(a0, i32x4.dot_i16x8_s(v128.load_ext<i8>(w), a))
    a1 = i32x4.add(a1, i32x4.dot_i16x8_s(v128.load_ext<i8>(w, 8), a))
    a2 = i32x4.add(a2, i32x4.dot_i16x8_s(v128.load_ext<i8>(w, 16), a))
    a3 = i32x4.add(a3, i32x4.dot_i16x8_s(v128.load_ext<i8>(w, 24), a))
    w += 64
    x += 4
  } while (x < end)
  addScaled(y, a0, scale, s)
  addScaled(y + 16, a1, scale + 8, s)
  addScaled(y + 32, a2, scale + 16, s)
  addScaled(y + 48, a3, scale + 24, s)
}

/** 16 rows of a group; sums start at `start`. */
function half4(w: usize, x: usize, pairs: u32, start: i32, y: usize, scale: usize, s: v128): void {
  let a0 = i32x4.splat(start), a1 = a0, a2 = a0, a3 = a0
  const low = i16x8.splat(15)
  const end = x + pairs * 4
  do {
    const a = v128.load32_splat(x)
    const v = v128.load(w)
    a0 = i32x4.add(a0, i32x4.dot_i16x8_s(v128.and(v, low), a))
    a1 = i32x4.add(a1, i32x4.dot_i16x8_s(v128.and(i16x8.shr_u(v, 4), low), a))
    a2 = i32x4.add(a2, i32x4.dot_i16x8_s(v128.and(i16x8.shr_u(v, 8), low), a))
    a3 = i32x4.add(a3, i32x4.dot_i16x8_s(i16x8.shr_u(v, 12), a))
    w += 32
    x += 4
  } while (x < end)
  addScaled(y, a0, scale, s)
  addScaled(y + 16, a1, scale + 8, s)
  addScaled(y + 32, a2, scale + 16, s)
  addScaled(y + 48, a3, scale + 24, s)
}

/** A panel's codes, 16 bits each. Symmetric 4-bit codes lose their 8. */
export function expandCodes(format: u32, w: usize, cols: u32, to: usize): void {
  const pairs: usize = (cols + 1) / 2
  const end = to + pairs * 128
  if (format == INT8) {
    for (; to < end; to += 16) {
      v128.store(to, v128.load_ext<i8>(w))
      w += 8
    }
    return
  }
  const low = i16x8.splat(15)
  const offset = i16x8.splat(format == INT4 ? 8 : 0)
  for (; to < end; to += 64) {
    const v = v128.load(w)
    v128.store(to, i16x8.sub(v128.and(v, low), offset))
    v128.store(to, i16x8.sub(v128.and(i16x8.shr_u(v, 4), low), offset), 16)
    v128.store(to, i16x8.sub(v128.and(i16x8.shr_u(v, 8), low), offset), 32)
    v128.store(to, i16x8.sub(i16x8.shr_u(v, 12), offset), 48)
    w += 16
  }
}

/** As timesCodes, on an expanded panel: tiles of 4 × 8, 2 × 16 and 1 × 32 (tokens × rows). */
export function timesWide(asymmetric: bool, w: usize, scales: usize, x: usize, y: usize, cols: u32, tokens: u32, xStride: usize, yStride: usize, group: u32): void {
  const fours = tokens & ~3
  if (fours) {
    for (let column: usize = 0; column < 4; column++) {
      for (let t: u32 = 0; t < fours; t += 4) {
        tile4x8(asymmetric, w + column * 32, scales + column * 16, x + t * xStride, y + column * 32 + t * yStride, cols, xStride, yStride, group)
      }
    }
    x += fours * xStride
    y += fours * yStride
  }
  if (tokens & 2) {
    tile2x16(asymmetric, w, scales, x, y, cols, xStride, yStride, group)
    tile2x16(asymmetric, w + 64, scales + 32, x, y + 64, cols, xStride, yStride, group)
    x += 2 * xStride
    y += 2 * yStride
  }
  if (tokens & 1) {
    tile1x16(asymmetric, w, scales, x, y, cols, group)
    tile1x16(asymmetric, w + 64, scales + 32, x, y + 64, cols, group)
  }
}

/** y (8 rows of one token) += what a group comes to. */
// @ts-ignore: decorator
@inline
function add8(asymmetric: bool, y: usize, a: v128, b: v128, scale: usize, inputScale: usize, groups: u32): void {
  const s = f32x4.splat(load<f32>(inputScale) * HALF_SCALE)
  addScaled(y, a, scale, s)
  addScaled(y + 16, b, scale + 8, s)
  if (asymmetric) {
    const by = f32x4.mul(s, f32x4.splat(<f32>load<i32>(inputScale + groups * 4)))
    v128.store(y, madd(halves4(scale + 64), by, v128.load(y)))
    v128.store(y, madd(halves4(scale + 72), by, v128.load(y, 16)), 16)
  }
}

function tile4x8(asymmetric: bool, w: usize, scale: usize, x: usize, y: usize, cols: u32, xStride: usize, yStride: usize, group: u32): void {
  const scaleBytes: usize = asymmetric ? 128 : 64
  const groups = (cols + group - 1) / group
  let inputScale = x + codesBytes(cols)
  let xb = x + xStride
  let xc = xb + xStride
  let xd = xc + xStride
  for (let col: u32 = 0; col < cols; col += group) {
    const end = x + (min(group, cols - col) + 1) / 2 * 4
    let a0 = i32x4.splat(0), a1 = a0, b0 = a0, b1 = a0, c0 = a0, c1 = a0, d0 = a0, d1 = a0
    do {
      const w0 = v128.load(w)
      const w1 = v128.load(w, 16)
      const a = v128.load32_splat(x)
      a0 = i32x4.add(a0, i32x4.dot_i16x8_s(w0, a))
      a1 = i32x4.add(a1, i32x4.dot_i16x8_s(w1, a))
      const b = v128.load32_splat(xb)
      b0 = i32x4.add(b0, i32x4.dot_i16x8_s(w0, b))
      b1 = i32x4.add(b1, i32x4.dot_i16x8_s(w1, b))
      const c = v128.load32_splat(xc)
      c0 = i32x4.add(c0, i32x4.dot_i16x8_s(w0, c))
      c1 = i32x4.add(c1, i32x4.dot_i16x8_s(w1, c))
      const d = v128.load32_splat(xd)
      d0 = i32x4.add(d0, i32x4.dot_i16x8_s(w0, d))
      d1 = i32x4.add(d1, i32x4.dot_i16x8_s(w1, d))
      w += 128
      x += 4
      xb += 4
      xc += 4
      xd += 4
    } while (x < end)
    add8(asymmetric, y, a0, a1, scale, inputScale, groups)
    add8(asymmetric, y + yStride, b0, b1, scale, inputScale + xStride, groups)
    add8(asymmetric, y + 2 * yStride, c0, c1, scale, inputScale + 2 * xStride, groups)
    add8(asymmetric, y + 3 * yStride, d0, d1, scale, inputScale + 3 * xStride, groups)
    inputScale += 4
    scale += scaleBytes
  }
}

function tile2x16(asymmetric: bool, w: usize, scale: usize, x: usize, y: usize, cols: u32, xStride: usize, yStride: usize, group: u32): void {
  const scaleBytes: usize = asymmetric ? 128 : 64
  const groups = (cols + group - 1) / group
  let inputScale = x + codesBytes(cols)
  let xb = x + xStride
  for (let col: u32 = 0; col < cols; col += group) {
    const end = x + (min(group, cols - col) + 1) / 2 * 4
    let a0 = i32x4.splat(0), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0
    do {
      const a = v128.load32_splat(x)
      const b = v128.load32_splat(xb)
      const w0 = v128.load(w)
      a0 = i32x4.add(a0, i32x4.dot_i16x8_s(w0, a))
      b0 = i32x4.add(b0, i32x4.dot_i16x8_s(w0, b))
      const w1 = v128.load(w, 16)
      a1 = i32x4.add(a1, i32x4.dot_i16x8_s(w1, a))
      b1 = i32x4.add(b1, i32x4.dot_i16x8_s(w1, b))
      const w2 = v128.load(w, 32)
      a2 = i32x4.add(a2, i32x4.dot_i16x8_s(w2, a))
      b2 = i32x4.add(b2, i32x4.dot_i16x8_s(w2, b))
      const w3 = v128.load(w, 48)
      a3 = i32x4.add(a3, i32x4.dot_i16x8_s(w3, a))
      b3 = i32x4.add(b3, i32x4.dot_i16x8_s(w3, b))
      w += 128
      x += 4
      xb += 4
    } while (x < end)
    add8(asymmetric, y, a0, a1, scale, inputScale, groups)
    add8(asymmetric, y + 32, a2, a3, scale + 16, inputScale, groups)
    add8(asymmetric, y + yStride, b0, b1, scale, inputScale + xStride, groups)
    add8(asymmetric, y + yStride + 32, b2, b3, scale + 16, inputScale + xStride, groups)
    inputScale += 4
    scale += scaleBytes
  }
}

function tile1x16(asymmetric: bool, w: usize, scale: usize, x: usize, y: usize, cols: u32, group: u32): void {
  const scaleBytes: usize = asymmetric ? 128 : 64
  const groups = (cols + group - 1) / group
  let inputScale = x + codesBytes(cols)
  for (let col: u32 = 0; col < cols; col += group) {
    const end = x + (min(group, cols - col) + 1) / 2 * 4
    let a0 = i32x4.splat(0), a1 = a0, a2 = a0, a3 = a0
    do {
      const a = v128.load32_splat(x)
      a0 = i32x4.add(a0, i32x4.dot_i16x8_s(v128.load(w), a))
      a1 = i32x4.add(a1, i32x4.dot_i16x8_s(v128.load(w, 16), a))
      a2 = i32x4.add(a2, i32x4.dot_i16x8_s(v128.load(w, 32), a))
      a3 = i32x4.add(a3, i32x4.dot_i16x8_s(v128.load(w, 48), a))
      w += 128
      x += 4
    } while (x < end)
    add8(asymmetric, y, a0, a1, scale, inputScale, groups)
    add8(asymmetric, y + 32, a2, a3, scale + 16, inputScale, groups)
    inputScale += 4
    scale += scaleBytes
  }
}
