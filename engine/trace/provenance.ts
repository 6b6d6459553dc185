/** How a number is known. Nothing is shown without one of these (DESIGN, "Every number says how it is known"). */
export type Provenance =
  | { how: 'measured'; device: DeviceInfo; at: string }
  | { how: 'simulated'; costs: Provenance; seed: number }
  | { how: 'modelled'; hardware: string; model: string }
  | { how: 'recorded'; device: DeviceInfo; at: string }
  | { how: 'published'; source: string; conditions: string }

export type How = Provenance['how']

/** The machine and the code path that executed the steps. */
export interface DeviceInfo {
  /** What a person would call it: "Apple M3, WebGPU", "2-core CPU, WebAssembly". */
  name: string
  runner: RunnerName
  /** Name of the model whose steps were executed: "tales-5m", "timing-24m". */
  model: string
  threads?: number
  /** WebGPU only: vendor, architecture and description as the adapter states them. */
  adapter?: string
  /** True for an adapter that runs on the CPU (SwiftShader, llvmpipe). */
  software?: boolean
}

/** 'endpoint': somebody's server, seen from outside. */
export type RunnerName = 'webgpu' | 'wasm' | 'reference' | 'recorded' | 'endpoint'
