import type { DeviceInfo } from '../trace/provenance'
import type { ModelConfig } from '../model/config'
import type { Tuning } from './webgpu/tuning'
import type { Share, Work } from '../model/work'

/** Positions a KV block holds. Fixed: kernels are written for it. */
export const BLOCK_SIZE = 16

/** What one sequence wants of a step: a prefill chunk (many tokens) or a decode (one). */
export interface SequenceChunk {
  /** The request this belongs to; also names the sequence's on-device state. */
  request: number
  /**
   * Token ids to compute, at positions start … start + tokens.length − 1.
   * In a decode the id may be −1: "the token this runner sampled last for this request".
   */
  tokens: Int32Array
  start: number
  /** Physical block of each 16 positions; must cover start + tokens.length − 1 + steps. */
  blockTable: Int32Array
  /** True when the chunk reaches the end of what is known, so that its last row is to be sampled. */
  sample: boolean
  /** Absent: greedy. */
  sampling?: Sampling
  /**
   * A tree instead of a chain (speculative verification): row t's parent among this chunk's rows, an
   * earlier one, or −1 where it follows position start − 1. A row's position is start + its depth; it
   * looks at positions below start, at its ancestors and at itself. Its key and value lie in slot start + t.
   */
  parents?: Int32Array
  /** Sample after every row, not after the last alone (verification): StepResult.rowTokens. */
  sampleRows?: boolean
}

/** How matrices are stored and read. Norms and biases are always f32; activations and sums are f32 unless a kernel says otherwise. */
export interface WeightPrecision {
  format: 'f32' | 'f16' | 'int8' | 'int4'
  /** int8, int4: columns that share a scale (default 64). */
  group?: 32 | 64 | 128
  /** int4: a minimum beside each scale (default false: symmetric about zero). */
  asymmetric?: boolean
}

/** How keys and values are stored; int8 has one scale for each position and head. */
export type KvPrecision = 'f32' | 'f16' | 'int8'

export interface Sampling {
  /** 0 is greedy. */
  temperature: number
  /** With the position, seeds a counter-based generator: same seed, same text, whatever the batch. */
  seed: number
}

/** Work for one pass over the weights: ragged, prefill chunks and decodes mixed. */
export interface StepBatch {
  chunks: SequenceChunk[]
  /**
   * How often to run the batch, feeding each sampled token back (default 1). More than one only when
   * every chunk is a decode; lets a GPU chain tokens without reading back in between.
   */
  steps?: number
  /** Also return the logits of every sampled row (tests, scoring, acceptance). */
  wantLogits?: boolean
  /** With wantLogits: logits of every row of every chunk, not of the sampled rows alone (score). */
  allRows?: boolean
  /**
   * Keys and values moved, in this order and in every layer, before the chunks are computed: copy-on-write
   * of a shared block, accepted branches of a tree closing up. A slot is block · 16 + position in the block.
   */
  copies?: { from: number; to: number }[]
  /** Mixture of experts: experts a token is sent to (default: the model's own number). */
  expertsPerToken?: number
  /** Also return which experts each token went to. */
  wantExperts?: boolean
}

export interface StepResult {
  /** Per step, per chunk: the sampled id, −1 where nothing was sampled. Length steps × chunks. */
  tokens: Int32Array
  /** End of each of the `steps` as a fraction of the whole, ascending to 1; absent: evenly spread. */
  ends?: number[]
  /** Sampled rows in chunk order, each `vocabSize` long; with allRows: all rows in chunk order. steps must be 1. */
  logits?: Float32Array
  /** Ids sampled after each row of the chunks that ask for it (sampleRows), in chunk order. */
  rowTokens?: Int32Array
  /** Mixture of experts: distinct (layer, expert) pairs that were read, all steps together. */
  expertsTouched?: number
  /** With wantExperts: expert ids, layer by layer, row by row, expertsPerToken each, most weight first. */
  experts?: Uint8Array
  /** GPU dispatches encoded, all steps together. */
  dispatches?: number
}

/**
 * Executes steps. Takes no decisions (that is the scheduler's) and reads no clock (that is the
 * server's loop), so that real and simulated machines differ in nothing else.
 */
export interface Runner {
  readonly device: DeviceInfo
  readonly config: ModelConfig
  readonly limits: RunnerLimits
  /** Bytes per stored weight and per stored key or value (default 4 and 4). */
  readonly widths?: { weight: number; kv: number }
  run(batch: StepBatch): StepResult | Promise<StepResult>
  /** FLOPs and bytes of a step, where they are not those of a model of this `config`. */
  work?(shares: readonly Share[]): Work
  /** The request is over: its last token and other on-device state can go. Its blocks are the allocator's affair. */
  release?(request: number): void
  /** Releases device memory; the runner cannot be used afterwards. */
  dispose(): void
}

