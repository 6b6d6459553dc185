import type { DeviceInfo } from '../../trace/provenance'
import type { ModelConfig } from '../../model/config'
import type { Model } from '../../model/weights'
import { checkBatch, RunnerError, type Runner, type RunnerLimits, type RunnerOptions, type StepBatch, type StepResult } from '../runner'
import { BatchWriter, type PlannedBatch } from './batch'
import { openDevice, wordsOf, type DeviceOptions, type DeviceTraits, type OpenDevice } from './device'
import { Forward, type Recorder } from './forward'
import { STEP_SLOT, type Built, type Load } from './kernel'
import { matrixFormat, bytesPerWeight } from './kernels/weights'
import { bytesPerKv } from './kernels/cache'
import { allocate, COPIES, sizes, type Formats, type Memory } from './memory'
import { angleTable } from './rotary'
import { ReadbackRing, type ReadbackSlot } from './readback'
import { endsOf, kernelTime, PassTimes, type KernelTime } from './timing'
import { ExpertsSeen } from './seen'
import { loadWeights } from './weights'

export { probeWebGpu, type Probe } from './device'
export type { KernelTime } from './timing'

/** Decode steps encoded into one submit at most. */
const CHAIN = 32
/** Batches in flight: one being mapped, one running, one being encoded. */
const RING = 3

export interface WebGpuOptions extends RunnerOptions, DeviceOptions {
  /** Choose kernels as if the device were so: for tests and tuning. Subgroups cannot be pretended where there are none. */
  kernels?: Partial<Pick<DeviceTraits, 'software' | 'subgroups'>>
}

/**
 * A runner on a WebGPU device; activations and sums are f32 throughout. Throws RunnerError: 'unsupported' (no adapter, a shape or a
 * driver it cannot run on), 'out-of-memory' (with the megabytes needed and offered), 'device-lost'.
 *
 * When the device is lost, the run under way and every later one reject with 'device-lost'; make a new runner
 * then, without `adapter` or `device`, which are used up.
 *
 * In Node with Dawn, put its globals (GPUBufferUsage, GPUMapMode, GPUShaderStage) in place and hand in `gpu`.
 */
export async function createWebGpuRunner(model: Model, options: WebGpuOptions = {}): Promise<WebGpuRunner> {
  checkShape(model.config)
  const opened = await openDevice(options)
  try {
    return await WebGpuRunner.create(model, opened, options)
  } catch (cause) {
    if (opened.owned) opened.device.destroy()
    throw cause
  }
}

function checkShape(c: ModelConfig): void {
  const unable = (what: string): never => {
    throw new RunnerError(`The WebGPU kernels read four numbers at a time: ${what}. Use the wasm or the reference runner for this model.`, 'unsupported')
  }
  if (c.headDim % 4 !== 0) unable(`a head dimension of ${c.headDim} is not a multiple of 4`)
  if (c.headDim > 128) unable(`a head dimension of ${c.headDim} is more than the 128 they hold`)
  if (c.hidden % 4 !== 0) unable(`a width of ${c.hidden} is not a multiple of 4`)
  if (c.ffn % 4 !== 0) unable(`a SwiGLU width of ${c.ffn} is not a multiple of 4`)
}

export class WebGpuRunner implements Runner {
  readonly device: DeviceInfo
  readonly config: ModelConfig
  /** Bytes set aside on the device. */
  readonly bytes: number
  readonly widths: { weight: number; kv: number }
  /** With the option `profile`: times of the last batch's dispatches, in order. */
  profile: KernelTime[] = []
  private failure: RunnerError | undefined
  private readonly lost: Promise<never>

