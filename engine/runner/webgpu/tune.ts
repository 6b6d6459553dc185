import { RunnerError, type WeightPrecision } from '../runner'
import { openDevice, type DeviceOptions, type OpenDevice } from './device'
import { bind, build, fold, NO_LOAD, STEP_SLOT, type Built, type Load } from './kernel'
import { matmulKernels, type MatmulKernel, type MatmulShape } from './kernels/matmul'
import { residual } from './kernels/residual'
import { matrixBytes, matrixFormat, type MatrixFormat } from './kernels/weights'
import type { MatmulPlan } from './plan'
import { shapeKey, type TunedMatmul, type Tuning } from './tuning'
import { fillSynthetic } from './weights'

/** A matrix (2 · pairs, columns) that kernels are tried on. */
export interface TuneShape {
  pairs: number
  columns: number
  weights: WeightPrecision
}

export interface TuneOptions extends DeviceOptions {
  /** The time, ms: the tuner reads no clock of its own. */
  now(): number
  /** Stops trying after so long, ms (default 900); what has been found by then counts. */
  budgetMs?: number
  /** Tries only these ways (default: all that suit the device). */
  ways?: RegExp
}

/** Gate and up of tales-5m and of a timing model that no cache holds, in each format; other shapes take after the nearest. */
export const shapesToTune: readonly TuneShape[] = [{ pairs: 768, columns: 256 }, { pairs: 3072, columns: 1024 }].flatMap((shape) =>
  (['f32', 'f16', 'int8', 'int4'] as const).map((format) => ({ ...shape, weights: { format } })))

/** Tokens at which ways are compared; between two of them the better way at the larger one is used. */
const TOKENS = [1, 2, 4, 8, 16, 32, 64, 256]
/** A pass that is timed takes so long at least, ms: a submit costs 0.1 and more. */
const PASS_MS = 1
/** Outputs that differ by more than this, relative to the largest, are wrong. */
const TOLERANCE = 1e-3

/**
 * Tries the ways to do a matmul on this device, at several numbers of tokens, shape by shape until the time is up.
 * A way whose output differs from the plainest one's is never chosen. Throws RunnerError('unsupported') without a device.
 */
export async function tune(shapes: readonly TuneShape[], options: TuneOptions): Promise<Tuning> {
  const opened = await openDevice(options)
  const end = options.now() + (options.budgetMs ?? 900)
  const matmuls: Record<string, TunedMatmul> = {}
  try {
    for (const [i, shape] of shapes.entries()) {
      if (i > 0 && options.now() > end) break
      // Those that remain share what time remains.
      const share = (end - options.now()) / (shapes.length - i)
      const bench = await Bench.create(opened, shape)
      try {
        const tuned = await bench.compare({ ...options, end: options.now() + share })
        if (tuned.plan.length > 0) matmuls[shapeKey(shape, matrixFormat(shape.weights))] = tuned
      } finally {
        bench.dispose()
      }
    }
  } finally {
    if (opened.owned) opened.device.destroy()
  }
  return { version: 1, device: opened.key, matmuls }
}

/** One matrix on the device, and the buffers around it. */
class Bench {
  private readonly built = new Map<string, Promise<Built<MatmulShape>>>()
  private readonly shape: MatmulShape

  private constructor(
    private readonly opened: OpenDevice,
    { pairs, columns }: TuneShape,
    private readonly format: MatrixFormat,
    private readonly buffers: { step: GPUBuffer; data: GPUBuffer; scales: GPUBuffer | undefined; x: GPUBuffer; y: GPUBuffer; zero: GPUBuffer; read: GPUBuffer },
  ) {
    this.shape = { pairs, columns, around: {} }
  }

  static async create(opened: OpenDevice, shape: TuneShape): Promise<Bench> {
    const { device } = opened
    const format = matrixFormat(shape.weights)
    const tokens = TOKENS.at(-1)!
    const bytes = matrixBytes(format, 2 * shape.pairs, shape.columns)
    const make = (size: number, usage: number) => device.createBuffer({ label: 'tuning', size: Math.max(16, Math.ceil(size / 16) * 16), usage })
    const storage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC
    device.pushErrorScope('out-of-memory')
    const buffers = {
      step: make(STEP_SLOT, GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST),
      data: make(bytes.data, storage),
      scales: bytes.scales > 0 ? make(bytes.scales, storage) : undefined,
      x: make(4 * tokens * shape.columns, storage),
      y: make(8 * tokens * shape.pairs, storage),
      zero: make(8 * tokens * shape.pairs, storage),
      read: make(8 * shape.pairs, GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ),
    }
    const error = await device.popErrorScope()
    if (error) throw new RunnerError(`There was no memory to try kernels in: ${error.message}`, 'out-of-memory', { cause: error })
    await fillSynthetic(device, 1, [{ matrix: { data: buffers.data, scales: buffers.scales }, tensor: 0, rows: 2 * shape.pairs, columns: shape.columns, base: 0, group: 1, stride: 1 }], format)
    await fillSynthetic(device, 1, [{ matrix: { data: buffers.x }, tensor: 1, rows: tokens, columns: shape.columns, base: 0, group: 1, stride: 1 }])
    return new Bench(opened, shape, format, buffers)
  }

