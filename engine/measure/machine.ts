import { fitSteps } from '../cost/step-fit'
import { parameterCount } from '../model/config'
import { timingModel } from '../model/synthetic'
import type { Model } from '../model/weights'
import { work } from '../model/work'
import type { RoofProbe } from '../runner/probe'
import { byKernel, utilisationOf, type KernelTime, type PhaseProfile, type ProfiledRunner } from '../runner/profile'
import { BLOCK_SIZE, RunnerError, type KvPrecision, type Runner, type RunnerOptions, type SequenceChunk, type StepBatch, type WeightPrecision } from '../runner/runner'
import type { Tuning } from '../runner/webgpu/tuning'
import type { Clock } from '../serving/clock'
import type { Roofs } from '../trace/trace'
import { clockResolution, measureDecode, measureDevice, measurePrefill, timingParameters } from './calibrate'
import { findLargest } from './largest'
import type { LargestModel, MeasuredModel, MeasuredPhase, MeasuredProfile } from './profile'
import { timePerCall } from './rates'
import { sweep } from './sweep'

/** A model to measure: a shipped one by name or a timing model by its parameters, in a precision. */
export interface ModelWish {
  name?: string
  parameters?: number
  experts?: number
  weights?: WeightPrecision
  kv?: KvPrecision
}

export interface MachineEnvironment {
  createRunner(model: Model, options: RunnerOptions): Promise<Runner>
  createProbe(): Promise<RoofProbe>
  /** Tries the kernels, where there are several to choose from. */
  tune?(clock: Clock): Promise<Tuning>
  load(name: string): Promise<Model>
  clock: Clock
  /** What the host may give to a model, bytes. */
  memoryBytes: number
  onProgress(doing: string): void
}

export interface MachineOptions {
  runner: 'webgpu' | 'wasm'
  /** What to measure (default: the timing model that suits the device, tales-5m, and on a graphics card one of 300 M in f16). */
  models?: ModelWish[]
  /** Look for the largest models that fit (default: on a graphics card). */
  largest?: boolean
}

/** What was seen of each phase, launch by launch, for a Chrome trace; the profile has it summed. */
export interface Measured {
  profile: MeasuredProfile
  phases: PhaseProfile[]
}

const CONTEXT = 64
const PROMPT = 256
const BATCHES = [1, 2, 4, 8, 16, 32, 64]
const CONTEXTS = [64, 512, 2048, 8000]
/** KV blocks for the longest context alone, and for the sweep. */
const BLOCKS = 1024
/** A step that takes longer is not repeated for its neighbours, ms. */
const TOO_LONG_MS = 2000

/** Measures a machine through one of its runners. Rejects with RunnerError or ModelError in words. */
export async function measureMachine(environment: MachineEnvironment, options: MachineOptions): Promise<Measured> {
  const { clock, onProgress } = environment
  const probe = await environment.createProbe()
  let roofs: Roofs
  try {
    roofs = await measureDevice(probe, (model) => environment.createRunner(model, { blocks: 64 }), clock, (_, doing) => onProgress(doing))
  } finally {
    probe.dispose()
  }
  const first = await environment.createRunner(timingModel(1e6), { blocks: 16 })
  const { device } = first
  first.dispose()
  let tuning: Tuning | undefined
  if (environment.tune && !device.software) {
    onProgress('Trying kernels')
    tuning = await environment.tune(clock)
  }
  const graphics = options.runner === 'webgpu' && !device.software
  const create = (model: Model, more: RunnerOptions) => environment.createRunner(model, { ...more, tuning })
  const wishes = options.models ?? [
    { parameters: timingParameters(options.runner, roofs, environment.memoryBytes) },
    { name: 'tales-5m' },
    ...(graphics ? [{ parameters: 320e6, weights: { format: 'f16' }, kv: 'f16' } satisfies ModelWish] : []),
  ]
  const models: MeasuredModel[] = []
  const phases: PhaseProfile[] = []
  for (const wish of wishes) {
    const model = wish.name !== undefined ? await environment.load(wish.name) : timingModel(wish.parameters!, { experts: wish.experts })
    try {
      const measured = await measureModel(model, wish, create, roofs, clock, onProgress)
      models.push(measured.model)
      phases.push(...measured.phases)
    } catch (error) {
      // One that was not asked for by name may be too large for this device.
      if (options.models || models.length === 0 || !(error instanceof RunnerError && error.code === 'out-of-memory')) throw error
      onProgress(`${model.name} does not fit: ${error.message}`)
    }
  }
  const largest = options.largest ?? graphics ? await largestModels(create, onProgress) : undefined
  const main = models[0]!
  return {
    profile: {
      version: 1,
      label: `${device.name}, ${main.name}`,
      device: { ...device, model: main.name },
      at: new Date().toISOString(),
      resolution: clockResolution(),
      roofs,
      config: main.config,
      widths: main.widths,
      steps: main.fit.steps,
      scheduler: { max_sequences: 64, max_batched_tokens: 512, kv_blocks: BLOCKS },
      source: `expressway measure --runner ${options.runner}: ${main.fit.samples.length} shapes of step timed; on those not fitted the five numbers are off by ${(100 * main.fit.error.mean).toFixed(0)} % on average`,
      models,
      tuning,
      largest,
    },
    phases,
  }
}

