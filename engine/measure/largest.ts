import { parameterCount } from '../model/config'
import { timingModel } from '../model/synthetic'
import type { Model } from '../model/weights'
import { RunnerError, type Runner, type RunnerOptions, type WeightPrecision } from '../runner/runner'
import type { LargestModel } from './profile'

/** A mixture's SwiGLUs a layer. */
const EXPERTS = 8
/** The search ends when the largest that fits and the smallest that does not are this close. */
const CLOSE = 1.15

export interface LargestOptions {
  /** Parameters to begin with (default 50 M) and never to go beyond (default 100 billion). */
  from?: number
  most?: number
  signal?: AbortSignal
}

/**
 * The largest timing model that a runner can be made for and takes a step, found by trying: twice the size until it is
 * refused for lack of memory, then between the two. `create` makes a runner. Rejects with errors other than
 * RunnerError('out-of-memory') and ('unsupported'), and with the first refusal if nothing fits.
 */
export async function findLargest(
  create: (model: Model, options: RunnerOptions) => Promise<Runner>, kind: LargestModel['kind'], weights: WeightPrecision, { from = 50e6, most = 1e11, signal }: LargestOptions = {},
): Promise<LargestModel> {
  const sized = (parameters: number) => timingModel(parameters, { experts: kind === 'mixture' ? EXPERTS : 1 })
  let fits: number | undefined
  let refused: { parameters: number; cause: RunnerError } | undefined
  for (let next = from; next <= most;) {
    signal?.throwIfAborted()
    const model = sized(next)
    const parameters = parameterCount(model.config)
    // Widths come in steps: the next one between the two may be one of them.
    if (parameters === fits || (refused && parameters >= refused.parameters)) break
    const cause = await refusal(create, model, weights)
    if (cause) refused = { parameters, cause }
    else fits = parameters
    if (refused && fits && refused.parameters / fits < CLOSE) break
    if (refused && !fits && next / 4 < 1e6) throw refused.cause
    next = refused ? (fits ? Math.sqrt(fits * refused.parameters) : next / 4) : next * 2
  }
  if (fits === undefined) throw refused?.cause ?? new RangeError(`nothing between ${from} and ${most} parameters was tried`)
  return { kind, weights, parameters: fits, ...(refused && { refused: refused.parameters, why: refused.cause.message }) }
}

/** Why a runner of this model cannot be made or cannot take a step; undefined when it can. */
async function refusal(create: (model: Model, options: RunnerOptions) => Promise<Runner>, model: Model, weights: WeightPrecision): Promise<RunnerError | undefined> {
  let runner: Runner | undefined
  try {
    runner = await create(model, { weights, kv: weights.format === 'f32' ? 'f32' : 'f16', blocks: 64, sequences: 1, tokens: 32 })
    await runner.run({ chunks: [{ request: 0, tokens: Int32Array.of(1), start: 0, blockTable: Int32Array.of(0), sample: true }] })
    return undefined
  } catch (error) {
    if (error instanceof RunnerError && ['out-of-memory', 'unsupported', 'device-lost'].includes(error.code)) return error
    throw error
  } finally {
    runner?.dispose()
  }
}
