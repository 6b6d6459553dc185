import { F16, F32, INT4_ASYMMETRIC, INT8, PANEL, TOKEN_BLOCK } from '../jobs'
import { expandHalves, timesHalves } from './matmul-half'
import { expandCodes, timesCodes, timesWide } from './matmul-int'
import { madd } from './simd'
import { swiglu } from './swiglu'

/**
 * y (T, rows) = x (T, cols) · Wᵀ, f32.
 *
 * W (rows, cols) is stored in panels of 32 rows, inside a panel column by column: the 32 weights that
 * meet x[k] lie side by side, rows beyond the last are zero. So one stream serves one token (GEMV) as
 * well as many (GEMM); a lane is an output, so nothing is added across lanes; and each output is the sum
 * over k = 0, 1, 2 … in that order whatever the tile, so a token's result does not depend on what it was
 * batched with or on which thread computed it.
 *
 * Tiles (tokens × rows): 4 × 8, 2 × 16 and 1 × 32, all of eight accumulators: enough to cover the latency
 * of a multiply-add, and with the loads of one k they fit the 15 registers that V8 has to give on x86.
 * Unrolling over k was measured and is slower: V8's older compiler lifts all loads of a loop body to
 * its top and then spills.
 */

/**
 * What a panel of W is and how it is gone through: `format` (jobs.ts), address of W's scales, columns that share
 * one, and from how many tokens on the panel is opened up for tiles: fewer go through it one by one. That
 * switch-over is measured (tune.ts). `scratch` holds an opened panel, 32 columns of floats at most.
 */

/** Units: panels × blocks of TOKEN_BLOCK tokens, all panels of a block first. Strides in bytes. */
export function matmul(
  w: usize, x: usize, y: usize, cols: u32, tokens: u32, xStride: usize, yStride: usize, add: bool, panels: u32,
  format: u32, scales: usize, group: u32, switchAt: u32, scratch: usize, from: u32, to: u32,
): void {
  const panelBytes = bytesOf(format, cols)
  const scaleBytes = scaleBytesOf(format, cols, group)
  for (let unit = from; unit < to; unit++) {
    const first = unit / panels * TOKEN_BLOCK
    const panel: usize = unit % panels
    matmulPanel(
      format, w + panel * panelBytes, scales + panel * scaleBytes, x + first * xStride, y + first * yStride + panel * (PANEL * 4),
      cols, min(TOKEN_BLOCK, tokens - first), xStride, yStride, add, group, switchAt, scratch)
  }
}

/**
 * middle (T, ffn) = silu(x · gateᵀ) ∘ (x · upᵀ). A panel holds 16 rows of gate and the same 16 of up, so
 * both halves meet in `scratch` (TOKEN_BLOCK × 32 floats, the opened panel behind them) while they are in the
 * cache. Units as in matmul.
 */
export function gateUp(
  w: usize, x: usize, middle: usize, cols: u32, tokens: u32, xStride: usize, middleStride: usize, panels: u32,
  format: u32, scales: usize, group: u32, switchAt: u32, scratch: usize, from: u32, to: u32,
): void {
  const panelBytes = bytesOf(format, cols)
  const scaleBytes = scaleBytesOf(format, cols, group)
  for (let unit = from; unit < to; unit++) {
    const first = unit / panels * TOKEN_BLOCK
    const panel: usize = unit % panels
    const count = min(TOKEN_BLOCK, tokens - first)
    matmulPanel(
      format, w + panel * panelBytes, scales + panel * scaleBytes, x + first * xStride, scratch, cols, count, xStride, PANEL * 4, false,
      group, switchAt, scratch + TOKEN_BLOCK * PANEL * 4)
    swiglu(scratch, middle + first * middleStride + panel * (PANEL * 2), middleStride, count)
  }
}

function bytesOf(format: u32, cols: u32): usize {
  if (format == F32) return cols * (PANEL * 4)
  if (format == F16) return cols * (PANEL * 2)
  return (cols + 1) / 2 * (format == INT8 ? PANEL * 2 : PANEL)
}

function scaleBytesOf(format: u32, cols: u32, group: u32): usize {
  return format < <u32>INT8 ? 0 : (cols + group - 1) / group * (format == INT4_ASYMMETRIC ? PANEL * 4 : PANEL * 2)
}

/** One panel times `tokens` rows of x; of the formats of few bits x is what quantizeRows makes. */
function matmulPanel(
  format: u32, w: usize, scales: usize, x: usize, y: usize, cols: u32, tokens: u32, xStride: usize, yStride: usize, add: bool,
  group: u32, switchAt: u32, scratch: usize,
): void {
  const few = tokens < switchAt
  if (format >= <u32>INT8) {
    if (!add) for (let t: u32 = 0; t < tokens; t++) memory.fill(y + t * yStride, 0, PANEL * 4)
    if (few) return timesCodes(format, w, scales, x, y, cols, tokens, xStride, yStride, group)
    expandCodes(format, w, cols, scratch)
    return timesWide(format == INT4_ASYMMETRIC, scratch, scales, x, y, cols, tokens, xStride, yStride, group)
  }
  if (few) {
    for (let t: u32 = 0; t < tokens; t++) {
      if (format == F32) tile1x32(w, x, y, cols, add)
      else timesHalves(w, x, y, cols, add)
      x += xStride
      y += yStride
    }
    return
  }
  if (format == F32) touch(w, cols * (PANEL * 4))
  else {
    expandHalves(w, cols, scratch)
    w = scratch
  }
  tiles(w, x, y, cols, tokens, xStride, yStride, add)
}

