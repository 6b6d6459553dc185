import { RunnerError } from '../runner'
import { type DeviceTraits, wordsOf } from './device'

/** What a step asks of the kernels: the numbers that grids, FLOPs and bytes depend on. */
export interface Load {
  /** Tokens computed. */
  rows: number
  /** Rows whose logits are wanted. */
  logits: number
  /** Rows that are drawn from. */
  samples: number
  /** Chunks of one token, and tiles of up to 16 tokens of longer chunks. */
  decodes: number
  tiles: number
  /** Σ over the rows of the positions each looks at, itself included. */
  attended: number
  /** Parts that the longest decode's context is split into. */
  splits: number
  /** Slots of the cache to be copied. */
  copies: number
  /** Mixture of experts: experts a token is sent to; 0 of a dense model. */
  experts: number
  /** (token, choice of expert) pairs, with what fills up the last tile of each expert. */
  assignments: number
  /** Assignments of one expert that are taken together; 1: each by itself. */
  expertTile: number
}

/** A load that asks for nothing. */
export const NO_LOAD: Load = { rows: 0, logits: 0, samples: 0, decodes: 0, tiles: 0, attended: 0, splits: 1, copies: 0, experts: 0, assignments: 0, expertTile: 1 }

export type Grid = readonly [x: number, y?: number, z?: number]

/**
 * A compute kernel: its WGSL, how it is bound, and what it costs.
 * `Shape` holds what is fixed when the pipeline is built; `Load` what changes from step to step.
 */
export interface Kernel<Shape> {
  /** "swiglu/tile": what it computes, and how. */
  name: string
  source: string
  /** Storage bindings 1 … n in order; binding 0 is the step, a uniform with dynamic offset. */
  bindings: readonly GPUBufferBindingType[]
  /** Whether this device should use it for this shape. */
  suits(device: DeviceTraits, shape: Shape): boolean
  /** Values of the WGSL's override constants. */
  constants(shape: Shape): Record<string, number>
  /** Workgroups; before folding, so x may pass the device's limit where the kernel says it folds. */
  grid(shape: Shape, load: Load): Grid
  /** Floating-point operations of one dispatch. */
  flops(shape: Shape, load: Load): number
  /** Bytes that have to move at least: each operand once. */
  bytes(shape: Shape, load: Load): number
}

/** States a kernel; exists so that a wrapper reads as a declaration and is checked as one. */
export function kernel<Shape>(spec: Kernel<Shape>): Kernel<Shape> {
  return spec
}

/** A kernel with its pipeline built for one shape. */
export interface Built<Shape = unknown> {
  kernel: Kernel<Shape>
  shape: Shape
  pipeline: GPUComputePipeline
  layout: GPUBindGroupLayout
}

/** Bytes of the step uniform that one binding sees; slots are 256 apart, the alignment every device allows. */
export const STEP_BYTES = 48
export const STEP_SLOT = 256

/** Compiles a kernel. Throws RunnerError('unsupported') with the driver's words. */
export async function build<Shape>(device: GPUDevice, spec: Kernel<Shape>, shape: Shape): Promise<Built<Shape>> {
  const layout = device.createBindGroupLayout({
    label: spec.name,
    entries: [
      { binding: 0, visibility: GPUShaderStage.COMPUTE, buffer: { type: 'uniform', hasDynamicOffset: true, minBindingSize: STEP_BYTES } },
      ...spec.bindings.map((type, i) => ({ binding: i + 1, visibility: GPUShaderStage.COMPUTE, buffer: { type } })),
    ],
  })
  device.pushErrorScope('validation') // a faulty module would otherwise be reported twice
  const module = device.createShaderModule({ label: spec.name, code: spec.source })
  void device.popErrorScope()
  try {
    const pipeline = await device.createComputePipelineAsync({
      label: spec.name,
      layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module, entryPoint: 'main', constants: spec.constants(shape) },
    })
    return { kernel: spec, shape, pipeline, layout }
  } catch (cause) {
    const { messages } = await module.getCompilationInfo()
    const words = messages.find((m) => m.type === 'error')
    throw new RunnerError(`The graphics driver refused the kernel ${spec.name}: ${words ? `${words.message} (line ${words.lineNum})` : wordsOf(cause)}`, 'unsupported', { cause })
  }
}

/** Binds buffers to a built kernel: the step's uniform, then the storage buffers in the order of `bindings`. */
export function bind(device: GPUDevice, built: Built, step: GPUBuffer, storage: readonly (GPUBuffer | GPUBufferBinding)[]): GPUBindGroup {
  return device.createBindGroup({
    label: built.kernel.name,
    layout: built.layout,
    entries: [
      { binding: 0, resource: { buffer: step, size: STEP_BYTES } },
      ...storage.map((bound, i) => ({ binding: i + 1, resource: 'buffer' in bound ? bound : { buffer: bound } })),
    ],
  })
}

/** Folds a grid whose x passes what a device allows into y; kernels read their place as x + y · (groups in x). */
export function fold([x, y = 1, z = 1]: Grid, most: number): [number, number, number] {
  if (x <= most) return [x, y, z]
  if (y !== 1) throw new RangeError(`a grid of ${x} × ${y} workgroups cannot be folded`)
  const lines = Math.ceil(x / most)
  return [Math.ceil(x / lines), lines, z]
}
