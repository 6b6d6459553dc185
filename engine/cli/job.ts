import { loadModel, type LoadedModel, type ReadFile } from '../model/load'
import { createRunner, type EngineRunner } from '../runner/create'
import { BLOCK_SIZE, type KvPrecision, type Runner, type RunnerOptions, type Sampling, type WeightPrecision } from '../runner/runner'
import { WallClock } from '../serving/clock'
import type { SpeculateOptions } from '../speculate/options'
import { generate, type Generated } from './job-generate'
import { profile, type Profiled, type ProfileJob } from './job-profile'
import { score, type Scored } from './job-score'

/**
 * What a command asks of the engine. Plain data, and executed by the same code in Node and in the
 * page that the webgpu runner lives in.
 */
export type Job = { model: string; runner: EngineRunner; weights?: WeightPrecision; kv?: KvPrecision } & (
  | { kind: 'generate'; prompt: string; maxTokens: number; sampling?: Sampling; speculate?: SpeculateOptions; trace?: boolean }
  | { kind: 'score'; text: string }
  | ({ kind: 'profile' } & Pick<ProfileJob, 'prompt' | 'context' | 'batch'>)
)

export type JobResult<J extends Job> = J extends { kind: 'generate' } ? Generated : J extends { kind: 'profile' } ? Profiled : Scored

/** Loads the model, makes the runner, does the job; `readDraft` reads the model that drafts for it. Rejects with ModelError, RunnerError or RangeError in words for the user. */
export async function execute<J extends Job>(job: J, read: ReadFile, readDraft: ReadFile = read): Promise<JobResult<J>> {
  const loaded = await loadModel(job.model, read)
  const withRunner = <T>(positions: number, use: (runner: Runner) => Promise<T>) => borrow(job.runner, loaded, { blocks: Math.ceil(positions / BLOCK_SIZE), weights: job.weights, kv: job.kv }, use)
  if (job.kind === 'profile') return (await profile(loaded, job, new WallClock())) as JobResult<J>
  if (job.kind === 'score') return (await score(loaded, job.text, withRunner)) as JobResult<J>
  if (!job.speculate || job.speculate.method === 'lookup') return (await generate(loaded, job, withRunner)) as JobResult<J>
  const small = await loadModel('draft', readDraft)
  if (small.model.config.vocabSize !== loaded.model.config.vocabSize) {
    throw new RangeError(`the draft model knows ${small.model.config.vocabSize} tokens and ${job.model} ${loaded.model.config.vocabSize}: it cannot draft for it`)
  }
  // One request at a time: room for the longest text that the target takes.
  const options = { blocks: Math.ceil(small.model.config.maxPositions / BLOCK_SIZE) }
  return (await borrow(job.runner, small, options, (draft) => generate(loaded, job, withRunner, draft))) as JobResult<J>
}

/** A runner with a KV pool for so many positions, disposed of afterwards. */
export type WithRunner = <T>(positions: number, use: (runner: Runner) => Promise<T>) => Promise<T>

async function borrow<T>(kind: EngineRunner, { model }: LoadedModel, options: RunnerOptions, use: (runner: Runner) => Promise<T>): Promise<T> {
  const runner = await createRunner(kind, model, options)
  try {
    return await use(runner)
  } finally {
    runner.dispose()
  }
}