export interface RunnerLimits {
  /** KV blocks in the pool. */
  blocks: number
  /** Sequences in one step. */
  sequences: number
  /** Tokens in one step, over all chunks. */
  tokens: number
  /** Largest useful `steps`. */
  chain: number
}

export interface RunnerOptions {
  /** KV blocks to set aside (default 1024 = 16,384 positions). */
  blocks?: number
  /** Sequences in one step at most (default 64; reference 16). */
  sequences?: number
  /** Tokens in one step at most (default 512). */
  tokens?: number
  /** Default: f32. */
  weights?: WeightPrecision
  /** Default: f32. */
  kv?: KvPrecision
  /**
   * Times every kernel on its own; ProfiledRunner (profile.ts) then tells of the last batch. A CPU runner needs the
   * clock to go by (ms); a GPU has its own. Timing costs time itself, and chains are off.
   */
  profile?: boolean | (() => number)
  /** Which kernels were found best on this device; ignored on another. */
  tuning?: Tuning
}

/** Something the runner could not do, in words for the page: what happened, what to do. */
export class RunnerError extends Error {
  constructor(
    message: string,
    readonly code: 'unsupported' | 'out-of-memory' | 'device-lost' | 'bad-batch' | 'disposed',
    options?: ErrorOptions,
  ) {
    super(message, options)
    this.name = 'RunnerError'
  }
}

/** Checks what every runner relies on. Throws RunnerError('bad-batch') naming the chunk and the fault. */
export function checkBatch(batch: StepBatch, config: ModelConfig, limits: RunnerLimits): void {
  const steps = batch.steps ?? 1
  const bad = (i: number, what: string): never => {
    throw new RunnerError(`chunk ${i} (request ${batch.chunks[i]?.request ?? '–'}): ${what}`, 'bad-batch')
  }
  if (batch.chunks.length === 0) throw new RunnerError('the batch is empty', 'bad-batch')
  if (batch.chunks.length > limits.sequences) throw new RunnerError(`${batch.chunks.length} sequences, this runner takes ${limits.sequences}`, 'bad-batch')
  if (!(Number.isInteger(steps) && steps >= 1 && steps <= limits.chain)) throw new RunnerError(`steps ${steps} is not in 1 … ${limits.chain}`, 'bad-batch')
  if (batch.wantLogits && steps !== 1) throw new RunnerError('logits are returned for single steps only', 'bad-batch')
  const slots = limits.blocks * BLOCK_SIZE
  for (const { from, to } of batch.copies ?? []) {
    if (!(from >= 0 && from < slots && to >= 0 && to < slots)) throw new RunnerError(`a copy from slot ${from} to slot ${to} leaves the pool of ${slots} slots`, 'bad-batch')
  }
  if (batch.expertsPerToken !== undefined && !(config.experts && batch.expertsPerToken >= 1 && batch.expertsPerToken <= config.experts)) {
    throw new RunnerError(`${batch.expertsPerToken} experts a token of a model with ${config.experts ?? 'no'} experts`, 'bad-batch')
  }
  let total = 0
  for (const [i, chunk] of batch.chunks.entries()) {
    const n = chunk.tokens.length
    total += n
    if (n === 0) bad(i, 'no tokens')
    if (steps > 1 && (n !== 1 || !chunk.sample || chunk.sampleRows)) bad(i, 'chained steps take decodes only')
    if (chunk.parents && chunk.parents.length !== n) bad(i, `${chunk.parents.length} parents for ${n} tokens`)
    for (const [t, parent] of chunk.parents?.entries() ?? []) if (!(parent >= -1 && parent < t)) bad(i, `row ${t} has row ${parent} for a parent, which does not come before it`)
    if (chunk.start < 0 || chunk.start + n - 1 + steps > config.maxPositions) bad(i, `positions up to ${chunk.start + n - 1 + steps} pass the model's ${config.maxPositions}`)
    if (chunk.blockTable.length * BLOCK_SIZE < chunk.start + n - 1 + steps) bad(i, `block table of ${chunk.blockTable.length} blocks does not cover position ${chunk.start + n + steps - 2}`)
    for (const b of chunk.blockTable) if (b < 0 || b >= limits.blocks) bad(i, `block ${b} is outside the pool of ${limits.blocks}`)
    for (const t of chunk.tokens) if (t >= config.vocabSize || t < -1 || (t === -1 && n !== 1)) bad(i, `token ${t} is outside the vocabulary of ${config.vocabSize}`)
  }
  if (total > limits.tokens) throw new RunnerError(`${total} tokens, this runner takes ${limits.tokens} a step`, 'bad-batch')
}
