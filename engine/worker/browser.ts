import { createRunner, type EngineRunner } from '../runner/create'
import type { RoofProbe } from '../runner/probe'
import type { Tuning } from '../runner/webgpu/tuning'
import type { Clock } from '../serving/clock'
import type { HostEnvironment } from './host'
import { indexedDbStore } from './store'
import { yieldThread } from './yield'

/** Where assets/models lies, from a page at `base`. */
export function browserEnvironment(base: string): HostEnvironment {
  const fetchFile = async (path: string): Promise<ArrayBuffer> => {
    const response = await fetch(new URL(path, base))
    if (!response.ok) throw new Error(`the server answered ${response.status} ${response.statusText}`)
    // A single-page fallback answers any path with its HTML.
    if (response.headers.get('content-type')?.startsWith('text/html')) throw new Error('the server sent a web page instead')
    return response.arrayBuffer()
  }
  return {
    model: (name) => (file) => fetchFile(`assets/models/${name}/${file}`),
    passage: async () => new TextDecoder().decode(await fetchFile('assets/models/passage.txt')),
    store: indexedDbStore,
    yieldThread,
    createRunner,
    createProbe,
    tune: tuneKernels,
    cores: navigator.hardwareConcurrency,
    isolated: globalThis.crossOriginIsolated,
    // Where the browser does not say (Firefox, Safari), what nearly every machine has.
    memoryBytes: ((navigator as { deviceMemory?: number }).deviceMemory ?? 4) * 2 ** 30,
  }
}

export async function tuneKernels(kind: EngineRunner, clock: Clock): Promise<Tuning | undefined> {
  if (kind === 'wasm') return (await import('../runner/wasm/tune')).tuneWasm(clock)
  if (kind !== 'webgpu') return undefined
  const { tune, shapesToTune } = await import('../runner/webgpu/tune')
  return tune(shapesToTune, { now: () => clock.now() })
}

export async function createProbe(kind: EngineRunner): Promise<RoofProbe> {
  switch (kind) {
    case 'webgpu': return (await import('../runner/webgpu/roofs')).createWebGpuProbe()
    case 'wasm': return (await import('../runner/wasm/roofs')).createWasmProbe()
    case 'reference': return (await import('../runner/reference/roofs')).createReferenceProbe()
  }
}
