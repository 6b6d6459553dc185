import type { ModelConfig } from '$engine/model/config'
import type { Runner, StepBatch, StepResult } from '$engine/runner/runner'
import { VirtualClock, type Clock } from '$engine/serving/clock'
import { serve, type ServeRequest } from '$engine/serving/serve'
import type { DeviceInfo } from '$engine/trace/provenance'
import { append } from '$engine/trace/phases'
import type { Roofs, Trace } from '$engine/trace/trace'
import { withInt8Cache, type Machine } from '$engine/cost/machine'
import type { Engine, EngineInfo, MachineRequest, ModelFolder, Progress, Workload } from '$engine/worker/protocol'
import { Simulator } from '$engine/worker/simulator'
import { serveVirtually } from '$engine/worker/virtual'

/** What a step takes on the machine that the fake plays: base + tokens × each. */
export interface FakeCosts {
  baseMs: number
  perTokenMs: number
}

export interface FakeOptions {
  costs?: FakeCosts
  clock?: Clock
  /** Called before each serve; throw to make it fail. */
  onServe?: (workload: Workload, count: number) => void
  /** Called before each open; throw to make it fail. */
  onOpen?: (count: number) => void
  /** Called with each folder that is brought; may reject. */
  onBring?: (folder: ModelFolder | undefined) => void | Promise<void>
  slow?: number
}

const CONFIG: ModelConfig = {
  layers: 8, hidden: 256, heads: 4, kvHeads: 1, headDim: 64, ffn: 768, vocabSize: 2048,
  rmsNormEps: 1e-5, ropeTheta: 10000, maxPositions: 8192, tied: true, eos: [],
}
const WORDS = ['Once', ' upon', ' a', ' time', ' there', ' lived', ' mill', 'er', ' who', ' had', ' three', ' sons', ',', ' and', ' the', ' young']

/**
 * An engine of known costs behind the page's interface: the real scheduler and serving loop on a runner
 * that only lets time pass. For tests; the page never sees it.
 */
export class FakeEngine implements Engine {
  served = 0
  opened = 0
  closed = false
  /** Serves that were aborted. */
  aborted = 0
  private readonly costs: FakeCosts
  private readonly device: DeviceInfo = { name: 'fake machine', runner: 'wasm', model: 'tales-5m', threads: 1 }
  private readonly roofs: Roofs = { flopsPerSecond: 40e9, read: [{ bytes: 1 << 20, bytesPerSecond: 60e9 }, { bytes: 1 << 28, bytesPerSecond: 20e9 }], overheadMs: 0.1 }

  constructor(private readonly options: FakeOptions = {}) {
    this.costs = options.costs ?? { baseMs: 1, perTokenMs: 0.05 }
  }

  open(_options: unknown, onProgress?: (p: Progress) => void): Promise<EngineInfo> {
    this.opened++
    this.options.onOpen?.(this.opened)
    onProgress?.({ done: 1, doing: 'Done' })
    const { baseMs, perTokenMs } = this.costs
    return Promise.resolve({
      device: this.device,
      calibration: {
        version: 1, at: '2026-01-01T00:00:00.000Z', slow: this.options.slow ?? 1, cores: 1, isolated: true, resolution: 0.005,
        runners: [{ device: this.device, decodeMs: baseMs + perTokenMs, prefillMs: perTokenMs, roofs: this.roofs }],
        unavailable: { webgpu: 'No adapter.' }, timingParameters: 24e6, textModel: 'tales-5m',
      },
    })
  }

  /** Takes every folder for a model of its name. */
  async bring(folder: ModelFolder | undefined, onProgress?: (p: Progress) => void): Promise<EngineInfo> {
    this.brought.push(folder?.name)
    if (this.options.onBring) await this.options.onBring(folder)
    onProgress?.({ done: 1, doing: 'Done' })
    return { ...(await this.open({})), own: folder && { name: `${folder.name} (own)`, parameters: 1e6 } }
  }

  /** Names of the folders that were brought, in order. */
  brought: (string | undefined)[] = []

