import { affine } from '../cost/affine'
import { roofline } from '../cost/roofline'
import { speculativeAffine } from '../cost/speculation'
import type { Provenance } from '../trace/provenance'
import type { Trace } from '../trace/trace'
import { Cluster, type ClusterObserver } from './cluster'
import { PrefixCache } from './prefix-cache'
import { Random } from './random'
import { Recorder } from './recorder'
import { type Job, StepReplica, type Station, type StepObserver } from './replica'
import { escalate, prefixTokens, requestSource, STREAM } from './requests'
import { Figures, memoryShares, type BatchLaneResult, type RegionResult, type SimulationResult } from './result'
import { BATCH_PRIORITY, replicaCount, ScenarioError, type Scenario, type StepsSpec } from './scenario'
import { FcfsServer, SharingServer } from './service'
import type { StepCost } from './step-cost'
import { Timeline } from './timeline'
import type { LoggedRequest } from './trace-files'

export type { BatchLaneResult, GroupResult, MemoryShares, RegionResult, SimulationResult, Spread } from './result'

/** Files that a scenario names, read by whoever may read files. */
export interface ScenarioFiles {
  trace?: { requests: readonly LoggedRequest[]; prefixBlock?: number }
  /** The `steps` of a profile. */
  profile?: Partial<StepsSpec>
}

export interface SimulateOptions {
  files?: ScenarioFiles
  /** What a step takes, in place of what the scenario's `steps` say. */
  cost?: StepCost
  /** Keep a Trace of every so-many-th request (1: of all). Steps are kept when all requests are. */
  traceEvery?: number
  /** One step at a time instead of runs of like steps: the same results, slower. */
  singleSteps?: boolean
  /** Called with every request that is over, in order of completion. */
  onAnswer?: (job: Job, at: number) => void
  /** Called at every step's end, for checks. */
  onStep?: StepObserver['step']
}

/** More blocks than any run can fill. */
const UNBOUNDED = 2 ** 31 - 1

/** Runs a scenario to its end. Throws ScenarioError or RangeError for one that cannot be run. */
export function simulate(scenario: Scenario, options: SimulateOptions = {}): { result: SimulationResult; trace?: Trace } {
  const simulation = new Simulation(scenario, options)
  while (simulation.advance(1 << 30));
  return { result: simulation.result(), trace: simulation.trace }
}

/**
 * Runs a scenario in slices of about `events` events; yields what is known after each, and the whole at
 * the end. Whoever stops asking has cancelled it.
 */
export function* simulateInSlices(scenario: Scenario, options: SimulateOptions & { events?: number } = {}): Generator<SimulationResult, SimulationResult> {
  const simulation = new Simulation(scenario, options)
  while (simulation.advance(options.events ?? 20_000)) if (simulation.measured > 0) yield simulation.result()
  return simulation.result()
}

export class Simulation {
  private readonly clock = { now: 0 }
  private readonly stations: Station[] = []
  private readonly caches: PrefixCache[] = []
  private readonly cluster: Cluster
  private readonly figures: Figures
  private readonly batch?: Figures
  private readonly byLength?: Record<'short' | 'long', Figures>
  private readonly regions: Figures[] = []
  private readonly served: number[]
  /** The region of each station. */
  private readonly regionOf: number[]
  private readonly timeline?: Timeline
  private readonly recorder?: Recorder
  private readonly reasons = new Map<string, number>()
  private readonly total: number
  private rejected = 0
  private readonly hits = { exact: 0, semantic: 0 }
  private wrong = 0
  private escalated = 0
  private good = 0
  private inTime = 0
  private firstArrival = 0
  private lastAnswer = 0
  /** Totals when the first measured request came, and when the last one did. */
  private begin = { time: 0, area: 0, busy: 0, longBusy: 0, paid: 0 }
  private until?: { time: number; area: number; busy: number; longBusy: number }
  /** The stations kept for long prompts. */
  private readonly longPool: Station[]
  private hashA = 0x811c9dc5 | 0
  private hashB = 0x01000193
  private readonly bits = new Float64Array(1)
  private readonly words = new Int32Array(this.bits.buffer)
  private spent = 0