  private constructor(
    model: Model,
    private readonly opened: OpenDevice,
    readonly limits: RunnerLimits,
    private readonly memory: Memory,
    private readonly freeMemory: () => void,
    bytes: number,
    formats: Formats,
    private readonly forward: Forward,
    private readonly writer: BatchWriter,
    private readonly ring: ReadbackRing,
    private readonly times: PassTimes | undefined,
    private readonly profiling: boolean,
    /** Where in a readback the marks of touched experts and the times begin. */
    private readonly resultBytes: { marks: number; times: number },
    private readonly seen: ExpertsSeen | undefined,
    private readonly logitRowsAtATime: number,
  ) {
    this.config = model.config
    this.bytes = bytes
    this.widths = { weight: bytesPerWeight(formats.weights), kv: bytesPerKv(formats.kv, model.config.headDim) }
    this.device = {
      name: `${opened.name}, WebGPU`,
      runner: 'webgpu',
      model: model.name,
      adapter: opened.adapter,
      software: opened.software,
    }
    this.lost = opened.device.lost.then((info) => {
      this.failure ??= new RunnerError(`The graphics card was taken away while ${model.name} ran on it (${info.message || info.reason || 'no reason given'}). The engine has to be started again.`, 'device-lost')
      throw this.failure
    })
    this.lost.catch(() => {}) // heard through run(); without a run under way nobody waits
    opened.device.addEventListener('uncapturederror', this.onError)
  }

  static async create(model: Model, opened: OpenDevice, options: WebGpuOptions): Promise<WebGpuRunner> {
    const { device } = opened
    const profiling = Boolean(options.profile)
    if (profiling && !opened.timestamps) throw new RunnerError('Profiling needs timestamps, which this graphics card does not offer.', 'unsupported')
    const limits: RunnerLimits = {
      blocks: options.blocks ?? 1024,
      sequences: options.sequences ?? 64,
      tokens: options.tokens ?? 512,
      chain: profiling ? 1 : CHAIN,
    }
    const traits: DeviceTraits = {
      software: options.kernels?.software ?? opened.software,
      subgroups: opened.subgroups && (options.kernels?.subgroups ?? true),
      timestamps: opened.timestamps,
      limits: opened.limits,
      key: opened.key,
    }
    // attention/row starts rows · heads / 4 workgroups, embed a line of them a row; neither folds its grid.
    const mostTokens = Math.floor((4 * opened.limits.maxComputeWorkgroupsPerDimension) / Math.max(4, model.config.heads))
    if (limits.tokens > mostTokens) throw new RunnerError(`${limits.tokens} tokens a step are more than the ${mostTokens} this graphics card can start at once.`, 'unsupported')

    const formats: Formats = { weights: matrixFormat(options.weights), kv: options.kv ?? 'f32' }
    const { memory, free, bytes } = await allocate(device, model, limits, formats)
    try {
      const s = sizes(model, limits)
      device.queue.writeBuffer(memory.angles, 0, angleTable(model.config, s.positions))
      await loadWeights(device, model, memory, formats.weights)
      const forward = await Forward.build(device, traits, model.config, memory, formats, limits.tokens, options.tuning)
      const writer = new BatchWriter(device.queue, memory, limits, s, forward.tiles, mixtureOf(model.config, forward))
      // Profiling wants a pass a dispatch: ten a layer cover a mixed batch, and a step has few turns of logits.
      const passes = profiling ? Math.min(2048, 10 * model.config.layers + 64) : limits.chain
      const times = opened.timestamps ? new PassTimes(device, passes) : undefined
      const seen = model.config.experts ? new ExpertsSeen(memory.seen, model.config, s, limits.chain) : undefined
      const marks = Math.ceil(s.drawn / 2) * 8
      const resultBytes = { marks, times: marks + Math.ceil((seen?.markBytes ?? 0) / 8) * 8 }
      const ring = new ReadbackRing(device, resultBytes.times + (times ? PassTimes.bytes(passes) : 0), RING)
      return new WebGpuRunner(model, opened, limits, memory, free, bytes, formats, forward, writer, ring, times, profiling, resultBytes, seen, s.logitRows)
    } catch (cause) {
      free()
      throw cause
    }
  }

  /** Executes a batch. Throws RunnerError: 'bad-batch', 'device-lost', 'disposed', 'out-of-memory' or 'unsupported' (the driver's complaint). */
  async run(batch: StepBatch): Promise<StepResult> {
    this.assertAlive()
    checkBatch(batch, this.config, this.limits)
    const slot = await this.ring.take()
    try {
      this.assertAlive()
      const planned = this.writer.write(this.copyAhead(batch))
      const { dispatches, passes, kernels } = this.submit(batch, planned, slot)
      return { ...(await this.collect(batch, planned, slot, passes, kernels)), dispatches }
    } catch (cause) {
      throw this.failure ?? cause
    } finally {
      this.ring.give(slot)
    }
  }

