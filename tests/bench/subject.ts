import { measureDecode, measurePrefill } from '$engine/measure/calibrate'
import { measureRoofs } from '$engine/measure/rates'
import type { ModelConfig } from '$engine/model/config'
import { loadModel, type ReadFile } from '$engine/model/load'
import { timingModel } from '$engine/model/synthetic'
import type { Model } from '$engine/model/weights'
import type { EngineRunner } from '$engine/runner/create'
import type { RoofProbe } from '$engine/runner/probe'
import type { Runner } from '$engine/runner/runner'
import { WallClock } from '$engine/serving/clock'
import type { Roofs } from '$engine/trace/trace'

/** What is put on the bench: a runner, with so many threads where it takes any. */
export interface Setup {
  runner: EngineRunner
  threads?: number
}

/** A shipped model by name, or a synthetic one of about so many parameters. */
export type ModelChoice = { name: string } | { parameters: number }

/** One reading: both are taken by the engine's own calibration. */
export interface Reading {
  decodeMs: number
  prefillMs: number
}

/** A model loaded into a runner, ready to be measured again and again. */
export interface Subject {
  device: string
  config: ModelConfig
  measure(): Promise<Reading>
  close(): void | Promise<void>
}

const clock = new WallClock()

/** KV blocks: the calibration runs never hold more than one short sequence. */
const BLOCKS = 32

export async function openSubject(setup: Setup, choice: ModelChoice, read: (name: string) => ReadFile): Promise<Subject> {
  const model = 'name' in choice ? (await loadModel(choice.name, read(choice.name))).model : timingModel(choice.parameters)
  const runner = await createRunner(setup, model)
  return {
    device: runner.device.name,
    config: model.config,
    measure: async () => ({ decodeMs: await measureDecode(runner, clock), prefillMs: await measurePrefill(runner, clock) }),
    close: () => runner.dispose(),
  }
}

/** What this setup can read and multiply at best, on this machine. */
export async function roofsOf(setup: Setup): Promise<Roofs> {
  const probe = await createProbe(setup)
  try {
    return await measureRoofs(probe, clock, () => {})
  } finally {
    probe.dispose()
  }
}

async function createRunner({ runner, threads }: Setup, model: Model): Promise<Runner> {
  switch (runner) {
    case 'webgpu': return (await import('$engine/runner/webgpu')).createWebGpuRunner(model, { blocks: BLOCKS })
    case 'wasm': return (await import('$engine/runner/wasm')).createWasmRunner(model, { blocks: BLOCKS, threads })
    case 'reference': return (await import('$engine/runner/reference')).createReferenceRunner(model, { blocks: BLOCKS })
  }
}

async function createProbe({ runner, threads }: Setup): Promise<RoofProbe> {
  switch (runner) {
    case 'webgpu': return (await import('$engine/runner/webgpu/roofs')).createWebGpuProbe()
    case 'wasm': return (await import('$engine/runner/wasm/roofs')).createWasmProbe({ threads })
    case 'reference': return (await import('$engine/runner/reference/roofs')).createReferenceProbe()
  }
}