/** One panel of floats times `tokens` rows of x. */
function tiles(w: usize, x: usize, y: usize, cols: u32, tokens: u32, xStride: usize, yStride: usize, add: bool): void {
  const fours = tokens & ~3
  if (fours) {
    for (let column: usize = 0; column < <usize>(PANEL * 4); column += 32) {
      let xt = x
      let yt = y + column
      for (let t: u32 = 0; t < fours; t += 4) {
        tile4x8(w + column, xt, yt, cols, xStride, yStride, add)
        xt += 4 * xStride
        yt += 4 * yStride
      }
    }
    x += fours * xStride
    y += fours * yStride
  }
  if (tokens & 2) {
    tile2x16(w, x, y, cols, xStride, yStride, add)
    tile2x16(w + 64, x, y + 64, cols, xStride, yStride, add)
    x += 2 * xStride
    y += 2 * yStride
  }
  if (tokens & 1) tile1x32(w, x, y, cols, add)
}

/** Keeps the compiler from leaving out the reads of `touch`. */
let touched: u32 = 0

/**
 * Reads a panel straight through, a word of every cache line. Tiles step through it with a multiply-add
 * between any two reads, too slowly for the processor's read-ahead: from the L3 cache they ran at half
 * the rate of this and tiles on what it brought.
 */
function touch(p: usize, bytes: usize): void {
  let words: u32 = 0
  for (const end = p + bytes; p < end; p += 256) words |= load<u32>(p) | load<u32>(p, 64) | load<u32>(p, 128) | load<u32>(p, 192)
  touched = words
}

// @ts-ignore: decorator
@inline
function put(y: usize, value: v128, add: bool): void {
  v128.store(y, add ? f32x4.add(v128.load(y), value) : value)
}

function tile4x8(w: usize, x: usize, y: usize, cols: u32, xStride: usize, yStride: usize, add: bool): void {
  let a0 = f32x4.splat(0), a1 = a0, b0 = a0, b1 = a0, c0 = a0, c1 = a0, d0 = a0, d1 = a0
  let xb = x + xStride
  let xc = xb + xStride
  let xd = xc + xStride
  const end = x + cols * 4
  do {
    const w0 = v128.load(w)
    const w1 = v128.load(w, 16)
    const a = v128.load32_splat(x)
    a0 = madd(w0, a, a0)
    a1 = madd(w1, a, a1)
    const b = v128.load32_splat(xb)
    b0 = madd(w0, b, b0)
    b1 = madd(w1, b, b1)
    const c = v128.load32_splat(xc)
    c0 = madd(w0, c, c0)
    c1 = madd(w1, c, c1)
    const d = v128.load32_splat(xd)
    d0 = madd(w0, d, d0)
    d1 = madd(w1, d, d1)
    w += PANEL * 4
    x += 4
    xb += 4
    xc += 4
    xd += 4
  } while (x < end)
  put(y, a0, add)
  put(y + 16, a1, add)
  y += yStride
  put(y, b0, add)
  put(y + 16, b1, add)
  y += yStride
  put(y, c0, add)
  put(y + 16, c1, add)
  y += yStride
  put(y, d0, add)
  put(y + 16, d1, add)
}

function tile2x16(w: usize, x: usize, y: usize, cols: u32, xStride: usize, yStride: usize, add: bool): void {
  let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0
  let xb = x + xStride
  const end = x + cols * 4
  do {
    const a = v128.load32_splat(x)
    const b = v128.load32_splat(xb)
    const w0 = v128.load(w)
    a0 = madd(w0, a, a0)
    b0 = madd(w0, b, b0)
    const w1 = v128.load(w, 16)
    a1 = madd(w1, a, a1)
    b1 = madd(w1, b, b1)
    const w2 = v128.load(w, 32)
    a2 = madd(w2, a, a2)
    b2 = madd(w2, b, b2)
    const w3 = v128.load(w, 48)
    a3 = madd(w3, a, a3)
    b3 = madd(w3, b, b3)
    w += PANEL * 4
    x += 4
    xb += 4
  } while (x < end)
  put(y, a0, add)
  put(y + 16, a1, add)
  put(y + 32, a2, add)
  put(y + 48, a3, add)
  y += yStride
  put(y, b0, add)
  put(y + 16, b1, add)
  put(y + 32, b2, add)
  put(y + 48, b3, add)
}

/**
 * The decode kernel. The panel's halves take turns, four columns each: a loop of four accumulators
 * keeps to the registers, and the processor runs the end of one half beside the start of the other.
 */
function tile1x32(w: usize, x: usize, y: usize, cols: u32, add: bool): void {
  let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0
  const end = x + cols * 4
  do {
    const stop = min(x + 4 * 4, end)
    let wa = w
    let xa = x
    do {
      const a = v128.load32_splat(xa)
      a0 = madd(v128.load(wa), a, a0)
      a1 = madd(v128.load(wa, 16), a, a1)
      a2 = madd(v128.load(wa, 32), a, a2)
      a3 = madd(v128.load(wa, 48), a, a3)
      wa += PANEL * 4
      xa += 4
    } while (xa < stop)
    do {
      const b = v128.load32_splat(x)
      b0 = madd(v128.load(w, 64), b, b0)
      b1 = madd(v128.load(w, 80), b, b1)
      b2 = madd(v128.load(w, 96), b, b2)
      b3 = madd(v128.load(w, 112), b, b3)
      w += PANEL * 4
      x += 4
    } while (x < stop)
  } while (x < end)
  put(y, a0, add)
  put(y + 16, a1, add)
  put(y + 32, a2, add)
  put(y + 48, a3, add)
  put(y + 64, b0, add)
  put(y + 80, b1, add)
  put(y + 96, b2, add)
  put(y + 112, b3, add)
}
