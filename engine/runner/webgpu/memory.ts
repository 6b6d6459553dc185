import type { Model } from '../../model/weights'
import { BLOCK_SIZE, type KvPrecision, type RunnerLimits } from '../runner'
import { BufferPlan, megabytes } from './buffers'
import { STEP_SLOT } from './kernel'
import { DEFAULT_SPLIT, tilesFit } from './kernels/attention'
import { cacheBytes } from './kernels/cache'
import { markWords } from './kernels/experts'
import { F32, matrixBytes, type MatrixFormat } from './kernels/weights'
import { packedMatrices, type MatrixName } from './packing'

/** A matrix on the device: its numbers, and the scales of its groups where the format has any. */
export interface Matrix {
  data: GPUBuffer
  scales?: GPUBuffer
}

export interface LayerBuffers {
  matrices: Record<MatrixName, Matrix>
  /** (d) gains, then the biases of q, k and v in packed order where there are any */
  attentionNorm: GPUBuffer
  ffnNorm: GPUBuffer
  /** Mixtures: (E, d) f32 */
  router: GPUBuffer
  /** (block, KV head, keys then values, 16, hd); int8 has its scales behind each head's values */
  cache: GPUBuffer
}

/** Everything a runner keeps on the device. */
export interface Memory {
  layers: LayerBuffers[]
  /** (vocab rounded up to even, d) */
  embed: Matrix
  unembed: Matrix
  finalNorm: GPUBuffer
  /** (cos, sin) of position · θ^(−2i/hd): (positions, hd/2, 2) */
  angles: GPUBuffer
  /** Activations: (tokens, …). */
  x: GPUBuffer
  q: GPUBuffer
  attended: GPUBuffer
  middle: GPUBuffer
  /** New keys and values before they are quantized (int8 caches): (tokens, 2, KV heads, hd) */
  fresh: GPUBuffer
  /** Parts of the decodes' attention. */
  partials: GPUBuffer
  /** Mixtures: each (token, choice)'s expert and weight; their order by expert; their outputs (assignments, d) */
  routes: GPUBuffer
  order: GPUBuffer
  parts: GPUBuffer
  /** Mixtures, layer by layer: marks of touched experts, step by step, then the choices, row by row. */
  seen: GPUBuffer
  /** Words of the marks in it, a layer. */
  marks: number
  /** (logitRows, vocab rounded up to even) */
  logits: GPUBuffer
  /** What the steps of a batch are about, written before each submit. */
  step: GPUBuffer
  rows: GPUBuffer
  tables: GPUBuffer
  work: GPUBuffer
  copies: GPUBuffer
  logitRowList: GPUBuffer
  samples: GPUBuffer
  /** The token drawn last for each request that this device knows. */
  held: GPUBuffer
  /** Tokens drawn in this batch, step by step. */
  tokens: GPUBuffer
}

export interface Sizes {
  /** Rows of logits that fit at a time; more are made in turns. */
  logitRows: number
  /** Rows of the angle table. */
  positions: number
  /** Slots of the step uniform: a chain's steps, or one step and its turns of logits. */
  slots: number
  /** Entries of the block tables, all sequences together, and behind them of the masks. */
  tableEntries: number
  maskWords: number
  /** Requests whose last token is kept. */
  held: number
  /** Tokens drawn in a batch at most. */
  drawn: number
  /** Parts that a context is split into at most. */
  splits: number
  /** Mixtures: choices a token has at most, 1 of a dense model; words noted of each layer, of which the first are marks. */
  choices: number
  seenWords: number
  markWords: number
}

/** How things are stored. */
export interface Formats {
  weights: MatrixFormat
  kv: KvPrecision
}

export const ALL_F32: Formats = { weights: F32, kv: 'f32' }

/** Logits are kept up to this size at a time; a step asks for few rows, only scoring asks for all. */
const LOGIT_BYTES = 64e6
/** Copies of slots at a time; more are made in turns. */
export const COPIES = 2048
export const ROW_WORDS = 8

export function sizes(model: Model, limits: RunnerLimits, split = DEFAULT_SPLIT): Sizes {
  const { vocabSize, maxPositions } = model.config
  const logitRows = Math.min(limits.tokens, Math.max(limits.sequences, Math.floor(LOGIT_BYTES / (8 * Math.ceil(vocabSize / 2)))))
  const positions = Math.min(maxPositions, limits.blocks * BLOCK_SIZE)
  const { experts } = model.config
  const drawn = Math.max(limits.tokens, limits.chain * limits.sequences)
  const marks = limits.chain * markWords(model.config)
  return {
    logitRows,
    positions,
    slots: Math.max(limits.chain, 1 + Math.ceil(limits.tokens / logitRows)),
    tableEntries: limits.sequences * Math.ceil(maxPositions / BLOCK_SIZE),
    maskWords: limits.tokens * Math.ceil(limits.tokens / 32),
    held: Math.max(1024, 4 * limits.sequences),
    drawn,
    choices: experts ?? 1,
    markWords: marks,
    seenWords: experts ? Math.ceil((marks + drawn * experts) / 64) * 64 : 0, // bound at multiples of 256 bytes
    splits: Math.ceil(positions / split),
  }
}

