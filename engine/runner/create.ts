import type { RunnerName } from '../trace/provenance'
import type { Model } from '../model/weights'
import type { Runner, RunnerOptions } from './runner'

export type EngineRunner = Exclude<RunnerName, 'recorded'>

/** Best first where all work; calibration decides by measurement. */
export const RUNNERS: readonly EngineRunner[] = ['webgpu', 'wasm', 'reference']

/** Makes a runner of a kind; its code is loaded when first asked for. Throws RunnerError in words for the page. */
export async function createRunner(kind: EngineRunner, model: Model, options?: RunnerOptions): Promise<Runner> {
  switch (kind) {
    case 'webgpu': return (await import('./webgpu')).createWebGpuRunner(model, options)
    case 'wasm': return (await import('./wasm')).createWasmRunner(model, options)
    case 'reference': return (await import('./reference')).createReferenceRunner(model, options)
  }
}
