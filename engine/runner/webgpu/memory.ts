import type { Model } from '../../model/weights'
import { BLOCK_SIZE, type RunnerLimits } from '../runner'
import { BufferPlan, megabytes } from './buffers'
import { STEP_SLOT } from './kernel'
import { packedMatrices, type MatrixName } from './packing'

export interface LayerBuffers {
  matrices: Record<MatrixName, GPUBuffer>
  attentionNorm: GPUBuffer
  ffnNorm: GPUBuffer
  /** (block, KV head, 16, hd) */
  keys: GPUBuffer
  values: GPUBuffer
}

/** Everything a runner keeps on the device. */
export interface Memory {
  layers: LayerBuffers[]
  /** (vocab rounded up to even, d) */
  embed: GPUBuffer
  unembed: GPUBuffer
  finalNorm: GPUBuffer
  /** (cos, sin) of position · θ^(−2i/hd): (positions, hd/2, 2) */
  angles: GPUBuffer
  /** Activations: (tokens, …). */
  x: GPUBuffer
  q: GPUBuffer
  attended: GPUBuffer
  middle: GPUBuffer
  /** (logitRows, vocab rounded up to even) */
  logits: GPUBuffer
  /** What the steps of a batch are about, written before each submit. */
  step: GPUBuffer
  rows: GPUBuffer
  tables: GPUBuffer
  work: GPUBuffer
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
  /** Entries of the block tables, all sequences together. */
  tableEntries: number
  /** Requests whose last token is kept. */
  held: number
}

/** Logits are kept up to this size at a time; a step asks for few rows, only scoring asks for all. */
const LOGIT_BYTES = 64e6

export function sizes(model: Model, limits: RunnerLimits): Sizes {
  const { vocabSize, maxPositions } = model.config
  const logitRows = Math.min(limits.tokens, Math.max(limits.sequences, Math.floor(LOGIT_BYTES / (8 * Math.ceil(vocabSize / 2)))))
  return {
    logitRows,
    positions: Math.min(maxPositions, limits.blocks * BLOCK_SIZE),
    slots: Math.max(limits.chain, 1 + Math.ceil(limits.tokens / logitRows)),
    tableEntries: limits.sequences * Math.ceil(maxPositions / BLOCK_SIZE),
    held: Math.max(1024, 4 * limits.sequences),
  }
}

/** Allocates all of it. Throws RunnerError('out-of-memory') with the megabytes needed and offered. */
export async function allocate(device: GPUDevice, model: Model, limits: RunnerLimits): Promise<{ memory: Memory; free: () => void; bytes: number }> {
  const c = model.config
  const s = sizes(model, limits)
  const plan = new BufferPlan(device, model.name)
  const f32 = 4
  const vocab = 2 * Math.ceil(c.vocabSize / 2)
  const kept = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST
  // Weights can be read back, so that a test can hold generated ones against the generator.
  const weight = kept | GPUBufferUsage.COPY_SRC
  const result = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC
  const storage = GPUBufferUsage.STORAGE

  const matrices = packedMatrices(c)
  const cacheBytes = limits.blocks * BLOCK_SIZE * c.kvHeads * c.headDim * f32
  const fewerBlocks = `Set aside fewer KV blocks than ${limits.blocks} (${megabytes(2 * c.layers * cacheBytes)} in all) or choose a smaller model.`
  const layers = Array.from({ length: c.layers }, (_, l) => ({
    matrices: Object.fromEntries(Object.entries(matrices).map(([name, m]) => [name, plan.add(`layer ${l} ${name}`, m.rows * m.columns * f32, weight)])) as Record<MatrixName, number>,
    attentionNorm: plan.add(`layer ${l} attention norm`, c.hidden * f32, weight),
    ffnNorm: plan.add(`layer ${l} ffn norm`, c.hidden * f32, weight),
    keys: plan.add(`layer ${l} keys`, cacheBytes, storage, fewerBlocks),
    values: plan.add(`layer ${l} values`, cacheBytes, storage, fewerBlocks),
  }))
  const embed = plan.add('input table', vocab * c.hidden * f32, weight)
  const unembed = c.tied ? embed : plan.add('output table', vocab * c.hidden * f32, weight)
  const rest = {
    finalNorm: plan.add('final norm', c.hidden * f32, weight),
    angles: plan.add('rotary angles', s.positions * c.headDim * f32, kept),
    x: plan.add('residual stream', limits.tokens * c.hidden * f32, storage),
    q: plan.add('queries', limits.tokens * c.heads * c.headDim * f32, storage),
    attended: plan.add('attention output', limits.tokens * c.heads * c.headDim * f32, storage),
    middle: plan.add('SwiGLU middle', limits.tokens * c.ffn * f32, storage),
    logits: plan.add('logits', s.logitRows * vocab * f32, result),
    step: plan.add('step', s.slots * STEP_SLOT, GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST),
    rows: plan.add('rows', Math.max(limits.tokens, limits.chain * limits.sequences) * 16, kept),
    tables: plan.add('block tables', s.tableEntries * 4, kept),
    work: plan.add('attention work', limits.tokens * 8, kept),
    logitRowList: plan.add('logit rows', limits.tokens * 4, kept),
    samples: plan.add('samples', limits.chain * limits.sequences * 32, kept),
    held: plan.add('held tokens', s.held * 4, storage),
    tokens: plan.add('tokens', limits.chain * limits.sequences * 4, result),
  }
  const buffers = await plan.allocate()
  const at = (number: number): GPUBuffer => buffers[number]!
  const each = <K extends string>(numbers: Record<K, number>) =>
    Object.fromEntries(Object.entries<number>(numbers).map(([key, number]) => [key, at(number)])) as Record<K, GPUBuffer>
  const memory: Memory = {
    ...each(rest),
    embed: at(embed),
    unembed: at(unembed),
    layers: layers.map(({ matrices: numbers, ...others }) => ({ ...each(others), matrices: each(numbers) })),
  }
  return { memory, free: () => plan.free(), bytes: plan.bytes }
}