  constructor(private readonly scenario: Scenario, private readonly options: SimulateOptions) {
    const s = scenario
    const logged = s.arrivals.process === 'trace' ? options.files?.trace : undefined
    if (s.arrivals.process === 'trace' && !logged) throw new ScenarioError(`arrivals.file ${s.arrivals.file} was not read`)
    this.total = logged ? Math.min(logged.requests.length, s.warmup + s.requests) : s.warmup + s.requests
    const expected = this.total - s.warmup
    if (expected < 1) throw new ScenarioError(`warmup is ${s.warmup}: the trace has ${this.total} requests, none is left to measure`)
    this.figures = new Figures(expected)
    if (s.batch_lane) this.batch = new Figures(expected)
    if (s.long_requests) this.byLength = { short: new Figures(expected), long: new Figures(expected) }
    if (s.timeline_ms !== null) this.timeline = new Timeline(s.timeline_ms)
    // A single region's figures are those of all.
    if (s.regions.length > 1) this.regions = s.regions.map(() => new Figures(expected))
    this.served = s.regions.map(() => 0)
    const cost = s.steps ? (options.cost ?? stepCost(s.steps, options.files)) : undefined
    const small = s.cascade ? stepCost(s.cascade.steps, options.files) : undefined
    const replicas = replicaCount(s)
    this.regionOf = s.regions.flatMap((r, i) => new Array<number>(r.replicas).fill(i))
    while (this.regionOf.length < replicas + (s.cascade?.replicas ?? 0)) this.regionOf.push(0)
    if (options.traceEvery) this.recorder = this.record(options.traceEvery, cost, small)
    for (let i = 0; i < replicas; i++) {
      if (s.service) this.stations.push(s.service.discipline === 'fcfs' ? new FcfsServer(i) : new SharingServer(i, () => this.clock.now))
      else this.stations.push(this.replica(i, cost!, s.scheduler.kv_blocks))
    }
    for (let i = 0; i < (s.cascade?.replicas ?? 0); i++) this.stations.push(this.replica(replicas + i, small!, s.cascade!.kv_blocks))
    const { long_request_pool: pool, max_queue } = s.scheduler
    this.longPool = pool ? this.stations.slice(replicas - pool.replicas, replicas) : []
    this.cluster = new Cluster(requestSource(s, this.total, logged?.requests, () => this.wrong++), {
      stations: this.stations, clock: this.clock, router: s.router === 'central-queue' && s.service?.discipline === 'processor-sharing' ? 'shortest-queue' : s.router,
      routing: new Random(s.seed, STREAM.routing), staleness: s.router_staleness_ms, travel: this.travel(), maxQueue: max_queue ?? Infinity,
      refuses: (job, i) => {
        const station = this.stations[i]
        return station instanceof StepReplica ? station.scheduler.refuses(job.promptTokens, job.maxTokens) : undefined
      },
      longPool: pool && { threshold: pool.threshold_tokens, replicas: pool.replicas },
      disaggregation: s.disaggregation && { prefill: s.disaggregation.prefill_replicas, transfer: s.disaggregation.transfer_ms_per_token },
      cascade: s.cascade && { first: replicas, decide: s.cascade.decide_ms, upFront: s.cascade.mode === 'up-front', again: escalate },
      autoscaler: s.autoscaler && { min: s.autoscaler.min, interval: s.autoscaler.interval_ms, upAbove: s.autoscaler.up_above, downBelow: s.autoscaler.down_below, startup: s.autoscaler.startup_ms },
      observer: this.observer(),
    })
  }

  /** Requests answered that count. */
  get measured(): number {
    return this.figures.completed + (this.batch?.completed ?? 0)
  }

  get trace(): Trace | undefined {
    return this.recorder?.trace
  }

  /** Goes on by about so many events; false when all requests are over. */
  advance(events: number): boolean {
    const start = performance.now()
    let more = true
    for (let i = 0; i < events && more; i++) more = this.cluster.step()
    if (!more && this.cluster.open > 0) throw new ScenarioError(`${this.cluster.open} requests never end: the scenario's times add up to more than a number can hold`)
    if (!more) this.recorder?.finish()
    this.spent += performance.now() - start
    return more
  }

