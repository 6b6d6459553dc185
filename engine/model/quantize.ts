import type { KvPrecision, WeightPrecision } from '../runner/runner'
import { floatToHalf, halfAbove, halfBelow, halfToFloat } from './half'
import type { LayerWeights, Weights } from './weights'

/**
 * Fewer bits a weight: the one definition, in numbers. Runners pack these numbers as their kernels like
 * them and must compute with exactly these.
 *
 * A row's columns form groups of `group` (the last one is shorter where it does not divide them). Rounding is
 * to the nearest, ties to even.
 *
 *   int8              w ≈ scale · code            code −127 … 127   scale = max|w| / 127
 *   int4              w ≈ scale · code            code −7 … 7       scale = max|w| / 7
 *   int4, asymmetric  w ≈ scale · code + minimum  code 0 … 15       scale = (max w − minimum) / 15
 *
 * Scales and minima are halves (scales rounded up, minima down), so a runner may keep them in 16 bits or 32
 * without a difference, no code leaves its range, and no weight is off by more than half a step.
 */
export interface Quantized {
  format: 'int8' | 'int4'
  cols: number
  group: number
  /** One a weight, row-major. */
  codes: Int8Array
  /** (rows, ⌈cols / group⌉) */
  scales: Float32Array
  /** (rows, ⌈cols / group⌉); asymmetric only. */
  minima?: Float32Array
}

export const DEFAULT_GROUP = 64

/** Quantizes matrix (rows, cols). Throws RangeError for other formats and for weights that are not finite or too large for a half. */
export function quantize(matrix: Float32Array, cols: number, precision: WeightPrecision): Quantized {
  const { format, group = DEFAULT_GROUP, asymmetric } = precision
  if (format !== 'int8' && format !== 'int4') throw new RangeError(`${format} is not quantized`)
  if (asymmetric && format !== 'int4') throw new RangeError('only int4 has minima')
  const perRow = Math.ceil(cols / group)
  const rows = matrix.length / cols
  const codes = new Int8Array(matrix.length)
  const scales = new Float32Array(rows * perRow)
  const minima = asymmetric ? new Float32Array(scales.length) : undefined
  const largest = format === 'int8' ? 127 : 7
  for (let g = 0; g < scales.length; g++) {
    const start = Math.floor(g / perRow) * cols + (g % perRow) * group
    const end = Math.min(start + group, (Math.floor(g / perRow) + 1) * cols)
    let min = Infinity
    let max = -Infinity
    for (let i = start; i < end; i++) {
      const w = matrix[i]!
      if (!(Math.abs(w) <= 65504)) throw new RangeError(`a weight is ${w}, which cannot be quantized`)
      if (w < min) min = w
      if (w > max) max = w
    }
    const offset = minima ? halfBelow(min) : 0
    const scale = halfAbove(minima ? (max - offset) / 15 : Math.max(-min, max) / largest)
    scales[g] = scale
    if (minima) minima[g] = offset
    if (scale > 0) for (let i = start; i < end; i++) codes[i] = nearest((matrix[i]! - offset) / scale)
  }
  return { format, cols, group, codes, scales, minima }
}

/** The weights that the codes stand for, (rows, cols). */
export function dequantize({ cols, group, codes, scales, minima }: Quantized): Float32Array {
  const perRow = Math.ceil(cols / group)
  const out = new Float32Array(codes.length)
  for (let row = 0, i = 0; i < out.length; row++) {
    for (let col = 0; col < cols; col++, i++) {
      const g = row * perRow + Math.floor(col / group)
      out[i] = scales[g]! * codes[i]! + (minima?.[g] ?? 0)
    }
  }
  return out
}

/**
 * Four bits a code, row by row: 32 columns take 16 bytes, byte j holds column j in its low and column 16 + j
 * in its high half. A 16-byte vector masked is then 16 neighbours in order, and so is each word of it for a
 * GPU's unpack4xU8. Symmetric codes are stored as code + 8. Columns are padded to 32 with what stands for zero
 * (asymmetric: for the minimum; their inputs must be zero).
 */
export function packInt4({ cols, codes, minima }: Quantized): Uint8Array {
  const blocks = Math.ceil(cols / 32)
  const rows = codes.length / cols
  const bias = minima ? 0 : 8
  const out = new Uint8Array(rows * blocks * 16).fill(bias * 0x11)
  for (let row = 0; row < rows; row++) {
    for (let col = 0; col < cols; col++) {
      const at = (row * blocks + (col >> 5)) * 16 + (col & 15)
      const code = codes[row * cols + col]! + bias
      out[at] = col & 16 ? (out[at]! & 0x0f) | (code << 4) : (out[at]! & 0xf0) | code
    }
  }
  return out
}

