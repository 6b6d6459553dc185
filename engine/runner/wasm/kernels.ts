import type { ModelConfig } from '../../model/config'
import type { KernelTime } from '../profile'
import type { KvPrecision } from '../runner'
import type { Arena } from './arena'
import {
  ADD_ROW, ADD_WEIGHTED, ATTEND, COPY_SLOTS, EMBED, F16, F32, INT8, KV_BLOCK, MATMUL, MERGE, PANEL, QUANTIZE, RMS_NORM, ROTATE_APPEND, SPLIT, SWIGLU,
  TILE_QUERIES, TOKEN_BLOCK,
} from './jobs'
import { floatBits, type Machine } from './machine'
import type { Staged } from './stage'
import { SWITCH_DEFAULTS, type SwitchOver } from './switch-over'
import { matrixBytes, padded, type Matrix } from './weights'

/** Keys and values of one layer: addresses of the two regions (assembly/cache.ts says how they are laid out). */
export interface LayerCache {
  keys: number
  values: number
}

export interface KernelOptions {
  kv?: KvPrecision
  switchOver?: SwitchOver
  /** Times every launch by this clock, ms: `times` then holds them. */
  clock?: () => number
}

/**
 * The kernels of one model, by name. Addresses are bytes into the linear memory; activations are rows
 * of 32-bit floats, each filled up to a multiple of 32; T is how many rows a step computes.
 */
export class Kernels {
  /** Bytes of one row. */
  readonly hiddenStride: number
  readonly qkvStride: number
  readonly attendedStride: number
  readonly middleStride: number
  /** Bytes of one layer's keys and of its values. */
  readonly keyBytes: number
  readonly valueBytes: number
  /** Bytes of a query row's partial result in attention: a head's values, the largest score, the sum of weights. */
  readonly recordBytes: number
  /** With a clock: launches since it was last emptied, in order. */
  times: KernelTime[] = []
  private began = 0
  private readonly format: number
  private readonly switchOver: SwitchOver
  private readonly clock: (() => number) | undefined
  private readonly epsilon: number
  private readonly queryScale: number
  private readonly widest: number
  /** Bytes each thread has to itself, and where; rows of inputs for products with codes. */
  private readonly scratchBytes: number
  private scratch = 0
  private inputs = 0

  constructor(private readonly c: ModelConfig, private readonly blocks: number, options: KernelOptions = {}) {
    const headValues = Math.ceil(c.headDim / 16) * 16
    this.hiddenStride = 4 * padded(c.hidden)
    this.qkvStride = 4 * (padded(c.heads * c.headDim) + 2 * padded(c.kvHeads * c.headDim))
    this.attendedStride = 4 * padded(c.heads * c.headDim)
    this.middleStride = 4 * padded(c.ffn)
    this.format = { f32: F32, f16: F16, int8: INT8 }[options.kv ?? 'f32']
    this.switchOver = options.switchOver ?? SWITCH_DEFAULTS
    this.clock = options.clock
    const block = (width: number) => width * KV_BLOCK * { [F32]: 4, [F16]: 2, [INT8]: 1 }[this.format]! + (this.format === INT8 ? 4 * KV_BLOCK : 0)
    this.keyBytes = c.kvHeads * blocks * block(c.headDim)
    this.valueBytes = c.kvHeads * blocks * block(headValues)
    this.recordBytes = 4 * (headValues + 4)
    const queries = Math.max(TILE_QUERIES, c.heads / c.kvHeads)
    // One cache line more than the scores: rows a power of two apart would fight for the same lines.
    const attention = queries * (4 * SPLIT + 64 + 2 * this.recordBytes) + (SPLIT / KV_BLOCK) * (8 + 4 * KV_BLOCK * (c.headDim + headValues))
    this.widest = Math.max(c.hidden, c.heads * c.headDim, c.ffn)
    this.scratchBytes = Math.ceil(Math.max(attention, 4 * PANEL * (TOKEN_BLOCK + this.widest + 1)) / 64) * 64
    this.epsilon = floatBits(c.rmsNormEps)
    this.queryScale = floatBits(1 / Math.sqrt(c.headDim))
  }