/** Allocates all of it. Throws RunnerError('out-of-memory') with the megabytes needed and offered. */
export async function allocate(device: GPUDevice, model: Model, limits: RunnerLimits, formats: Formats = ALL_F32, split = DEFAULT_SPLIT): Promise<{ memory: Memory; free: () => void; bytes: number }> {
  const c = model.config
  const s = sizes(model, limits, split)
  const plan = new BufferPlan(device, model.name)
  const f32 = 4
  const vocab = 2 * Math.ceil(c.vocabSize / 2)
  const kept = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST
  // Weights can be read back, so that a test can hold generated ones against the generator.
  const weight = kept | GPUBufferUsage.COPY_SRC
  const result = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC
  const storage = GPUBufferUsage.STORAGE

  const matrix = (label: string, rows: number, columns: number): { data: number; scales?: number } => {
    const bytes = matrixBytes(formats.weights, rows, columns)
    const data = plan.add(label, bytes.data, weight)
    return bytes.scales > 0 ? { data, scales: plan.add(`${label} scales`, bytes.scales, weight) } : { data }
  }
  const matrices = packedMatrices(c)
  const layerCache = cacheBytes(formats.kv, limits.blocks, c)
  const fewerBlocks = `Set aside fewer KV blocks than ${limits.blocks} (${megabytes(c.layers * layerCache)} in all) or choose a smaller model.`
  // Without tiles for longer chunks, each of their rows is treated as a decode.
  const decodes = tilesFit(device.limits, c.headDim) ? limits.sequences : limits.tokens
  const biases = c.qkvBias ? matrices.qkv.rows : 0
  const layers = Array.from({ length: c.layers }, (_, l) => ({
    matrices: Object.fromEntries(Object.entries(matrices).map(([name, m]) => [name, matrix(`layer ${l} ${name}`, m.rows, m.columns)])) as Record<MatrixName, { data: number; scales?: number }>,
    attentionNorm: plan.add(`layer ${l} attention norm`, (c.hidden + biases) * f32, weight),
    ffnNorm: plan.add(`layer ${l} ffn norm`, c.hidden * f32, weight),
    router: plan.add(`layer ${l} router`, (c.experts ?? 0) * c.hidden * f32, weight),
    cache: plan.add(`layer ${l} keys and values`, layerCache, storage, fewerBlocks),
  }))
  const embed = matrix('input table', vocab, c.hidden)
  const unembed = c.tied ? embed : matrix('output table', vocab, c.hidden)
  const rest = {
    finalNorm: plan.add('final norm', c.hidden * f32, weight),
    angles: plan.add('rotary angles', s.positions * c.headDim * f32, kept),
    x: plan.add('residual stream', limits.tokens * c.hidden * f32, storage),
    q: plan.add('queries', limits.tokens * c.heads * c.headDim * f32, storage),
    attended: plan.add('attention output', limits.tokens * c.heads * c.headDim * f32, storage),
    middle: plan.add('SwiGLU middle', limits.tokens * s.choices * c.ffn * f32, storage),
    fresh: plan.add('new keys and values', formats.kv === 'int8' ? limits.tokens * 2 * c.kvHeads * c.headDim * f32 : 0, storage),
    partials: plan.add('parts of attention', decodes * c.heads * s.splits * (c.headDim + 4) * f32, storage),
    routes: plan.add('routes', c.experts ? limits.tokens * s.choices * 8 : 0, storage),
    order: plan.add('order of assignments', c.experts ? (limits.tokens + 64) * s.choices * 4 : 0, storage),
    parts: plan.add('outputs of experts', c.experts ? limits.tokens * s.choices * c.hidden * f32 : 0, storage),
    seen: plan.add('experts seen', c.layers * s.seenWords * 4, result | GPUBufferUsage.COPY_DST),
    logits: plan.add('logits', s.logitRows * vocab * f32, result),
    step: plan.add('step', s.slots * STEP_SLOT, GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST),
    rows: plan.add('rows', s.drawn * 4 * ROW_WORDS, kept),
    tables: plan.add('block tables and masks', (s.tableEntries + s.maskWords) * 4, kept),
    work: plan.add('attention work', limits.tokens * 8, kept),
    copies: plan.add('copies', COPIES * 8, kept),
    logitRowList: plan.add('logit rows', limits.tokens * 4, kept),
    samples: plan.add('samples', s.drawn * 32, kept),
    held: plan.add('held tokens', s.held * 4, storage),
    tokens: plan.add('tokens', s.drawn * 4, result),
  }
  const buffers = await plan.allocate()
  const at = (number: number): GPUBuffer => buffers[number]!
  const each = <K extends string>(numbers: Record<K, number>) =>
    Object.fromEntries(Object.entries<number>(numbers).map(([key, number]) => [key, at(number)])) as Record<K, GPUBuffer>
  const both = ({ data, scales }: { data: number; scales?: number }): Matrix => (scales === undefined ? { data: at(data) } : { data: at(data), scales: at(scales) })
  const memory: Memory = {
    ...each(rest),
    marks: s.markWords,
    embed: both(embed),
    unembed: both(unembed),
    layers: layers.map(({ matrices: numbers, ...others }) => ({
      ...each(others),
      matrices: Object.fromEntries(Object.entries(numbers).map(([name, m]) => [name, both(m)])) as Record<MatrixName, Matrix>,
    })),
  }
  return { memory, free: () => plan.free(), bytes: plan.bytes }
}