/** Codes of a packed matrix: the inverse of packInt4. */
export function unpackInt4(packed: Uint8Array, cols: number, asymmetric = false): Int8Array {
  const blocks = Math.ceil(cols / 32)
  const rows = packed.length / (blocks * 16)
  const bias = asymmetric ? 0 : 8
  const out = new Int8Array(rows * cols)
  for (let row = 0; row < rows; row++) {
    for (let col = 0; col < cols; col++) {
      const byte = packed[(row * blocks + (col >> 5)) * 16 + (col & 15)]!
      out[row * cols + col] = (col & 16 ? byte >> 4 : byte & 15) - bias
    }
  }
  return out
}

/** Bytes per weight on average, scales and minima included; `scaleBytes` 4 where a runner keeps those in 32 bits. */
export function weightWidth({ format, group = DEFAULT_GROUP, asymmetric }: WeightPrecision, scaleBytes: 2 | 4 = 2): number {
  switch (format) {
    case 'f32': return 4
    case 'f16': return 2
    case 'int8': return 1 + scaleBytes / group
    case 'int4': return 0.5 + (scaleBytes * (asymmetric ? 2 : 1)) / group
  }
}

/** Bytes per key or value on average, the 32-bit scale of an int8 row included. */
export function kvWidth(precision: KvPrecision, headDim: number): number {
  return { f32: 4, f16: 2, int8: 1 + 4 / headDim }[precision]
}

/** The numbers that a matrix (rows, cols) has in a precision; the matrix itself in f32. */
export function storedMatrix(matrix: Float32Array, cols: number, precision: WeightPrecision): Float32Array {
  switch (precision.format) {
    case 'f32': return matrix
    case 'f16': return halfToFloat(floatToHalf(matrix))
    default: return dequantize(quantize(matrix, cols, precision))
  }
}

/**
 * All weights as a precision has them. Matrices have it, the embedding among them; norms, biases and a mixture's
 * router, which are few and decide much, stay in f32.
 */
export function storedWeights(w: Weights, precision: WeightPrecision): Weights {
  if (precision.format === 'f32') return w
  const d = w.finalNorm.length
  const embed = storedMatrix(w.embed, d, precision)
  return {
    embed,
    layers: w.layers.map((layer): LayerWeights => {
      const stored = (matrix: Float32Array, cols: number) => storedMatrix(matrix, cols, precision)
      // o is (d, H·hd); down (d, ffn), or (E·d, ffn), as large as gate (E·ffn, d): its columns follow from gate's rows.
      const experts = (layer.router?.length ?? d) / d
      return {
        ...layer,
        q: stored(layer.q, d), k: stored(layer.k, d), v: stored(layer.v, d), o: stored(layer.o, layer.o.length / d),
        gate: stored(layer.gate, d), up: stored(layer.up, d), down: stored(layer.down, layer.down.length / d / experts),
      }
    }),
    finalNorm: w.finalNorm,
    unembed: w.unembed === w.embed ? embed : storedMatrix(w.unembed, d, precision),
  }
}

/** An int8 row of keys or values of one position and head: code · scale, code −127 … 127. */
export function quantizeKv(row: Float32Array): { codes: Int8Array; scale: number } {
  let max = 0
  for (const x of row) max = Math.max(max, Math.abs(x))
  const scale = Math.fround(max / 127)
  return { codes: Int8Array.from(row, (x) => (scale > 0 ? Math.max(-127, Math.min(127, nearest(x / scale))) : 0)), scale }
}

/** The numbers that one position and head has in the cache. */
export function storedKv(row: Float32Array, precision: KvPrecision): Float32Array {
  switch (precision) {
    case 'f32': return row
    case 'f16': return halfToFloat(floatToHalf(row))
    case 'int8': {
      const { codes, scale } = quantizeKv(row)
      return Float32Array.from(codes, (code) => code * scale)
    }
  }
}

/** To the nearest whole number, ties to even, as WebAssembly's f32.nearest and WGSL's round do. */
function nearest(x: number): number {
  const up = Math.round(x)
  return up - x === 0.5 && up % 2 !== 0 ? up - 1 : up
}
