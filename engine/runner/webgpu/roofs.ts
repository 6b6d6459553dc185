import { RunnerError } from '../runner'
import type { RoofProbe } from '../probe'
import { openDevice, wordsOf, type DeviceOptions, type OpenDevice } from './device'
import { megabytes } from './buffers'
import { bind, build, NO_LOAD, STEP_SLOT, type Built, type Load } from './kernel'
import { matmulKernels, type MatmulShape } from './kernels/matmul'
import { read, type ReadShape } from './kernels/read'
import { residual } from './kernels/residual'
import { defaultPlan, wayFor } from './plan'
import { fillSynthetic } from './weights'

const MB = 2 ** 20

/** What the probe multiplies: tokens × (2·pairs, columns), so often a pass. */
interface Product {
  tokens: number
  shape: MatmulShape
  times: number
}

/**
 * What this device can read and multiply, through the same kind of kernels that the runner uses: the best
 * rates here are the roofs that its steps are judged against. Times nothing itself.
 * Throws RunnerError('unsupported') when there is no device.
 */
export async function createWebGpuProbe(options: DeviceOptions = {}): Promise<WebGpuProbe> {
  const opened = await openDevice(options)
  const { device, software } = opened
  // On a graphics card a pass has to be long against the time of a submit (0.1 ms and more).
  const product: Product = software
    ? { tokens: 64, shape: { pairs: 256, columns: 512, around: {} }, times: 1 }
    : { tokens: 1024, shape: { pairs: 512, columns: 1024, around: {} }, times: 8 }
  const readShape: ReadShape = software ? { workgroups: 16, width: 16 } : { workgroups: 1024, width: 256 }
  const best = wayFor(defaultPlan(opened, product.shape), product.tokens)
  const way = matmulKernels(residual).find((k) => k.way === best)!
  const matmul = await build(device, way, product.shape)
  return new WebGpuProbe(opened, product, matmul, await build(device, read, readShape))
}

export class WebGpuProbe implements RoofProbe {
  readonly sizes: readonly number[]
  private readonly matmulGroup: GPUBindGroup
  private readonly parameters: GPUBuffer
  private readonly readParameters: GPUBuffer
  private readonly sums: GPUBuffer
  private readonly buffers: GPUBuffer[] = []
  private readonly done: GPUBuffer
  private data: { buffer: GPUBuffer; group: GPUBindGroup; vectors: number; times: number } | undefined

  constructor(
    private readonly opened: OpenDevice,
    private readonly product: Product,
    private readonly matmul: Built<MatmulShape>,
    private readonly reading: Built<ReadShape>,
  ) {
    const { device, software, limits } = opened
    const most = Math.min(limits.maxBufferSize, limits.maxStorageBufferBindingSize)
    this.sizes = (software ? [1, 4, 16] : [4, 16, 64, 256, 1024]).map((mb) => mb * MB).filter((bytes) => bytes <= most)
    const { shape, tokens } = product
    const make = (bytes: number, usage: GPUBufferUsageFlags) => {
      const buffer = device.createBuffer({ size: bytes, usage })
      this.buffers.push(buffer)
      return buffer
    }
    const storage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST
    const uniform = GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST
    this.parameters = make(STEP_SLOT, uniform)
    this.readParameters = make(STEP_SLOT, uniform)
    this.sums = make(reading.shape.workgroups * reading.shape.width * 4, storage | GPUBufferUsage.COPY_SRC)
    this.done = make(4, GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ)
    const w = make(8 * shape.pairs * shape.columns, storage)
    const x = make(4 * tokens * shape.columns, storage)
    const y = make(8 * tokens * shape.pairs, storage)
    device.queue.writeBuffer(this.parameters, 0, Uint32Array.of(tokens, 0, 0, 0, 0, 0))
    device.queue.writeBuffer(w, 0, new Float32Array(2 * shape.pairs * shape.columns).fill(0.5))
    device.queue.writeBuffer(x, 0, new Float32Array(tokens * shape.columns).fill(0.5))
    this.matmulGroup = bind(device, matmul as Built, this.parameters, [w, x, y])
  }

  /** Sets aside `bytes` and fills them with numbers that do not compress. Throws RunnerError('out-of-memory'). */
  async prepare(bytes: number): Promise<void> {
    const { device } = this.opened
    this.data?.buffer.destroy()
    this.data = undefined
    const vectors = Math.floor(bytes / 16)
    device.pushErrorScope('validation')
    device.pushErrorScope('out-of-memory')
    const buffer = device.createBuffer({ label: 'read probe', size: vectors * 16, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST })
    const outOfMemory = device.popErrorScope()
    const invalid = device.popErrorScope()
    const error = (await outOfMemory) ?? (await invalid)
    if (error) throw new RunnerError(`Reading ${megabytes(bytes)} needs a buffer of that size, which the graphics card could not give: ${error.message}`, 'out-of-memory', { cause: error })
    await fillSynthetic(device, 1, [{ matrix: { data: buffer }, tensor: 0, rows: vectors, columns: 4, base: 0, group: 1, stride: 1 }])
    device.queue.writeBuffer(this.readParameters, 0, Uint32Array.of(vectors))
    // A small working set is read several times a pass, or the submit would be what is timed.
    const times = Math.max(1, Math.round(((this.opened.software ? 16 : 256) * MB) / bytes))
    this.data = { buffer, group: bind(device, this.reading as Built, this.readParameters, [buffer, this.sums]), vectors, times }
  }

  /** Reads what was prepared, small sizes several times over; the bytes it read. */
  async readPass(): Promise<number> {
    const { data } = this
    if (!data) throw new RangeError('prepare() first: there is nothing to read')
    const load: Load = { ...NO_LOAD, rows: data.vectors }
    await this.submit(this.reading as Built, data.group, load, data.times)
    return data.vectors * 16 * data.times
  }

  /** Matrix products; the FLOPs they did. */
  async matmulPass(): Promise<number> {
    const load: Load = { ...NO_LOAD, rows: this.product.tokens }
    await this.submit(this.matmul as Built, this.matmulGroup, load, this.product.times)
    return this.product.times * this.matmul.kernel.flops(this.product.shape, load)
  }

  /** A submit that computes nothing, and its readback: what any step costs on top. */
  async emptyPass(): Promise<void> {
    await this.submit(undefined, undefined, NO_LOAD, 0)
  }

  dispose(): void {
    this.data?.buffer.destroy()
    for (const buffer of this.buffers) buffer.destroy()
    if (this.opened.owned) this.opened.device.destroy()
  }

  private async submit(built: Built | undefined, group: GPUBindGroup | undefined, load: Load, times: number): Promise<void> {
    const { device } = this.opened
    const encoder = device.createCommandEncoder()
    if (built && group) {
      const pass = encoder.beginComputePass()
      pass.setPipeline(built.pipeline)
      pass.setBindGroup(0, group, [0])
      for (let i = 0; i < times; i++) pass.dispatchWorkgroups(...built.kernel.grid(built.shape, load))
      pass.end()
    }
    encoder.copyBufferToBuffer(this.sums, 0, this.done, 0, 4)
    device.queue.submit([encoder.finish()])
    try {
      await this.done.mapAsync(GPUMapMode.READ)
    } catch (cause) {
      throw new RunnerError(`The graphics card stopped while its speed was measured: ${wordsOf(cause)}`, 'device-lost', { cause })
    }
    this.done.unmap()
  }
}
