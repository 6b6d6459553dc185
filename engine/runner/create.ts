import type { RunnerName } from '../trace/provenance'
import type { Model } from '../model/weights'
import { RunnerError, type Runner, type RunnerOptions } from './runner'

export type EngineRunner = Exclude<RunnerName, 'recorded' | 'endpoint'>

/** Best first where all work; calibration decides by measurement. */
export const RUNNERS: readonly EngineRunner[] = ['webgpu', 'wasm', 'reference']

/** Makes a runner of a kind; its code is loaded when first asked for. Throws RunnerError in words for the page. */
export async function createRunner(kind: EngineRunner, model: Model, options: RunnerOptions = {}): Promise<Runner> {
  const runner = await make(kind, model, options)
  const refused = refusedPrecision(runner, options)
  if (refused === undefined) return runner
  runner.dispose()
  throw new RunnerError(`The ${kind} runner does not hold ${refused}: choose f32.`, 'unsupported')
}

/**
 * What a runner was asked for and does not do: one that does not know a precision computes in its own, and its
 * numbers would be taken for those of the one asked for.
 */
export function refusedPrecision(runner: Runner, { weights, kv }: Pick<RunnerOptions, 'weights' | 'kv'>): string | undefined {
  const widths = runner.widths ?? { weight: 4, kv: 4 }
  if (weights && weights.format !== 'f32' && widths.weight >= 4) return `weights in ${weights.format}`
  if (kv && kv !== 'f32' && widths.kv >= 4) return `keys and values in ${kv}`
  return undefined
}

async function make(kind: EngineRunner, model: Model, options: RunnerOptions): Promise<Runner> {
  switch (kind) {
    case 'webgpu': return (await import('./webgpu')).createWebGpuRunner(model, options)
    case 'wasm': return (await import('./wasm')).createWasmRunner(model, options)
    case 'reference': return (await import('./reference')).createReferenceRunner(model, options)
  }
}