  /** What is known so far. */
  result(): SimulationResult {
    const s = this.scenario
    const { figures } = this
    const seconds = (this.lastAnswer - this.firstArrival) / 1000
    const rate = (n: number) => (seconds > 0 ? n / seconds : 0)
    const end = this.until ?? this.totals()
    const window = end.time - this.begin.time
    const asked = this.caches.reduce((n, c) => n + c.askedTokens, 0)
    const sum = (of: (station: Station) => number) => this.stations.reduce((n, x) => n + of(x), 0)
    const replicas = this.stations.filter((x) => x instanceof StepReplica)
    return {
      duration: seconds,
      completed: figures.completed,
      failed: this.rejected,
      total_input_tokens: figures.inputTokens,
      total_output_tokens: figures.outputTokens,
      request_throughput: rate(figures.completed),
      request_goodput: s.slo ? rate(this.good) : null,
      output_throughput: rate(figures.outputTokens),
      total_token_throughput: rate(figures.inputTokens + figures.outputTokens),
      ...figures.summary(),
      utilisation: window > 0 ? Math.min(1, (end.busy - this.begin.busy) / (window * this.stations.length)) : 0,
      mean_in_system: window > 0 ? (end.area - this.begin.area) / window : 0,
      preemptions: sum((x) => x.preemptions),
      kv_blocks_peak: this.stations.reduce((most, x) => Math.max(most, x.blocksPeak), 0),
      kv_memory: memoryShares(replicas.map((r) => r.memory)),
      offloads: replicas.reduce((n, r) => n + r.offloads, 0),
      prefix_hit_rate: asked > 0 ? this.caches.reduce((n, c) => n + c.hitTokens, 0) / asked : null,
      rejected: this.rejected,
      rejected_reasons: Object.fromEntries(this.reasons),
      cache_hits: { ...this.hits },
      wrong_answers: this.wrong,
      escalated: s.cascade ? this.escalated : null,
      batch_lane: this.batchLane(rate),
      by_length: this.byLength ? { short: this.byLength.short.group(), long: this.byLength.long.group() } : null,
      long_pool_utilisation: window > 0 && this.longPool.length > 0 ? Math.min(1, (end.longBusy - this.begin.longBusy) / (window * this.longPool.length)) : null,
      regions: s.regions.map((r, i): RegionResult => ({ name: r.name, served: this.served[i]!, ...(this.regions[i] ?? figures).group() })),
      replica_seconds: (this.cluster.paidTime(this.clock.now) - this.begin.paid) / 1000,
      timeline: this.timeline?.intervals() ?? null,
      steps: sum((x) => x.steps),
      verdict: this.verdict(),
      digest: [this.hashA, this.hashB].map((h) => (h >>> 0).toString(16).padStart(8, '0')).join(''),
      seed: s.seed,
      simulated_requests_per_second: this.spent > 0 ? Math.round(((this.measured + this.rejected) / this.spent) * 1000) : 0,
    }
  }

  /** Little's law over the run so far: ∫ number in system dt. Requests × ms. */
  get area(): number {
    return this.cluster.area
  }

  private batchLane(rate: (n: number) => number): BatchLaneResult | null {
    if (!this.batch) return null
    const { completed, outputTokens } = this.batch
    return { ...this.batch.group(), output_throughput: rate(outputTokens), in_time: this.scenario.batch_lane!.deadline_ms !== null && completed > 0 ? this.inTime / completed : null }
  }

  private replica(index: number, cost: StepCost, blocks: number | null): StepReplica {
    const { scheduler: c, batch_lane: lane } = this.scenario
    let cache: PrefixCache | undefined
    const prefix = c.prefix_cache ? prefixTokens(this.scenario, this.options.files?.trace?.prefixBlock) : 0
    if (prefix > 0) this.caches.push((cache = new PrefixCache(prefix, prefix / c.block_size, c.prefix_ttl_ms ?? Infinity, () => this.clock.now)))
    const bounded = blocks !== null
    return new StepReplica(index, {
      limits: { maxSequences: c.policy === 'fcfs-one-at-a-time' ? 1 : c.max_sequences, maxBatchedTokens: c.max_batched_tokens, blocks: blocks ?? UNBOUNDED },
      policy: {
        batching: c.policy === 'fcfs-one-at-a-time' ? 'continuous' : c.policy,
        chunkedPrefill: c.chunked_prefill, preemption: c.preemption, blockSize: c.block_size, cache,
        // Unbounded memory has holes for everybody.
        allocation: c.kv_allocation === 'contiguous' && !bounded ? 'reserved' : c.kv_allocation,
        offload: c.kv_offload && bounded ? { layers: c.kv_offload.layers, keep: c.kv_offload.keep_layers, hostBlocks: c.kv_offload.host_blocks ?? Infinity } : undefined,
        background: lane && lane.max_running !== null ? { priority: BATCH_PRIORITY, most: lane.max_running } : undefined,
      },
      cost: cost.counted!, macroSteps: !this.options.singleSteps, swapMsPerBlock: c.swap_ms_per_block, offloadMsPerBlock: c.kv_offload?.ms_per_block ?? 0,
      memory: bounded && !cache, observer: this.stepObserver(),
      // Who looks at single steps is told which blocks they took; a piece of memory has an address instead.
      blockIds: bounded && !cache && this.options.traceEvery === 1 && c.kv_allocation !== 'contiguous',
    })
  }

