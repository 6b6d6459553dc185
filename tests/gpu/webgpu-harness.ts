import { onTestFinished } from 'vitest'
import { openDevice, type OpenDevice } from '$engine/runner/webgpu/device'
import { bind, build, fold, STEP_SLOT, type Built, type Kernel, type Load } from '$engine/runner/webgpu/kernel'

/** Numbers in −1 … 1 that are the same on every run. */
export function randomFloats(count: number, seed: number): Float32Array<ArrayBuffer> {
  let state = seed * 2654435761 + 1
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 31 - 1
  })
}

export { NO_LOAD } from '$engine/runner/webgpu/kernel'

export type Data = Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>

let shared: Promise<OpenDevice> | undefined

/** One device for all kernel tests of a file. */
export function testDevice(): Promise<OpenDevice> {
  return (shared ??= openDevice())
}

const built = new Map<string, Promise<Built>>()

/**
 * Runs one kernel once on the given arrays (bindings 1 … n) and returns what they hold afterwards. Fails the
 * test that called it when the driver complains.
 */
export async function runKernel<S>(kernel: Kernel<S>, shape: S, load: Load, step: number[], data: Data[]): Promise<Data[]> {
  const { device, limits } = await testDevice()
  const key = kernel.name + JSON.stringify([shape, kernel.constants(shape)])
  if (!built.has(key)) built.set(key, build(device, kernel as Kernel<unknown>, shape))
  device.pushErrorScope('validation')
  const make = (bytes: number, usage: number) => {
    const buffer = device.createBuffer({ size: Math.max(16, Math.ceil(bytes / 16) * 16), usage })
    onTestFinished(() => buffer.destroy())
    return buffer
  }
  const uniform = make(STEP_SLOT, GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST)
  device.queue.writeBuffer(uniform, 0, Uint32Array.from(step))
  const buffers = data.map((values) => {
    const buffer = make(values.byteLength, GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC)
    device.queue.writeBuffer(buffer, 0, values)
    return buffer
  })
  const readback = buffers.map((b) => make(b.size, GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ))
  const made = await built.get(key)!
  const encoder = device.createCommandEncoder()
  const pass = encoder.beginComputePass()
  pass.setPipeline(made.pipeline)
  pass.setBindGroup(0, bind(device, made, uniform, buffers), [0])
  pass.dispatchWorkgroups(...fold(kernel.grid(shape, load), limits.maxComputeWorkgroupsPerDimension))
  pass.end()
  buffers.forEach((b, i) => encoder.copyBufferToBuffer(b, 0, readback[i]!, 0, b.size))
  device.queue.submit([encoder.finish()])
  const error = await device.popErrorScope()
  if (error) throw new Error(`${kernel.name}: ${error.message}`)
  return Promise.all(readback.map(async (b, i) => {
    await b.mapAsync(GPUMapMode.READ)
    const like = data[i]!
    return new (like.constructor as Float32ArrayConstructor)(b.getMappedRange().slice(0, like.byteLength)) as Data
  }))
}

export function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) throw new RangeError(`${a.length} numbers against ${b.length}`)
  let most = 0
  // A NaN must not pass as "no difference".
  for (let i = 0; i < a.length; i++) most = Math.max(most, Number.isNaN(a[i]!) ? Infinity : Math.abs(a[i]! - b[i]!))
  return most
}
