import { servedModel } from '$engine/cli/page/model'
import { loadModel } from '$engine/model/load'
import { timingModel } from '$engine/model/synthetic'
import { benchWebGpu } from '../webgpu'

/** The bench as webgpu-kernels.ts drives it: a shipped model by name, or a synthetic one of so many parameters. */
const page = {
  run: async (model: string) => benchWebGpu(Number(model) > 0 ? timingModel(Number(model)) : (await loadModel(model, servedModel(model))).model),
}

export type WebGpuBenchPage = typeof page
Object.assign(globalThis, { webgpuBench: page })
