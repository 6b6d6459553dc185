import { floatToHalf } from '../../model/half'
import { DEFAULT_GROUP, quantize } from '../../model/quantize'
import { pcg } from '../../model/random'
import type { ModelConfig } from '../../model/config'
import { layerTensorNumber, routerNumber, syntheticScale, syntheticValue } from '../../model/synthetic'
import { layerShape, type LayerWeights, type Model, type Weights } from '../../model/weights'
import type { WeightPrecision } from '../runner'
import type { Arena } from './arena'
import { F16, F32, GENERATE, INT4, INT4_ASYMMETRIC, INT8, PANEL } from './jobs'
import { floatBits, type Machine } from './machine'

/** A matrix in panels: of 32-bit floats as in assembly/matmul.ts, of halves and codes as in matmul-half.ts and matmul-int.ts. */
export interface Matrix {
  address: number
  cols: number
  /** Rows / 32, rounded up; the rows that fills up with are zero. */
  panels: number
  /** F32, F16, INT8 … (jobs.ts) */
  format: number
  /** Columns that share a scale, and where the scales lie; of codes only. */
  group: number
  scales: number
}

export interface PackedLayer {
  attentionNorm: number
  /** q, k and v one below the other, each filled up to whole panels. */
  qkv: Matrix
  /** Biases of q, k and v, filled up likewise. */
  qkvBias?: number
  o: Matrix
  ffnNorm: number
  /** Of a mixture: the experts' scores, always in f32. */
  router?: Matrix
  /** A dense layer has one. */
  experts: PackedExpert[]
}

export interface PackedExpert {
  /** Panels of 16 rows of gate and the same 16 of up. */
  gateUp: Matrix
  down: Matrix
}

export interface PackedWeights {
  embed: Matrix
  layers: PackedLayer[]
  finalNorm: number
  unembed: Matrix
  /** Where each of the model's tensors goes. */
  parts: Part[]
}

/** What a part of the packed weights is made from. */
interface Source {
  /** Undefined: the model has no such tensor, zeros stand for it. */
  tensor(weights: Weights): Float32Array | undefined
  /** Of the synthetic generator; undefined: `fill` throughout. */
  number?: number
  fill?: number
}

/** A vector's place. */
interface VectorPart extends Source {
  kind: 'vector'
  address: number
  count: number
}

/**
 * A matrix's place, or a part of one's: row first + r of the tensor is row base + ⌊r / run⌋ · 32 + offset + r mod run
 * of the packed matrix.
 */
interface MatrixPart extends Source {
  kind: 'matrix'
  matrix: Matrix
  first: number
  rows: number
  base: number
  run: number
  offset: number
}

type Part = VectorPart | MatrixPart

/** Rows that are packed at a time: what lies around of a large model while it is loaded. A multiple of a run. */
const BATCH_ROWS = 256

/** n filled up to whole panels. */
export function padded(n: number): number {
  return Math.ceil(n / PANEL) * PANEL
}

export function formatOf({ format, asymmetric }: WeightPrecision): number {
  switch (format) {
    case 'f32': return F32
    case 'f16': return F16
    case 'int8': return INT8
    case 'int4': return asymmetric ? INT4_ASYMMETRIC : INT4
  }
}

/** Sets a place aside for a matrix. */
export function reserveMatrix(arena: Arena, rows: number, cols: number, precision: WeightPrecision): Matrix {
  const format = formatOf(precision)
  const group = precision.group ?? DEFAULT_GROUP
  const panels = padded(rows) / PANEL
  const pairs = Math.ceil(cols / 2)
  const bytes = { [F32]: 4 * PANEL * cols, [F16]: 2 * PANEL * cols, [INT8]: 2 * PANEL * pairs, [INT4]: PANEL * pairs, [INT4_ASYMMETRIC]: PANEL * pairs }[format]!
  const address = arena.take(panels * bytes)
  return { address, cols, panels, format, group, scales: format >= INT8 ? arena.take(panels * Math.ceil(cols / group) * scaleBytes(format)) : 0 }
}

function scaleBytes(format: number): number {
  return format === INT4_ASYMMETRIC ? 4 * PANEL : 2 * PANEL
}

/** Bytes that one pass over a matrix reads. */
export function matrixBytes({ cols, panels, format, group }: Matrix): number {
  const width = { [F32]: 4, [F16]: 2, [INT8]: 1, [INT4]: 0.5, [INT4_ASYMMETRIC]: 0.5 }[format]!
  return panels * (PANEL * cols * width + (format >= INT8 ? Math.ceil(cols / group) * scaleBytes(format) : 0))
}

