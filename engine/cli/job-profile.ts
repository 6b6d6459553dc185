import { measureRoofs } from '../measure/rates'
import type { LoadedModel } from '../model/load'
import { kvWidth, weightWidth } from '../model/quantize'
import { work } from '../model/work'
import { createRunner, type EngineRunner } from '../runner/create'
import type { RoofProbe } from '../runner/probe'
import type { PhaseProfile, ProfiledRunner } from '../runner/profile'
import { BLOCK_SIZE, type KvPrecision, type RunnerOptions, type StepBatch, type WeightPrecision } from '../runner/runner'
import type { Clock } from '../serving/clock'
import type { Roofs } from '../trace/trace'

export interface ProfileJob {
  runner: EngineRunner
  weights?: WeightPrecision
  kv?: KvPrecision
  /** Tokens of the prefill. */
  prompt: number
  /** Positions behind each token of the decode, and sequences in it. */
  context: number
  batch: number
}

export interface Profiled {
  model: string
  device: string
  roofs: Roofs
  phases: PhaseProfile[]
}

/** Steps of each kind that are timed; the fastest is told of, since whatever disturbs a step only adds. */
const TRIES = 15

/**
 * Where the time of a prefill and of a decode step goes, kernel by kernel, against what the device can read and
 * multiply. Steps are timed on a runner that is not being profiled as well. Throws RunnerError where the runner cannot tell.
 */
export async function profile({ model }: LoadedModel, job: ProfileJob, clock: Clock): Promise<Profiled> {
  if (job.runner === 'reference') throw new RangeError('the reference runner does not time its kernels; take --runner wasm or webgpu')
  const c = model.config
  const each = Math.ceil((Math.max(job.context + 1, job.prompt) + 1) / BLOCK_SIZE)
  const ids = (count: number) => Int32Array.from({ length: count }, (_, i) => (i * 37 + 11) % c.vocabSize)
  const chunk = (request: number, tokens: number, start: number) =>
    ({ request, tokens: ids(tokens), start, blockTable: Int32Array.from({ length: each }, (_, b) => request * each + b), sample: true })
  const decodes = Array.from({ length: job.batch }, (_, i) => chunk(i, 1, job.context))
  const phases: { phase: string; batch: StepBatch; shares: Parameters<typeof work>[1] }[] = [
    { phase: `prefill of ${job.prompt}`, batch: { chunks: [chunk(0, job.prompt, 0)] }, shares: [{ tokens: job.prompt, context: 0, sampledRows: 1 }] },
    { phase: `decode of ${job.batch} at ${job.context}`, batch: { chunks: decodes }, shares: decodes.map(() => ({ tokens: 1, context: job.context, sampledRows: 1 })) },
  ]
  const options: RunnerOptions = { blocks: each * job.batch, sequences: job.batch, tokens: Math.max(job.prompt, job.batch), weights: job.weights, kv: job.kv }
  const widths = { weight: weightWidth(job.weights ?? { format: 'f32' }), kv: kvWidth(job.kv ?? 'f32', c.headDim) }

  const steps: number[] = []
  const plain = await createRunner(job.runner, model, options)
  try {
    for (const { batch } of phases) {
      let best = Infinity
      for (let i = 0; i < TRIES; i++) {
        const start = clock.now()
        await plain.run(batch)
        best = Math.min(best, clock.now() - start)
      }
      steps.push(best)
    }
  } finally {
    plain.dispose()
  }

  const runner = (await createRunner(job.runner, model, { ...options, profile: () => clock.now() })) as ProfiledRunner
  const profiles: PhaseProfile[] = []
  try {
    for (const [i, { phase, batch, shares }] of phases.entries()) {
      const tries: (typeof runner.profile)[] = []
      for (let t = 0; t < TRIES; t++) {
        await runner.run(batch)
        tries.push([...runner.profile])
      }
      const total = (times: typeof runner.profile) => times.reduce((sum, { ms }) => sum + ms, 0)
      const kernels = tries.reduce((a, b) => (total(a) <= total(b) ? a : b))
      profiles.push({ phase, kernels, stepMs: steps[i]!, work: work(c, shares, widths) })
    }
  } finally {
    runner.dispose()
  }
  const probe = await createProbe(job.runner)
  try {
    return { model: model.name, device: runner.device.name, roofs: await measureRoofs(probe, clock, () => {}), phases: profiles }
  } finally {
    probe.dispose()
  }
}

async function createProbe(kind: 'webgpu' | 'wasm'): Promise<RoofProbe> {
  return kind === 'webgpu' ? (await import('../runner/webgpu/roofs')).createWebGpuProbe() : (await import('../runner/wasm/roofs')).createWasmProbe()
}