  /** What this fake is, as the simulator sees it: the same costs. */
  machine(of: MachineRequest): Promise<Machine> {
    const { baseMs, perTokenMs } = this.costs
    const { model, kv } = typeof of === 'string' ? { model: of } : of
    const machine: Machine = {
      label: 'fake machine',
      provenance: { how: 'measured', device: { ...this.device, model }, at: '2026-01-01T00:00:00.000Z' },
      steps: { kind: 'affine', base_ms: baseMs, per_sequence_ms: perTokenMs, per_context_token_ms: 0, per_prefill_token_ms: perTokenMs, per_prefill_token_context_ms: 0 },
      limits: { sequences: 64, tokens: 512, blocks: 1024 },
      roofs: this.roofs,
      model: { config: CONFIG, widths: { weight: 4, kv: 4 } },
      resolution: 0.005,
    }
    return Promise.resolve(kv === 'int8' ? withInt8Cache(machine) : machine)
  }

  private readonly simulator = new Simulator({ yieldThread: () => new Promise((resolve) => setImmediate(resolve)) })
  quality: Engine['quality'] = () => Promise.reject(new Error('the fake machine reads no texts'))
  cascade: Engine['cascade'] = () => Promise.reject(new Error('the fake machine writes no answers'))
  simulate: Engine['simulate'] = (request, options) => this.simulator.simulate(request, options)
  curve: Engine['curve'] = (request, options) => this.simulator.curve(request, options)

  async serve(workload: Workload, { signal, onUpdate, on }: Parameters<Engine['serve']>[1] = {}): Promise<Trace> {
    if (on) {
      const trace = await serveVirtually(workload, on, { signal })
      onUpdate?.(trace, trace)
      return trace
    }
    this.served++
    this.options.onServe?.(workload, this.served)
    const trace: Trace = {
      provenance: { how: 'measured', device: { ...this.device, model: workload.model === 'timing' ? 'timing-24m' : workload.model }, at: '2026-01-01T00:00:00.000Z' },
      requests: [], events: [], steps: [], roofs: this.roofs, resolution: 0.005, kvBlocksTotal: workload.kvBlocks ?? 1024, blockSize: 16,
    }
    const requests = workload.requests.map((r, id): ServeRequest => {
      const promptTokens = typeof r.prompt === 'number' ? r.prompt : Math.ceil(r.prompt.length / 4)
      return {
        record: { id, arrival: r.arrival ?? 0, promptTokens, maxTokens: r.maxTokens, promptTexts: Array.from({ length: promptTokens }, (_, i) => WORDS[i % 8]!) },
        prompt: new Int32Array(promptTokens), queuedAt: r.arrival ?? 0, eos: [], textOf: (token) => WORDS[token % WORDS.length]!,
      }
    })
    trace.requests.push(...requests.map((r) => r.record))
    // A clock of its own for each run: from 0 an arrival's time is met exactly, without rounding.
    const clock = this.options.clock ?? new VirtualClock()
    try {
      await serve(requests, {
        runner: this.runner(clock, workload.kvBlocks), clock, signal, policy: workload.policy,
        limits: { maxSequences: workload.maxSequences, maxBatchedTokens: workload.maxBatchedTokens },
        emit: (update) => {
          append(trace, { requests: [], ...update })
          onUpdate?.({ requests: [], ...update }, trace)
        },
      })
    } catch (error) {
      if (signal?.aborted) this.aborted++
      throw error
    }
    return trace
  }

  close(): void {
    this.closed = true
  }

  private runner(clock: Clock, blocks = 1024): Runner {
    const { costs, device } = this
    let sampled = 0
    return {
      device, config: CONFIG, limits: { blocks, sequences: 64, tokens: 512, chain: 1 },
      async run(batch: StepBatch): Promise<StepResult> {
        const tokens = batch.chunks.reduce((n, c) => n + c.tokens.length, 0)
        await clock.until(clock.now() + costs.baseMs + costs.perTokenMs * tokens)
        return { tokens: Int32Array.from(batch.chunks, (c) => (c.sample ? sampled++ % 2048 : -1)) }
      },
      dispose() {},
    }
  }
}
