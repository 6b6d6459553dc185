import { measureMachine, type MachineOptions, type Measured } from '../measure/machine'
import { loadModel, type ReadFile } from '../model/load'
import { createRunner } from '../runner/create'
import type { RoofProbe } from '../runner/probe'
import { WallClock } from '../serving/clock'

/** Measures the machine that this code runs on, in Node or in a page. `read` gives the files of a shipped model. */
export function measureHere(options: MachineOptions, read: (model: string) => ReadFile, memoryBytes: number, onProgress: (doing: string) => void): Promise<Measured> {
  const { runner } = options
  return measureMachine({
    createRunner: (model, more) => createRunner(runner, model, more),
    createProbe: () => probeOf(runner),
    ...(runner === 'webgpu' && {
      tune: async (clock) => {
        const { shapesToTune, tune } = await import('../runner/webgpu/tune')
        return tune(shapesToTune, { now: () => clock.now() })
      },
    }),
    load: async (name) => (await loadModel(name, read(name))).model,
    clock: new WallClock(),
    memoryBytes,
    onProgress,
  }, options)
}

async function probeOf(runner: MachineOptions['runner']): Promise<RoofProbe> {
  return runner === 'webgpu' ? (await import('../runner/webgpu/roofs')).createWebGpuProbe() : (await import('../runner/wasm/roofs')).createWasmProbe()
}