  /** One-way times between each home of clients and each station, ms; without homes there is one row. */
  private travel(): number[][] {
    const { regions } = this.scenario
    if (regions.length === 0) return [this.stations.map(() => 0)]
    const homes = regions.some((r) => r.load > 0) ? regions : [regions[0]!]
    return homes.map((home) => this.stations.map((_, i) => {
      const at = this.regionOf[i]!
      return (homes.length > 1 || regions.length === 1 ? (home.rtt_to_ms[at] ?? regions[at]!.rtt_ms) : regions[at]!.rtt_ms) / 2
    }))
  }

  private totals() {
    const now = this.clock.now
    const busy = (stations: readonly Station[]) => stations.reduce((n, x) => n + x.busyTime(now), 0)
    return { time: now, area: this.cluster.area, busy: busy(this.stations), longBusy: busy(this.longPool) }
  }

  private observer(): ClusterObserver {
    const { warmup, slo, batch_lane: lane, cascade, regions } = this.scenario
    const { recorder, timeline, batch, figures } = this
    const { onAnswer } = this.options
    const homes = regions.some((r) => r.load > 0)
    const first = cascade ? replicaCount(this.scenario) : Infinity
    const ttftMost = slo?.ttft_ms ?? Infinity
    const tpotMost = slo?.tpot_ms ?? Infinity
    return {
      arrived: (job) => {
        if (job.id === warmup) {
          this.begin = { ...this.totals(), paid: this.cluster.paidTime(this.clock.now) }
          this.firstArrival = job.arrival
        }
        if (job.id === this.total - 1) this.until = this.totals()
        timeline?.arrived(job.arrival)
        recorder?.arrived(job)
      },
      answered: (job, at) => {
        if (onAnswer) onAnswer(job, at)
        this.digest(job, at)
        recorder?.answered(job, at)
        if (at > this.lastAnswer) this.lastAnswer = at
        const back = job.cached >= 0 ? 0 : job.network
        const ttft = job.firstToken + back - job.arrival
        const e2e = at - job.arrival
        timeline?.answered(job.arrival, ttft, e2e)
        const index = job.id - warmup
        if (index < 0) return
        const tpot = job.outputLength > 1 ? (e2e - ttft) / (job.outputLength - 1) : 0
        if (batch && job.priority === BATCH_PRIORITY) {
          batch.add(index, job, ttft, tpot, e2e)
          if (e2e <= (lane!.deadline_ms ?? Infinity)) this.inTime++
          return
        }
        figures.add(index, job, ttft, tpot, e2e)
        this.byLength?.[job.long ? 'long' : 'short'].add(index, job, ttft, tpot, e2e)
        if (ttft <= ttftMost && tpot <= tpotMost) this.good++
        if (job.cached >= 0) this.hits[job.exact ? 'exact' : 'semantic']++
        else if (regions.length > 0) this.served[this.regionOf[job.replica]!]!++
        if (job.replica >= 0 && cascade && job.replica < first) this.escalated++
        if (this.regions.length > 0) this.regions[homes || job.replica < 0 ? job.home : this.regionOf[job.replica]!]!.add(index, job, ttft, tpot, e2e)
      },
      rejected: (job, at, reason) => {
        recorder?.rejected(job, at, reason)
        timeline?.rejected(job.arrival)
        if (job.id < warmup) return
        this.rejected++
        this.reasons.set(reason, (this.reasons.get(reason) ?? 0) + 1)
      },
      queued: recorder && ((job, at) => recorder.queued(job, at)),
      moved: recorder && ((job, at) => recorder.moved(job, at)),
      changed: timeline && ((at, inSystem, replicas) => timeline.changed(at, inSystem, replicas)),
    }
  }