/** Sets places aside for all weights of a model. */
export function reserveWeights(arena: Arena, c: ModelConfig, precision: WeightPrecision = { format: 'f32' }): PackedWeights {
  const parts: Part[] = []
  const matrix = (rows: number, cols: number) => reserveMatrix(arena, rows, cols, precision)
  const vector = (count: number, source: Source): number => {
    const address = arena.takeWords(padded(count))
    parts.push({ kind: 'vector', address, count, ...source })
    return address
  }
  const put = (into: Matrix, rows: number, source: Source, place: Partial<Pick<MatrixPart, 'first' | 'base' | 'run' | 'offset'>> = {}) =>
    parts.push({ kind: 'matrix', matrix: into, rows, first: 0, base: 0, run: PANEL, offset: 0, ...source, ...place })

  const d = c.hidden
  const q = c.heads * c.headDim
  const kv = c.kvHeads * c.headDim
  const embed = matrix(c.vocabSize, d)
  put(embed, c.vocabSize, { tensor: (w) => w.embed, number: 0 })
  const layers = Array.from({ length: c.layers }, (_, l): PackedLayer => {
    const of = (tensor: Exclude<keyof LayerWeights, 'router' | 'qBias' | 'kBias' | 'vBias'>): Source => {
      const number = layerTensorNumber(l, tensor)
      return { tensor: (w) => w.layers[l]![tensor], ...(layerShape(c, tensor)[0] === 1 ? { fill: 1 } : { number }) }
    }
    const packed: PackedLayer = {
      attentionNorm: vector(d, of('attentionNorm')), qkv: matrix(padded(q) + 2 * padded(kv), d), o: matrix(d, q), ffnNorm: vector(d, of('ffnNorm')),
      experts: Array.from({ length: c.experts ?? 1 }, () => ({ gateUp: matrix(Math.ceil(c.ffn / (PANEL / 2)) * PANEL, d), down: matrix(d, c.ffn) })),
    }
    put(packed.qkv, q, of('q'))
    put(packed.qkv, kv, of('k'), { base: padded(q) })
    put(packed.qkv, kv, of('v'), { base: padded(q) + padded(kv) })
    put(packed.o, d, of('o'))
    if (c.qkvBias) {
      const bias = (count: number, name: 'qBias' | 'kBias' | 'vBias') => vector(count, { tensor: (w) => w.layers[l]![name], fill: 0 })
      packed.qkvBias = bias(q, 'qBias') // one behind the other: each is filled up to whole cache lines
      bias(kv, 'kBias')
      bias(kv, 'vBias')
    }
    if (c.experts) {
      packed.router = reserveMatrix(arena, c.experts, d, { format: 'f32' })
      put(packed.router, c.experts, { tensor: (w) => w.layers[l]!.router, number: routerNumber(c, l) })
    }
    for (const [e, { gateUp, down }] of packed.experts.entries()) {
      put(gateUp, c.ffn, of('gate'), { first: e * c.ffn, run: PANEL / 2 })
      put(gateUp, c.ffn, of('up'), { first: e * c.ffn, run: PANEL / 2, offset: PANEL / 2 })
      put(down, d, of('down'), { first: e * d })
    }
    return packed
  })
  const finalNorm = vector(d, { tensor: (w) => w.finalNorm, fill: 1 })
  let unembed = embed
  if (!c.tied) {
    unembed = matrix(c.vocabSize, d)
    put(unembed, c.vocabSize, { tensor: (w) => w.unembed, number: 1 })
  }
  return { embed, layers, finalNorm, unembed, parts }
}

/** Puts a model's weights into their places: packed from its tensors, or generated there. */
export function fillWeights(m: Machine, { parts }: PackedWeights, { source }: Model, precision: WeightPrecision = { format: 'f32' }): void {
  for (const part of parts) {
    const values = source.kind === 'tensors' ? part.tensor(source.weights) : undefined
    if (part.kind === 'vector') {
      if (values) m.f32.set(values, part.address / 4)
      else m.f32.fill(part.fill ?? 0, part.address / 4, part.address / 4 + part.count)
    } else if (source.kind === 'synthetic' && part.matrix.format === F32 && part.first === 0) generate(m, part, source.seed)
    else {
      const { cols } = part.matrix
      for (let r = 0; r < part.rows; r += BATCH_ROWS) {
        const count = Math.min(BATCH_ROWS, part.rows - r)
        const from = (part.first + r) * cols
        const rows = source.kind === 'synthetic' ? syntheticRows(source.seed, part.number!, from, count, cols) : values!.subarray(from, from + count * cols)
        packRows(m, part, r, rows, precision)
      }
    }
  }
}