  /** Sets aside what the kernels themselves need for steps of so many rows. */
  reserve(arena: Arena, rows: number, threads: number): this {
    this.scratch = arena.take(threads * this.scratchBytes)
    this.inputs = arena.take(rows * inputBytes(this.widest, 32))
    return this
  }

  /** A step begins: `times` is emptied, and counts from here. */
  restart(): void {
    if (!this.clock) return
    this.times = []
    this.began = this.clock()
  }

  /** x = rows of the embedding table: (T) -> (T, d). `rows` are records of token, position and block table. */
  embed(m: Machine, rows: number, count: number, table: Matrix, x: number): void {
    const { address, cols, format, scales, group } = table
    this.launch(m, 'embed', EMBED, count, [rows, address, x, cols, this.hiddenStride, format, scales, group], () => [0, count * (this.hiddenStride + matrixBytes(table) / table.panels / PANEL)])
  }

  /** h = x / √(mean(x²) + ε) ∘ weight: (T, d) -> (T, d) */
  rmsNorm(m: Machine, x: number, weight: number, count: number, h: number): void {
    this.launch(m, 'norm', RMS_NORM, count, [x, weight, h, this.c.hidden, this.hiddenStride, this.epsilon], () => [4 * count * this.c.hidden, 2 * count * this.hiddenStride])
  }

  /** y += row, for T rows of `bytes` bytes: a bias. */
  addRow(m: Machine, y: number, stride: number, count: number, row: number, bytes: number): void {
    this.launch(m, 'bias', ADD_ROW, count, [y, stride, row, bytes], () => [(count * bytes) / 4, 2 * count * bytes])
  }

  /** x[row] += weight · y[i] for `count` pairs of row and weight: (count, d) into (T, d) */
  addWeighted(m: Machine, y: number, pairs: number, count: number, x: number): void {
    this.launch(m, 'add experts', ADD_WEIGHTED, count, [y, pairs, x, this.hiddenStride], () => [2 * count * this.c.hidden, 3 * count * this.hiddenStride])
  }

  /** y = x Wᵀ, or y += x Wᵀ: (T, cols) @ (cols, rows) -> (T, rows) */
  matmul(m: Machine, w: Matrix, x: number, xStride: number, count: number, y: number, yStride: number, add = false, name = 'matmul'): void {
    const [input, inputStride] = this.inputOf(m, w, x, xStride, count)
    this.launch(
      m, name, MATMUL, units(w, count),
      [w.address, input, y, w.cols, count, inputStride, yStride, add ? 1 : 0, w.panels, w.format, w.scales, w.group, this.switchOver[w.format]!, this.scratch, this.scratchBytes],
      () => [2 * count * w.cols * w.panels * PANEL, matrixBytes(w) + 4 * count * (w.cols + w.panels * PANEL)])
  }

  /** middle = silu(x gateᵀ) ∘ (x upᵀ): (T, d) -> (T, ffn) */
  swiglu(m: Machine, gateUp: Matrix, x: number, count: number, middle: number): void {
    const w = gateUp
    const [input, inputStride] = this.inputOf(m, w, x, this.hiddenStride, count)
    this.launch(
      m, 'gate, up', SWIGLU, units(w, count),
      [w.address, input, middle, w.cols, count, inputStride, this.middleStride, w.panels, w.format, w.scales, w.group, this.switchOver[w.format]!, this.scratch, this.scratchBytes],
      () => [2 * count * w.cols * w.panels * PANEL, matrixBytes(w) + 4 * count * (w.cols + (w.panels * PANEL) / 2)])
  }

  /** Turns q and k by their positions, scales q, and stores k and v in the cache. */
  rotateAppend(m: Machine, qkv: number, angles: number, rows: number, count: number, cache: LayerCache): void {
    const { c } = this
    const kOffset = 4 * padded(c.heads * c.headDim)
    const vOffset = kOffset + 4 * padded(c.kvHeads * c.headDim)
    this.launch(
      m, 'rotate, store', ROTATE_APPEND, count,
      [qkv, this.qkvStride, kOffset, vOffset, angles, rows, cache.keys, cache.values, this.blocks, c.headDim, c.heads, c.kvHeads, this.queryScale, this.format],
      () => [3 * count * (c.heads + c.kvHeads) * c.headDim, count * (2 * this.qkvStride + this.positionBytes)])
  }