  release(request: number): void {
    this.writer.release(request)
  }

  dispose(): void {
    this.failure ??= new RunnerError('This runner was disposed of.', 'disposed')
    this.opened.device.removeEventListener('uncapturederror', this.onError)
    this.times?.destroy()
    this.ring.destroy()
    this.freeMemory()
    if (this.opened.owned) this.opened.device.destroy()
  }

  /** Does what copies are beyond those that a batch takes; the batch with the rest. */
  private copyAhead(batch: StepBatch): StepBatch {
    const copies = batch.copies?.slice() ?? []
    while (copies.length > COPIES) {
      const encoder = this.opened.device.createCommandEncoder()
      const recorder = new PassRecorder(encoder, undefined, false)
      recorder.begin()
      this.forward.recordCopies(this.writer.writeCopies(copies.splice(0, COPIES)), recorder)
      recorder.end()
      this.opened.device.queue.submit([encoder.finish()])
    }
    return { ...batch, copies }
  }

  private assertAlive(): void {
    if (this.failure) throw this.failure
  }

  private readonly onError = ({ error }: GPUUncapturedErrorEvent): void => {
    this.failure ??= error instanceof GPUOutOfMemoryError
      ? new RunnerError(`The graphics card ran out of memory while ${this.device.model} ran on it. Choose a smaller model or close other pages that use the card.`, 'out-of-memory', { cause: error })
      : new RunnerError(`The graphics driver refused a command: ${error.message}`, 'unsupported', { cause: error })
  }

  /** Encodes all steps and submits them at once. */
  private submit({ wantExperts }: StepBatch, { steps, draws, logitRows }: PlannedBatch, slot: ReadbackSlot) {
    const { memory, times } = this
    const encoder = this.opened.device.createCommandEncoder()
    // A single step ends where the whole ends: only chains, and kernels being profiled, need times.
    const recorder = new PassRecorder(encoder, this.profiling || steps.length > 1 ? times : undefined, this.profiling)
    this.seen?.clear(encoder, steps.length)
    for (const step of steps) {
      recorder.begin()
      this.forward.recordLayers(step, recorder)
      for (const [turn, head] of step.heads.entries()) {
        if (turn > 0) recorder.begin()
        this.forward.recordHead(head, recorder)
        if (logitRows > 0) {
          recorder.end()
          this.copyLogits(encoder, slot, turn, head.load.logits, logitRows)
        }
      }
      recorder.end()
    }
    const drawn = steps.length * draws.length
    if (drawn > 0) encoder.copyBufferToBuffer(memory.tokens, 0, slot.results, 0, 4 * drawn)
    this.seen?.copyMarks(encoder, steps.length, slot.results, this.resultBytes.marks)
    if (wantExperts && this.seen) this.seen.copyChoices(encoder, steps, (bytes) => this.ring.holding(slot, 'experts', bytes))
    const passes = recorder.timed
    if (times && passes > 0) times.copy(encoder, passes, slot.results, this.resultBytes.times)
    this.opened.device.queue.submit([encoder.finish()])
    return { dispatches: recorder.dispatches, passes, kernels: recorder.kernels }
  }

  private copyLogits(encoder: GPUCommandEncoder, slot: ReadbackSlot, turn: number, rows: number, allRows: number): void {
    const rowBytes = 8 * Math.ceil(this.config.vocabSize / 2)
    const to = this.ring.holding(slot, 'logits', allRows * rowBytes)
    encoder.copyBufferToBuffer(this.memory.logits, 0, to, turn * this.logitRowsAtATime * rowBytes, rows * rowBytes)
  }

