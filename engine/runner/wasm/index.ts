import { kvWidth, weightWidth } from '../../model/quantize'
import type { Model } from '../../model/weights'
import type { ProfiledRunner } from '../profile'
import { checkBatch, RunnerError, type Runner, type RunnerOptions, type SequenceChunk, type StepBatch, type StepResult } from '../runner'
import { sampleRow } from '../sampling'
import { Arena } from './arena'
import { Mixture, type Routes } from './experts'
import { defaultThreads, deviceName, pickVariant } from './features'
import { CONTROL_BYTES } from './jobs'
import { fillAngles, Kernels, type LayerCache } from './kernels'
import { Machine, type MachineOptions } from './machine'
import { Stage, type Staged } from './stage'
import { tunedSwitchOver, type SwitchOver } from './switch-over'
import { wantedRows, type WantedRow } from './wanted'
import { fillWeights, padded, reserveWeights } from './weights'

/** Pairs of slots that are moved in one go. */
const COPIES = 1024

export interface WasmRunnerOptions extends RunnerOptions, MachineOptions {
  /** Where tiles begin to pay, in place of what `tuning` says or of the defaults: for tests and tuning. */
  switchOver?: SwitchOver
}

/**
 * Runs a model in WebAssembly SIMD. Weights of 16 bits are made floats on the way; weights of 8 and 4 meet inputs
 * of 16 bits in whole numbers (assembly/matmul-int.ts). A token's logits do not depend on what it is
 * batched with, on how its prompt is cut into chunks, or on the number of threads: they are the same bits.
 * Throws RunnerError('unsupported' | 'out-of-memory').
 */
export async function createWasmRunner(model: Model, options: WasmRunnerOptions = {}): Promise<Runner & Pick<ProfiledRunner, 'profile'>> {
  const { config: c } = model
  const limits = { blocks: options.blocks ?? 1024, sequences: options.sequences ?? 64, tokens: options.tokens ?? 512, chain: 8 }
  const precision = options.weights ?? { format: 'f32' }
  const clock = typeof options.profile === 'function' ? options.profile : undefined
  if (options.profile === true) throw new RunnerError('Profiling in WebAssembly goes by the clock that it is given, and was given none.', 'unsupported')
  const kernels = new Kernels(c, limits.blocks, { kv: options.kv, switchOver: options.switchOver ?? tunedSwitchOver(options.tuning, pickVariant(options.variant)), clock })
  const threads = options.threads ?? defaultThreads()
  const logitRows = Math.min(limits.tokens, Math.max(limits.sequences, 64)) // rows whose logits are computed together
  const logitsRow = padded(c.vocabSize) // floats

  const arena = new Arena(CONTROL_BYTES)
  const weights = reserveWeights(arena, c, precision)
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
  kernels.reserve(arena, Math.max(limits.tokens, logitRows), threads)
  const mixture = c.experts ? new Mixture(arena, c, limits.tokens, kernels) : undefined

  let machine: Machine | undefined = await Machine.create(arena.bytes, `${model.name} with ${limits.blocks} KV blocks`, options)
  const device = { name: deviceName(machine.variant, machine.threads), runner: 'wasm' as const, model: model.name, threads: machine.threads }
  fillWeights(machine, weights, model, precision)
  fillAngles(machine.f32, angles, c)
  const last = new Map<number, number>() // token sampled last, by request

  return {
    device,
    config: c,
    limits,
    widths: { weight: weightWidth(precision), kv: kvWidth(options.kv ?? 'f32', c.headDim) },
    get profile() {
      return kernels.times
    },
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
    const routes: Routes = { touched: 0, experts: [] }
    kernels.restart()
    copy(m, batch.copies ?? [])
    stage.writeTables(m, chunks)
    for (let s = 0; s < steps; s++) {
      forward(m, stage.write(m, batch, s, (i) => lastOf(chunks[i]!.request, i)), batch.expertsPerToken ?? c.expertsPerToken ?? 1, routes)
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
    return {
      tokens,
      logits: kept,
      rowTokens: chunks.some((chunk) => chunk.sampleRows) ? Int32Array.from(rowTokens) : undefined,
      expertsTouched: mixture && routes.touched,
      experts: mixture && batch.wantExperts ? Uint8Array.from(routes.experts) : undefined,
    }
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
  function forward(m: Machine, staged: Staged, expertsPerToken: number, routes: Routes): void {
    const k = kernels
    const { rows } = stage
    const count = staged.rows
    k.embed(m, rows, count, weights.embed, x)
    for (const [l, layer] of weights.layers.entries()) {
      k.rmsNorm(m, x, layer.attentionNorm, count, h)
      k.matmul(m, layer.qkv, h, k.hiddenStride, count, qkv, k.qkvStride, false, 'q, k, v')
      if (layer.qkvBias !== undefined) k.addRow(m, qkv, k.qkvStride, count, layer.qkvBias, k.qkvStride)
      k.rotateAppend(m, qkv, angles, rows, count, caches[l]!)
      k.attend(m, qkv, rows, stage.items, staged, caches[l]!, attended)
      k.matmul(m, layer.o, attended, k.attendedStride, count, x, k.hiddenStride, true, 'o')
      k.rmsNorm(m, x, layer.ffnNorm, count, h)
      if (mixture) mixture.add(m, layer, h, count, middle, x, expertsPerToken, routes)
      else {
        const { gateUp, down } = layer.experts[0]!
        k.swiglu(m, gateUp, h, count, middle)
        k.matmul(m, down, middle, k.middleStride, count, x, k.hiddenStride, true, 'down')
      }
    }
  }

  /** Logits of some rows of x, side by side. */
  function unembed(m: Machine, group: WantedRow[]): void {
    const width = kernels.hiddenStride / 4
    for (const [i, { row }] of group.entries()) m.f32.copyWithin(picked / 4 + i * width, x / 4 + row * width, x / 4 + (row + 1) * width)
    kernels.rmsNorm(m, picked, weights.finalNorm, group.length, h)
    kernels.matmul(m, weights.unembed, h, kernels.hiddenStride, group.length, logits, 4 * logitsRow, false, 'unembed')
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
