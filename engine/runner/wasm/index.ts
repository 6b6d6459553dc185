import type { Model } from '../../model/weights'
import { BLOCK_SIZE, checkBatch, RunnerError, type Runner, type RunnerOptions, type StepBatch, type StepResult } from '../runner'
import { sampleRow } from '../sampling'
import { Arena } from './arena'
import { defaultThreads, deviceName } from './features'
import { CONTROL_BYTES, ROW_BYTES } from './jobs'
import { fillAngles, Kernels, writeRow, type LayerCache } from './kernels'
import { Machine, type MachineOptions } from './machine'
import { fillWeights, padded, reserveWeights } from './weights'

export interface WasmRunnerOptions extends RunnerOptions, MachineOptions {}

/**
 * Runs a model with 32-bit floats in WebAssembly SIMD. A token's logits do not depend on what it is
 * batched with, on how its prompt is cut into chunks, or on the number of threads: they are the same bits.
 * Throws RunnerError('unsupported' | 'out-of-memory').
 */
export async function createWasmRunner(model: Model, options: WasmRunnerOptions = {}): Promise<Runner> {
  const { config: c } = model
  const limits = { blocks: options.blocks ?? 1024, sequences: options.sequences ?? 16, tokens: options.tokens ?? 512, chain: 8 }
  const kernels = new Kernels(c, limits.blocks)
  const tableBlocks = Math.ceil(c.maxPositions / BLOCK_SIZE)
  const logitsRow = padded(c.vocabSize) // floats

  const arena = new Arena(CONTROL_BYTES)
  const weights = reserveWeights(arena, c)
  const caches = Array.from({ length: c.layers }, (): LayerCache => ({ keys: arena.take(kernels.keyBytes), values: arena.take(kernels.valueBytes) }))
  const angles = arena.takeWords(c.maxPositions * c.headDim)
  const tables = arena.takeWords(limits.sequences * tableBlocks)
  const rows = arena.take(limits.tokens * ROW_BYTES)
  const x = arena.take(limits.tokens * kernels.hiddenStride) // (T, d) residual stream
  const h = arena.take(limits.tokens * kernels.hiddenStride) // (T, d) after a norm
  const qkv = arena.take(limits.tokens * kernels.qkvStride) // (T, H·hd + 2·KV·hd)
  const attended = arena.take(limits.tokens * kernels.attendedStride) // (T, H·hd)
  const middle = arena.take(limits.tokens * kernels.middleStride) // (T, ffn)
  const picked = arena.take(limits.sequences * kernels.hiddenStride) // rows whose logits are wanted
  const logits = arena.takeWords(limits.sequences * logitsRow)
  const scratch = arena.take((options.threads ?? defaultThreads()) * kernels.scratchBytes)

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
    for (const [i, { blockTable }] of chunks.entries()) m.u32.set(blockTable.subarray(0, tableBlocks), tableOf(i) / 4)
    for (let s = 0; s < steps; s++) {
      forward(m, stage(m, batch, s))
      for (let from = 0; from < wanted.length; from += limits.sequences) {
        const group = wanted.slice(from, from + limits.sequences)
        unembed(m, group)
        for (const [i, { chunk }] of group.entries()) {
          const at = logits / 4 + i * logitsRow
          kept?.set(m.f32.subarray(at, at + c.vocabSize), (from + i) * c.vocabSize)
          if (chunk !== undefined) tokens[s * chunks.length + chunk] = sample(m, at, batch, chunk, s)
        }
      }
    }
    return { tokens, logits: kept }
  }

  /** Writes a record for every row of step `s`; returns how many there are. */
  function stage(m: Machine, { chunks }: StepBatch, s: number): number {
    let row = 0
    for (const [i, chunk] of chunks.entries()) {
      for (let t = 0; t < chunk.tokens.length; t++, row++) {
        const token = s > 0 || chunk.tokens[t] === -1 ? lastOf(chunk.request, i) : chunk.tokens[t]!
        writeRow(m.u32, rows, row, token, chunk.start + t + s, tableOf(i))
      }
    }
    return row
  }

  /** One pass over the weights (Llama 2, Touvron et al. 2023, §2.2): leaves the residual stream of `count` rows in x. */
  function forward(m: Machine, count: number): void {
    const k = kernels
    k.embed(m, rows, count, weights.embed, x)
    for (const [l, layer] of weights.layers.entries()) {
      k.rmsNorm(m, x, layer.attentionNorm, count, h)
      k.matmul(m, layer.qkv, h, k.hiddenStride, count, qkv, k.qkvStride)
      k.rotateAppend(m, qkv, angles, rows, count, caches[l]!)
      k.attend(m, qkv, rows, count, caches[l]!, attended, scratch)
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

  /** Samples chunk `i`'s next token from the logits that start at float `at`. */
  function sample(m: Machine, at: number, { chunks }: StepBatch, i: number, s: number): number {
    const { request, start, tokens, sampling } = chunks[i]!
    const greedy = !sampling || sampling.temperature === 0
    const id = greedy ? m.argmax(4 * at, c.vocabSize) : sampleRow(m.f32.subarray(at, at + c.vocabSize), start + tokens.length + s, sampling)
    last.set(request, id)
    return id
  }

  function lastOf(request: number, i: number): number {
    const id = last.get(request)
    if (id === undefined) throw new RunnerError(`chunk ${i} (request ${request}) asks for its last sampled token before it has one`, 'bad-batch')
    return id
  }

  function tableOf(chunk: number): number {
    return tables + 4 * chunk * tableBlocks
  }
}

/** A row whose logits are wanted, and the chunk that its token is sampled for, if any. */
interface WantedRow {
  row: number
  chunk?: number
}

/** The last row of every chunk that is to be sampled; with allRows every row. */
function wantedRows({ chunks, wantLogits, allRows }: StepBatch): WantedRow[] {
  const wanted: WantedRow[] = []
  let first = 0
  for (const [i, { tokens, sample }] of chunks.entries()) {
    const last = first + tokens.length - 1
    if (wantLogits && allRows) for (let row = first; row < last; row++) wanted.push({ row })
    if (sample) wanted.push({ row: last, chunk: i })
    else if (wantLogits && allRows) wanted.push({ row: last })
    first = last + 1
  }
  return wanted
}