function generate(m: Machine, { number, matrix, rows, base, run, offset }: MatrixPart, seed: number): void {
  const { address, cols } = matrix
  m.launch(GENERATE, Math.ceil(rows / run), address + 4 * base * cols, pcg((seed + number!) >>> 0), rows, cols, floatBits(syntheticScale(cols)), run, offset)
}

function syntheticRows(seed: number, tensor: number, from: number, count: number, cols: number): Float32Array {
  const out = new Float32Array(count * cols)
  for (let i = 0; i < out.length; i++) out[i] = syntheticValue(seed, tensor, from + i, cols)
  return out
}

/** Packs `rows` (row-major), the first of which is row r of the part. */
export function packRows(m: Machine, part: Pick<MatrixPart, 'matrix' | 'base' | 'run' | 'offset'>, r: number, rows: Float32Array, precision: WeightPrecision): void {
  const { matrix, base, run, offset } = part
  const placeOf = (row: number) => base + Math.floor(row / run) * PANEL + offset + (row % run)
  const { cols } = matrix
  const count = rows.length / cols
  if (matrix.format === F32) {
    for (let i = 0; i < count; i++) {
      const place = placeOf(r + i)
      let at = matrix.address / 4 + Math.floor(place / PANEL) * cols * PANEL + (place % PANEL)
      for (let k = 0; k < cols; k++, at += PANEL) m.f32[at] = rows[i * cols + k]!
    }
  } else if (matrix.format === F16) {
    const halves = floatToHalf(rows)
    for (let i = 0; i < count; i++) {
      const place = placeOf(r + i)
      // Row 8 a + 4 b + c lies in half b of word c of sixteen bytes a: assembly/matmul-half.ts.
      let at = matrix.address / 2 + Math.floor(place / PANEL) * cols * PANEL + ((place % PANEL) >> 3) * 8 + (place % 4) * 2 + ((place >> 2) & 1)
      for (let k = 0; k < cols; k++, at += PANEL) m.u16[at] = halves[i * cols + k]!
    }
  } else packCodes(m, matrix, rows, precision, (i) => placeOf(r + i))
}

function packCodes(m: Machine, matrix: Matrix, rows: Float32Array, precision: WeightPrecision, placeOf: (row: number) => number): void {
  const { cols, format, group } = matrix
  const { codes, scales, minima } = quantize(rows, cols, { ...precision, group: group as WeightPrecision['group'] })
  const groups = Math.ceil(cols / group)
  const pairs = Math.ceil(cols / 2)
  const scaleBits = floatToHalf(scales)
  const minimumBits = minima && floatToHalf(minima)
  const bias = format === INT4 ? 8 : 0
  for (let i = 0; i < codes.length / cols; i++) {
    const place = placeOf(i)
    const panel = Math.floor(place / PANEL)
    const row = place % PANEL
    const scaleAt = (matrix.scales + panel * groups * scaleBytes(format)) / 2 + row
    for (let g = 0; g < groups; g++) {
      m.u16[scaleAt + (g * scaleBytes(format)) / 2] = scaleBits[i * groups + g]!
      if (minimumBits) m.u16[scaleAt + (g * scaleBytes(format)) / 2 + PANEL] = minimumBits[i * groups + g]!
    }
    const of = i * cols
    if (format === INT8) {
      const at = matrix.address + panel * pairs * 2 * PANEL + 2 * row
      for (let k = 0; k < cols; k++) m.u8[at + (k >> 1) * 2 * PANEL + (k & 1)] = codes[of + k]!
    } else {
      // 16-bit word 2 · (row mod 4) + column of a pair holds rows four apart, four bits each: assembly/matmul-int.ts.
      const at = (matrix.address + panel * pairs * PANEL + (row >> 4) * 16) / 2 + (row & 3) * 2
      const shift = ((row & 15) >> 2) * 4
      for (let k = 0; k < cols; k++) {
        const word = at + ((k >> 1) * PANEL) / 2 + (k & 1)
        m.u16[word] = (m.u16[word]! & ~(15 << shift)) | ((codes[of + k]! + bias) << shift)
      }
    }
  }
}