  async compare({ now, ways, end }: { now(): number; ways?: RegExp; end: number }): Promise<TunedMatmul> {
    const kernels = matmulKernels(residual, this.format).filter((k) => k.suits(this.opened, this.shape) && (!ways || ways.test(k.way)))
    const plainest = kernels.find((k) => k.way === 'row') ?? kernels[0]!
    const tried: TunedMatmul['tried'] = []
    const plan: { upTo: number; way: string }[] = []
    for (const tokens of TOKENS) {
      if (plan.length > 0 && now() > end) break
      const candidates = kernels.filter((k) => isCandidate(k, tokens))
      const built = await Promise.all(candidates.map((k) => this.pipeline(k)))
      const truth = await this.output(await this.pipeline(plainest), tokens)
      let best: { way: string; ms: number } | undefined
      for (const [i, candidate] of candidates.entries()) {
        const output = await this.output(built[i]!, tokens)
        const wrong = differs(output, truth)
        const ms = wrong ? undefined : await this.time(built[i]!, tokens, now)
        tried.push({ tokens, way: candidate.way, ...(ms === undefined ? { wrong: true } : { ms }) })
        if (ms !== undefined && (!best || ms < best.ms)) best = { way: candidate.way, ms }
      }
      if (best) plan.push({ upTo: tokens, way: best.way })
    }
    if (plan.length > 0) plan.at(-1)!.upTo = Number.MAX_SAFE_INTEGER // JSON has no infinity
    return { plan: merged(plan), tried }
  }

  dispose(): void {
    for (const buffer of Object.values(this.buffers)) buffer?.destroy()
  }

  private pipeline(kernel: MatmulKernel): Promise<Built<MatmulShape>> {
    let built = this.built.get(kernel.way)
    if (!built) this.built.set(kernel.way, built = build(this.opened.device, kernel, this.shape))
    return built
  }

  /** The last token's output, from zero. */
  private async output(built: Built<MatmulShape>, tokens: number): Promise<Float32Array> {
    const { y, zero, read } = this.buffers
    const encoder = this.opened.device.createCommandEncoder()
    encoder.copyBufferToBuffer(zero, 0, y, 0, y.size)
    this.encode(encoder, built, tokens, 1)
    const row = 8 * this.shape.pairs
    encoder.copyBufferToBuffer(y, (tokens - 1) * row, read, 0, row)
    await this.submit(encoder)
    await read.mapAsync(GPUMapMode.READ)
    const out = new Float32Array(read.getMappedRange(0, row).slice(0))
    read.unmap()
    return out
  }

  /** ms a product: of two passes of PASS_MS at least, the shorter. */
  private async time(built: Built<MatmulShape>, tokens: number, now: () => number): Promise<number> {
    const pass = async (times: number) => {
      const encoder = this.opened.device.createCommandEncoder()
      this.encode(encoder, built, tokens, times)
      const start = now()
      await this.submit(encoder)
      return now() - start
    }
    const empty = await pass(0)
    const once = Math.max(0.005, (await pass(1)) - empty)
    const times = Math.min(200, Math.max(1, Math.ceil(PASS_MS / once)))
    return (Math.min(await pass(times), await pass(times)) - (times > 1 ? empty : 0)) / times
  }

  private encode(encoder: GPUCommandEncoder, built: Built<MatmulShape>, tokens: number, times: number): void {
    const { device, limits } = this.opened
    const { step, data, scales, x, y } = this.buffers
    const load: Load = { ...NO_LOAD, rows: tokens }
    device.queue.writeBuffer(step, 0, Uint32Array.of(tokens))
    const pass = encoder.beginComputePass()
    pass.setPipeline(built.pipeline)
    pass.setBindGroup(0, bind(device, built as Built, step, [data, x, y, ...(scales ? [scales] : [])]), [0])
    for (let i = 0; i < times; i++) pass.dispatchWorkgroups(...fold(built.kernel.grid(built.shape, load), limits.maxComputeWorkgroupsPerDimension))
    pass.end()
  }

  private async submit(encoder: GPUCommandEncoder): Promise<void> {
    const { queue, lost } = this.opened.device
    queue.submit([encoder.finish()])
    const gone = await Promise.race([queue.onSubmittedWorkDone(), lost])
    if (gone) throw new RunnerError(`The graphics card was taken away while kernels were tried on it (${gone.message}).`, 'device-lost')
  }
}

/** Ways worth a try for so many tokens: none that would leave most of what it takes together empty, none that shares too little. */
function isCandidate({ tokensTogether }: MatmulKernel, tokens: number): boolean {
  return tokensTogether < 2 * tokens && (tokens <= 4 || tokensTogether * 16 >= tokens)
}

function differs(a: Float32Array, b: Float32Array): boolean {
  const largest = b.reduce((most, v) => Math.max(most, Math.abs(v)), 0)
  return a.some((v, i) => !(Math.abs(v - b[i]!) <= TOLERANCE * largest))
}

/** Neighbours that take the same way as one. */
function merged(plan: MatmulPlan): MatmulPlan {
  return plan.filter((entry, i) => plan[i + 1]?.way !== entry.way)
}