async function measureModel(
  model: Model, { weights = { format: 'f32' }, kv = 'f32' }: ModelWish, create: MachineEnvironment['createRunner'], roofs: Roofs, clock: Clock, onProgress: (doing: string) => void,
): Promise<{ model: MeasuredModel; phases: PhaseProfile[] }> {
  const options = { weights, kv, blocks: BLOCKS, sequences: 64, tokens: 512 }
  onProgress(`${model.name} in ${weights.format}: decode and prefill`)
  const runner = await create(model, options)
  try {
    const { config } = runner
    const widths = runner.widths ?? { weight: 4, kv: 4 }
    const decodeMs = await measureDecode(runner, clock)
    const prefillMs = await measurePrefill(runner, clock)
    const { dispatches } = await runner.run(decodes(1, CONTEXT, runner))
    const steps = {
      [`decode at ${CONTEXT}`]: { batch: decodes(1, CONTEXT, runner), stepMs: decodeMs, share: { tokens: 1, context: CONTEXT, sampledRows: 1 } },
      [`prefill of ${PROMPT}`]: { batch: prefill(runner), stepMs: prefillMs * PROMPT, share: { tokens: PROMPT, context: 0, sampledRows: 1 } },
    }
    const kernels = await kernelTimes(model, Object.values(steps).map((s) => s.batch), options, create, clock)
    const phases = Object.entries(steps).map(([phase, { stepMs, share }], i): PhaseProfile => ({ phase: `${model.name}, ${weights.format}: ${phase}`, kernels: kernels[i] ?? [], stepMs, work: work(config, [share], widths) }))
    onProgress(`${model.name} in ${weights.format}: batches and contexts`)
    const batches: MeasuredModel['batches'] = []
    for (const sequences of BATCHES) {
      if ((batches.at(-1)?.stepMs ?? 0) > TOO_LONG_MS) break
      const stepMs = await timePerCall(clock, () => runner.run(decodes(sequences, CONTEXT, runner)))
      batches.push({ sequences, stepMs, tokensPerSecond: (1000 * sequences) / stepMs })
    }
    const contexts: MeasuredModel['contexts'] = []
    for (const context of CONTEXTS.filter((c) => c < config.maxPositions)) contexts.push({ context, stepMs: await timePerCall(clock, () => runner.run(decodes(1, context, runner))) })
    const fit = fitSteps(await sweep(runner, clock, (_, doing) => onProgress(`${model.name}: ${doing}`)))
    return {
      phases,
      model: {
        name: model.name, parameters: parameterCount(config), config, weights, kv, widths, decodeMs, prefillMs, ...(dispatches === undefined ? {} : { dispatches }),
        phases: phases.map((phase): MeasuredPhase => ({
          phase: phase.phase, stepMs: phase.stepMs, flops: phase.work.flops, bytes: phase.work.bytes, ...utilisationOf(phase, roofs),
          ...(phase.kernels.length > 0 ? { kernels: byKernel(phase.kernels) } : {}),
        })),
        batches, contexts, fit,
      },
    }
  } finally {
    runner.dispose()
  }
}

/** Kernels of each batch on a runner that times them; nothing where the device cannot. */
async function kernelTimes(model: Model, batches: StepBatch[], options: RunnerOptions, create: MachineEnvironment['createRunner'], clock: Clock): Promise<(readonly KernelTime[])[]> {
  let runner: ProfiledRunner
  try {
    runner = (await create(model, { ...options, blocks: 64, sequences: 1, profile: () => clock.now() })) as ProfiledRunner
  } catch (error) {
    if (error instanceof RunnerError && error.code !== 'device-lost') return [] // no timestamps, or no room for two
    throw error
  }
  try {
    const times: (readonly KernelTime[])[] = []
    for (const batch of batches) {
      await runner.run(batch)
      await runner.run(batch) // the first pays for caches
      times.push(runner.profile)
    }
    return times
  } finally {
    runner.dispose()
  }
}

async function largestModels(create: MachineEnvironment['createRunner'], onProgress: (doing: string) => void): Promise<LargestModel[]> {
  const largest: LargestModel[] = []
  for (const kind of ['dense', 'mixture'] as const) {
    for (const format of ['f32', 'f16', 'int8', 'int4'] as const) {
      onProgress(`Looking for the largest ${kind} model in ${format}`)
      largest.push(await findLargest(create, kind, { format }))
    }
  }
  return largest
}

function decodes(sequences: number, context: number, { config }: Runner): StepBatch {
  const blocks = Math.ceil((context + 1) / BLOCK_SIZE)
  return {
    chunks: Array.from({ length: sequences }, (_, request): SequenceChunk => ({
      request, tokens: Int32Array.of((request * 7 + 1) % config.vocabSize), start: context, blockTable: Int32Array.from({ length: blocks }, (_b, b) => request * blocks + b), sample: true,
    })),
  }
}

function prefill({ config }: Runner): StepBatch {
  return { chunks: [{ request: 0, tokens: Int32Array.from({ length: PROMPT }, (_, i) => (i * 7 + 1) % config.vocabSize), start: 0, blockTable: Int32Array.from({ length: PROMPT / BLOCK_SIZE }, (_, b) => b), sample: true }] }
}