  /** out = softmax(q Kᵀ / √hd) V over what each row looks at: (T, H·hd) -> (T, H·hd). Items as staged (stage.ts). */
  attend(m: Machine, qkv: number, rows: number, items: number, staged: Omit<Staged, 'rows'>, cache: LayerCache, out: number): void {
    const { c } = this
    const group = c.heads / c.kvHeads
    this.launch(
      m, 'attention', ATTEND, staged.items * c.kvHeads,
      [qkv, this.qkvStride, out, this.attendedStride, rows, cache.keys, cache.values, this.blocks, c.headDim, group, c.kvHeads, items, this.format, this.scratch, this.scratchBytes],
      () => [4 * c.heads * c.headDim * staged.attended, this.positionBytes * staged.read])
    if (staged.splitItems) {
      this.launch(
        m, 'attention, merge', MERGE, staged.splitItems * c.kvHeads,
        [out, this.attendedStride, c.headDim, group, c.kvHeads, items, this.scratch, this.scratchBytes],
        () => [2 * staged.splitItems * c.heads * c.headDim, staged.splitItems * c.heads * this.recordBytes])
    }
  }

  /** Moves keys and values of one layer between slots: `count` pairs of slots (from, to), one after the other. */
  copySlots(m: Machine, cache: LayerCache, pairs: number, count: number): void {
    this.launch(m, 'copy slots', COPY_SLOTS, this.c.kvHeads, [this.format, cache.keys, cache.values, this.blocks, this.c.headDim, pairs, count], () => [0, 2 * count * this.positionBytes])
  }

  /** Bytes of a layer's keys and values, each position. */
  private get positionBytes(): number {
    return (this.keyBytes + this.valueBytes) / this.blocks / KV_BLOCK
  }

  /** Rows of x as they meet W: as they are, or in 16 bits where W is in codes. */
  private inputOf(m: Machine, w: Matrix, x: number, xStride: number, count: number): [address: number, stride: number] {
    if (w.format < INT8) return [x, xStride]
    const stride = inputBytes(w.cols, w.group)
    this.launch(m, 'inputs to 16 bits', QUANTIZE, count, [x, xStride, this.inputs, stride, w.cols, w.group], () => [4 * count * w.cols, count * 6 * w.cols])
    return [this.inputs, stride]
  }

  private launch(m: Machine, name: string, kernel: number, count: number, args: readonly number[], cost: () => [flops: number, bytes: number]): void {
    if (!this.clock) return m.launch(kernel, count, ...args)
    const start = this.clock()
    m.launch(kernel, count, ...args)
    const [flops, bytes] = cost()
    this.times.push({ name, start: start - this.began, ms: this.clock() - start, flops, bytes })
  }
}

/** Bytes of a row of inputs in 16 bits: assembly/matmul-int.ts. */
function inputBytes(cols: number, group: number): number {
  return Math.ceil((2 * padded(cols) + 8 * Math.ceil(cols / group)) / 64) * 64
}

function units(w: Matrix, count: number): number {
  return w.panels * Math.ceil(count / TOKEN_BLOCK)
}

/** cos and sin of position · θ^(−i / (hd / 2)), hd / 2 of each a position (rotary embedding, Su et al. 2021). */
export function fillAngles(f32: Float32Array, address: number, c: ModelConfig): void {
  const half = c.headDim / 2
  const frequencies = Array.from({ length: half }, (_, i) => c.ropeTheta ** (-i / half))
  for (let position = 0, at = address / 4; position < c.maxPositions; position++, at += c.headDim) {
    for (let i = 0; i < half; i++) {
      const angle = position * frequencies[i]!
      f32[at + i] = Math.cos(angle)
      f32[at + half + i] = Math.sin(angle)
    }
  }
}