  /** Waits for the device and reads what came back. */
  private async collect(batch: StepBatch, planned: PlannedBatch, slot: ReadbackSlot, passes: number, kernels: Recorded[]): Promise<StepResult> {
    const { steps, draws, logitRows } = planned
    const wantExperts = batch.wantExperts === true && this.seen !== undefined
    const buffers = [slot.results, ...(logitRows > 0 ? [slot.logits!] : []), ...(wantExperts ? [slot.experts!] : [])]
    await Promise.race([this.lost, Promise.all(buffers.map((b) => b.mapAsync(GPUMapMode.READ)))]).catch((cause: unknown) => this.explain(cause))
    const mapped = slot.results.getMappedRange()
    const drawn = new Int32Array(mapped, 0, steps.length * draws.length)
    const tokens = new Int32Array(steps.length * batch.chunks.length).fill(-1)
    for (const [i, id] of drawn.entries()) {
      const { chunk, last } = draws[i % draws.length]!
      if (last) tokens[Math.floor(i / draws.length) * batch.chunks.length + chunk] = id
    }
    const result: StepResult = { tokens }
    if (batch.chunks.some((chunk) => chunk.sampleRows)) result.rowTokens = drawn.filter((_, i) => batch.chunks[draws[i]!.chunk]!.sampleRows)
    if (this.seen) result.expertsTouched = this.seen.count(new Uint32Array(mapped, this.resultBytes.marks, this.seen.markBytes / 4), steps.length)
    if (passes > 0) {
      const stamps = new BigUint64Array(mapped, this.resultBytes.times, 2 * passes)
      if (this.profiling) this.profile = kernels.slice(0, passes).map(({ built, load }, i) => kernelTime(built, load, stamps[2 * i]!, stamps[2 * i + 1]!))
      else result.ends = endsOf(stamps)
    }
    slot.results.unmap()
    if (logitRows > 0) {
      result.logits = withoutPadding(new Float32Array(slot.logits!.getMappedRange()), logitRows, this.config.vocabSize)
      slot.logits!.unmap()
    }
    if (wantExperts) {
      result.experts = this.seen!.choices(new Uint32Array(slot.experts!.getMappedRange()), steps)
      slot.experts!.unmap()
    }
    this.assertAlive()
    return result
  }

  /** A refused mapping may come a moment before the news that the device is gone. */
  private async explain(cause: unknown): Promise<never> {
    if (cause instanceof RunnerError) throw cause
    await Promise.race([this.lost, new Promise((resolve) => setTimeout(resolve, 100))])
    throw new RunnerError(`The result of a step could not be read back: ${wordsOf(cause)}`, 'device-lost', { cause })
  }
}

function mixtureOf({ experts, expertsPerToken = 1 }: ModelConfig, forward: Forward) {
  return experts ? { experts, expertsPerToken, plan: (assignments: number) => forward.expertPlan(assignments) } : undefined
}

interface Recorded {
  built: Built
  load: Load
}

/** Records dispatches into compute passes: one a step, or, when profiling, one a dispatch. */
class PassRecorder implements Recorder {
  dispatches = 0
  /** Passes that write timestamps. */
  timed = 0
  readonly kernels: Recorded[] = []
  private pass: GPUComputePassEncoder | undefined

  constructor(
    private readonly encoder: GPUCommandEncoder,
    private readonly times: PassTimes | undefined,
    private readonly profiling: boolean,
  ) {}

  begin(): void {
    if (!this.profiling) this.open()
  }

  end(): void {
    this.pass?.end()
    this.pass = undefined
  }

  dispatch(built: Built, group: GPUBindGroup, slot: number, grid: [number, number, number], load: Load): void {
    if (this.profiling) {
      this.open()
      this.kernels.push({ built, load })
    }
    const pass = this.pass!
    pass.setPipeline(built.pipeline)
    pass.setBindGroup(0, group, [slot * STEP_SLOT])
    pass.dispatchWorkgroups(...grid)
    this.dispatches++
    if (this.profiling) this.end()
  }

  private open(): void {
    const timestampWrites = this.times?.writes(this.timed)
    if (timestampWrites) this.timed++
    this.pass = this.encoder.beginComputePass({ timestampWrites })
  }
}

/** Rows of `vocab` logits from rows of `vocab` rounded up to even. */
function withoutPadding(padded: Float32Array, rows: number, vocab: number): Float32Array {
  const stride = 2 * Math.ceil(vocab / 2)
  const out = new Float32Array(rows * vocab)
  for (let r = 0; r < rows; r++) out.set(padded.subarray(r * stride, r * stride + vocab), r * vocab)
  return out
}
