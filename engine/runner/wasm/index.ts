import type { Model } from '../../model/weights'
import { checkBatch, RunnerError, type Runner, type RunnerOptions, type SequenceChunk, type StepBatch, type StepResult } from '../runner'
import { sampleRow } from '../sampling'
import { Arena } from './arena'
import { defaultThreads, deviceName } from './features'
import { CONTROL_BYTES } from './jobs'
import { fillAngles, Kernels, type LayerCache } from './kernels'
import { Machine, type MachineOptions } from './machine'
import { Stage, type Staged } from './stage'
import { fillWeights, padded, reserveWeights } from './weights'

/** Pairs of slots that are moved in one go. */
const COPIES = 1024

export interface WasmRunnerOptions extends RunnerOptions, MachineOptions {}

/**
 * Runs a model with 32-bit floats in WebAssembly SIMD. A token's logits do not depend on what it is
 * batched with, on how its prompt is cut into chunks, or on the number of threads: they are the same bits.
 * Throws RunnerError('unsupported' | 'out-of-memory').
 */
export async function createWasmRunner(model: Model, options: WasmRunnerOptions = {}): Promise<Runner> {
  const { config: c } = model
  const limits = { blocks: options.blocks ?? 1024, sequences: options.sequences ?? 64, tokens: options.tokens ?? 512, chain: 8 }
  const kernels = new Kernels(c, limits.blocks)
  const threads = options.threads ?? defaultThreads()
  const logitRows = Math.min(limits.tokens, Math.max(limits.sequences, 64)) // rows whose logits are computed together
  const logitsRow = padded(c.vocabSize) // floats

  const arena = new Arena(CONTROL_BYTES)
  const weights = reserveWeights(arena, c)
  const caches = Array.from({ length: c.layers }, (): LayerCache => ({ keys: arena.take(kernels.keyBytes), values: arena.take(kernels.valueBytes) }))
  const angles = arena.takeWords(c.maxPositions * c.headDim)
  const stage = new Stage(arena, c, limits, kernels, threads)
  const pairs = arena.takeWords(2 * COPIES)
  const x = arena.take(limits.tokens * kernels.hiddenStride) // (T, d) residual stream
  const h = arena.take(limits.tokens * kernels.hiddenStride) // (T, d) after a norm
  const qkv = arena.take(limits.tokens * kernels.qkvStride) // (T, H·hd + 2·KV·hd)
  const attended = arena.take(limits.tokens * kernels.attendedStride) // (T, H·hd)
  const middle = arena.take(limits.tokens * kernels.middleStride) // (T, ffn)
  const picked = arena.take(logitRows * kernels.hiddenStride) // rows whose logits are wanted
  const logits = arena.takeWords(logitRows * logitsRow)
  const scratch = arena.take(threads * kernels.scratchBytes)

  let machine: Machine | undefined = await Machine.create(arena.bytes, `${model.name} with ${limits.blocks} KV blocks`, options)
  const device = { name: deviceName(machine.variant, machine.threads), runner: 'wasm' as const, model: model.name, threads: machine.threads }
  fillWeights(machine, weights, model)
  fillAngles(machine.f32, angles, c)
  const last = new Map<number, number>() // token sampled last, by request

  return {
    device,
    config: c,
    limits,
    run(batch) {
      if (!machine) throw new RunnerError('the WebAssembly runner was disposed', 'disposed')
      checkBatch(batch, c, limits)
      try {
        return runSteps(machine, batch)
      } catch (error) {
        if (!(error instanceof WebAssembly.RuntimeError)) throw error
        throw new RunnerError(`The WebAssembly kernels trapped (${error.message}). Open the runner again, or use the reference runner.`, 'device-lost', { cause: error })
      }
    },
    release(request) {
      last.delete(request)
    },
    dispose() {
      machine?.dispose()
      machine = undefined
    },
  }

  function runSteps(m: Machine, batch: StepBatch): StepResult {
    const { chunks } = batch
    const steps = batch.steps ?? 1
    const tokens = new Int32Array(steps * chunks.length).fill(-1)
    const wanted = wantedRows(batch)
    const kept = batch.wantLogits ? new Float32Array(wanted.length * c.vocabSize) : undefined
    const rowTokens: number[] = []
    copy(m, batch.copies ?? [])
    stage.writeTables(m, chunks)
    for (let s = 0; s < steps; s++) {
      forward(m, stage.write(m, batch, s, (i) => lastOf(chunks[i]!.request, i)))
      for (let from = 0; from < wanted.length; from += logitRows) {
        const group = wanted.slice(from, from + logitRows)
        unembed(m, group)
        for (const [i, { chunk, position, ends, listed }] of group.entries()) {
          const at = logits / 4 + i * logitsRow
          kept?.set(m.f32.subarray(at, at + c.vocabSize), (from + i) * c.vocabSize)
          if (!ends && !listed) continue
          const id = sample(m, at, chunks[chunk]!, position + 1 + s)
          if (listed) rowTokens.push(id)
          if (!ends) continue
          tokens[s * chunks.length + chunk] = id
          last.set(chunks[chunk]!.request, id)
        }
      }
    }
    return { tokens, logits: kept, ...(chunks.some((chunk) => chunk.sampleRows) && { rowTokens: Int32Array.from(rowTokens) }) }
  }

  /** Copy-on-write and compaction: moves slots in every layer. */
  function copy(m: Machine, copies: NonNullable<StepBatch['copies']>): void {
    for (let from = 0; from < copies.length; from += COPIES) {
      const some = copies.slice(from, from + COPIES)
      for (const [i, pair] of some.entries()) m.u32.set([pair.from, pair.to], pairs / 4 + 2 * i)
      for (const cache of caches) kernels.copySlots(m, cache, pairs, some.length)
    }
  }

  /** One pass over the weights (Llama 2, Touvron et al. 2023, §2.2): leaves the residual stream of the staged rows in x. */
  function forward(m: Machine, staged: Staged): void {
    const k = kernels
    const { rows } = stage
    const count = staged.rows
    k.embed(m, rows, count, weights.embed, x)
    for (const [l, layer] of weights.layers.entries()) {
      k.rmsNorm(m, x, layer.attentionNorm, count, h)
      k.matmul(m, layer.qkv, h, k.hiddenStride, count, qkv, k.qkvStride)
      k.rotateAppend(m, qkv, angles, rows, count, caches[l]!)
      k.attend(m, qkv, rows, stage.items, staged, caches[l]!, attended, scratch)
      k.matmul(m, layer.o, attended, k.attendedStride, count, x, k.hiddenStride, true)
      k.rmsNorm(m, x, layer.ffnNorm, count, h)
      k.swiglu(m, layer.gateUp, h, count, middle, scratch)
      k.matmul(m, layer.down, middle, k.middleStride, count, x, k.hiddenStride, true)
    }
  }

  /** Logits of some rows of x, side by side. */
  function unembed(m: Machine, group: WantedRow[]): void {
    const width = kernels.hiddenStride / 4
    for (const [i, { row }] of group.entries()) m.f32.copyWithin(picked / 4 + i * width, x / 4 + row * width, x / 4 + (row + 1) * width)
    kernels.rmsNorm(m, picked, weights.finalNorm, group.length, h)
    kernels.matmul(m, weights.unembed, h, kernels.hiddenStride, group.length, logits, 4 * logitsRow)
  }

  /** Samples the token that will stand at `position` from the logits that start at float `at`. */
  function sample(m: Machine, at: number, { sampling }: SequenceChunk, position: number): number {
    const greedy = !sampling || sampling.temperature === 0
    return greedy ? m.argmax(4 * at, c.vocabSize) : sampleRow(m.f32.subarray(at, at + c.vocabSize), position, sampling)
  }

  function lastOf(request: number, i: number): number {
    const id = last.get(request)
    if (id === undefined) throw new RunnerError(`chunk ${i} (request ${request}) asks for its last sampled token before it has one`, 'bad-batch')
    return id
  }
}

/** A row whose logits are wanted. */
interface WantedRow {
  row: number
  chunk: number
  /** Where its token stands, in the first of the steps. */
  position: number
  /** The chunk's token is sampled here. */
  ends: boolean
  /** What is sampled here goes to StepResult.rowTokens. */
  listed: boolean
}

/** The last row of every chunk that is to be sampled; with allRows, or where a chunk asks for it (sampleRows), every row. */
function wantedRows({ chunks, wantLogits, allRows }: StepBatch): WantedRow[] {
  const wanted: WantedRow[] = []
  let row = 0
  for (const [chunk, { tokens, start, sample, sampleRows: listed = false, parents }] of chunks.entries()) {
    const depth: number[] = []
    for (let t = 0; t < tokens.length; t++, row++) {
      depth.push(parents ? (parents[t]! < 0 ? 0 : depth[parents[t]!]! + 1) : t)
      const ends = sample && t === tokens.length - 1
      if (ends || listed || (wantLogits && allRows)) wanted.push({ row, chunk, position: start + depth[t]!, ends, listed })
    }
  }
  return wanted
}