  private record(every: number, cost: StepCost | undefined, small: StepCost | undefined): Recorder {
    const s = this.scenario
    const first = replicaCount(s)
    const costs: Provenance = cost?.provenance ?? { how: 'published', source: 'queueing model', conditions: `${s.service!.kind} service` }
    return new Recorder({
      provenance: { how: 'simulated', costs, seed: s.seed }, every, steps: every === 1 && s.steps !== null, preemption: s.scheduler.preemption,
      machine: (i) => (i < first ? cost : small)?.machine, hidden: (i) => i >= first && s.cascade?.mode === 'after-answer',
      kvBlocksTotal: s.scheduler.kv_blocks ?? undefined, blockSize: s.scheduler.block_size,
    })
  }

  /** Present when somebody looks at single steps. */
  private stepObserver(): StepObserver | undefined {
    const { onStep } = this.options
    const recorder = this.options.traceEvery === 1 ? this.recorder?.observer : undefined
    if (!onStep) return recorder
    return {
      step: (...args) => {
        onStep(...args)
        recorder?.step(...args)
      },
      preempted: (...args) => recorder?.preempted(...args),
      parked: (...args) => recorder?.parked(...args),
      broughtBack: (...args) => recorder?.broughtBack(...args),
    }
  }

  /** FNV-1a over ids and times, in order of completion. */
  private digest(job: Job, at: number): void {
    const { bits, words } = this
    let a = Math.imul(this.hashA ^ job.id, 0x01000193)
    let b = this.hashB
    bits[0] = job.scheduled
    a = Math.imul(a ^ words[0]!, 0x01000193)
    b = Math.imul(b ^ words[1]!, 0x01000193)
    bits[0] = job.firstToken
    a = Math.imul(a ^ words[0]!, 0x01000193)
    b = Math.imul(b ^ words[1]!, 0x01000193)
    bits[0] = at
    this.hashA = Math.imul(a ^ words[0]!, 0x01000193)
    this.hashB = Math.imul(b ^ words[1]!, 0x01000193)
  }

  /** Servers that never rest while requests come have more to do than they can. */
  private verdict(): string | null {
    // A handful of requests proves nothing.
    if (!this.until || this.measured < 1000 || this.scenario.arrivals.process === 'closed') return null
    const { time, busy } = this.until
    const window = time - this.begin.time
    const drain = this.lastAnswer - time
    const saturated = window > 0 && (busy - this.begin.busy) / (window * this.stations.length) > 0.999
    if (!saturated || drain < 0.02 * window) return null
    return `unstable: requests come faster than they can be served (the last answer came ${Math.round(drain)} ms after the last arrival); the times grow with the length of the run`
  }
}

function stepCost(spec: StepsSpec, files: ScenarioFiles | undefined): StepCost {
  const published = (source: string): Provenance => ({ how: 'published', source, conditions: 'step costs of the scenario' })
  const five = (costs: StepsSpec, source: string) => {
    const plain = affine(costs, published(source))
    return spec.speculation ? speculativeAffine(plain, costs, spec.speculation) : plain
  }
  switch (spec.kind) {
    case 'affine': return five(spec, 'scenario')
    case 'profile': {
      if (!files?.profile) throw new ScenarioError(`steps.file ${spec.file} was not read`)
      return five({ ...spec, ...files.profile }, spec.file!)
    }
    case 'roofline': {
      try {
        return roofline({ hardware: spec.hardware, model: spec.model, tensorParallel: spec.tensor_parallel, dtype: spec.dtype, kvDtype: spec.kv_dtype ?? undefined, mfu: spec.mfu ?? undefined, mbu: spec.mbu ?? undefined, overheadMs: spec.overhead_ms, bandwidth: spec.bandwidth, flops: spec.flops, speculation: spec.speculation })
      } catch (cause) {
        throw new ScenarioError(`steps: ${(cause as Error).message}`, { cause })
      }
    }
  }
}
