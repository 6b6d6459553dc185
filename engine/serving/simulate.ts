import { affine } from '../cost/affine'
import { roofline } from '../cost/roofline'
import type { Provenance } from '../trace/provenance'
import type { Event, RequestRecord, Step, Trace } from '../trace/trace'
import { openArrivals } from './arrivals'
import { Cluster, type ClusterObserver, type Source } from './cluster'
import { Distribution, type Summary } from './distribution'
import { lengths, loggedLengths, serviceTimes } from './lengths'
import { PrefixCache } from './prefix-cache'
import { Random } from './random'
import { Job, StepReplica, type Station, type StepObserver } from './replica'
import { replicaCount, ScenarioError, type Scenario, type StepsSpec } from './scenario'
import { FcfsServer, SharingServer } from './service'
import type { StepCost } from './step-cost'
import type { LoggedRequest } from './trace-files'

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

/** `interval` is the 95 % interval of the mean. */
export interface Spread {
  mean: number
  p50: number
  p99: number
  interval: [number, number]
  p99_interval: [number, number]
}

/** The vLLM-shaped summary and what queueing adds to it; ms unless the name says otherwise. */
export interface SimulationResult extends Partial<Record<`${'mean' | 'median' | 'std' | 'p90' | 'p99'}_${'ttft' | 'tpot' | 'e2el'}_ms`, number>> {
  duration: number
  completed: number
  failed: number
  total_input_tokens: number
  total_output_tokens: number
  request_throughput: number
  request_goodput: number | null
  output_throughput: number
  total_token_throughput: number
  wait_ms: Spread | null
  ttft_ms: Spread | null
  tpot_ms: Spread | null
  e2e_ms: Spread | null
  /** Share of the time that servers were busy. */
  utilisation: number
  mean_in_system: number
  preemptions: number
  kv_blocks_peak: number
  prefix_hit_rate: number | null
  rejected: number
  /** Why requests were rejected, and how many for each reason. */
  rejected_reasons: Record<string, number>
  /** Answers that a response cache gave to the wrong question. */
  wrong_answers: number
  /** Steps, or services, that were simulated. */
  steps: number
  /** A sentence when the load is more than can be served: the figures then grow with `requests`. */
  verdict: string | null
  /** Of all requests' times; equal digests mean equal times to the last bit. */
  digest: string
  seed: number
  simulated_requests_per_second: number
}

/** Each purpose draws from a stream of its own: a change to one leaves the others' draws as they were. */
const STREAM = { arrivals: 1, input: 2, output: 3, service: 4, routing: 5, prefixes: 6, priorities: 7, cache: 8, think: 9 } as const

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
  /** Requests answered that count. */
  measured = 0
  readonly trace?: Trace
  private readonly clock = { now: 0 }
  private readonly stations: Station[] = []
  private readonly caches: PrefixCache[] = []
  private readonly cluster: Cluster
  private readonly wait: Distribution
  private readonly ttft: Distribution
  private readonly tpot: Distribution
  private readonly e2e: Distribution
  private readonly reasons = new Map<string, number>()
  private readonly total: number
  private rejected = 0
  private wrong = 0
  private good = 0
  private inputTokens = 0
  private outputTokens = 0
  private firstArrival = 0
  private lastAnswer = 0
  /** Totals when the first measured request came, and when the last one did. */
  private begin = { time: 0, area: 0, busy: 0 }
  private until?: { time: number; area: number; busy: number }
  private hash = [0x811c9dc5, 0x01000193]
  private readonly bits = new Float64Array(1)
  private readonly words = new Uint32Array(this.bits.buffer)
  private spent = 0
  private readonly everyone: boolean

  constructor(private readonly scenario: Scenario, private readonly options: SimulateOptions) {
    const s = scenario
    const logged = s.arrivals.process === 'trace' ? options.files?.trace : undefined
    if (s.arrivals.process === 'trace' && !logged) throw new ScenarioError(`arrivals.file ${s.arrivals.file} was not read`)
    this.total = logged ? Math.min(logged.requests.length, s.warmup + s.requests) : s.warmup + s.requests
    const measured = this.total - s.warmup
    if (measured < 1) throw new ScenarioError(`warmup is ${s.warmup}: the trace has ${this.total} requests, none is left to measure`)
    this.wait = new Distribution(measured)
    this.ttft = new Distribution(measured)
    this.tpot = new Distribution(measured)
    this.e2e = new Distribution(measured)
    this.everyone = options.traceEvery === 1
    const cost = s.steps ? (options.cost ?? stepCost(s.steps, options.files)) : undefined
    if (options.traceEvery) {
      const costs: Provenance = cost?.provenance ?? { how: 'published', source: 'queueing model', conditions: `${s.service!.kind} service` }
      this.trace = { provenance: { how: 'simulated', costs, seed: s.seed }, requests: [], events: [], steps: [] }
      if (s.scheduler.kv_blocks !== null) Object.assign(this.trace, { kvBlocksTotal: s.scheduler.kv_blocks, blockSize: s.scheduler.block_size })
    }
    this.build(cost)
    const n = this.stations.length
    const { maxQueue, refuses } = this.limits()
    this.cluster = new Cluster(this.source(logged), {
      stations: this.stations, clock: this.clock, router: n === 1 ? 'round-robin' : s.router, routing: new Random(s.seed, STREAM.routing), staleness: s.router_staleness_ms,
      network: s.regions.length > 0 ? s.regions.flatMap((r) => new Array<number>(r.replicas).fill(r.rtt_ms / 2)) : new Array<number>(n).fill(0),
      maxQueue, refuses,
      longPool: s.scheduler.long_request_pool && { threshold: s.scheduler.long_request_pool.threshold_tokens, replicas: s.scheduler.long_request_pool.replicas },
      disaggregation: s.disaggregation && { prefill: s.disaggregation.prefill_replicas, transfer: s.disaggregation.transfer_ms_per_token },
      autoscaler: s.autoscaler && { min: s.autoscaler.min, interval: s.autoscaler.interval_ms, upAbove: s.autoscaler.up_above, downBelow: s.autoscaler.down_below, startup: s.autoscaler.startup_ms },
      observer: this.observer(),
    })
  }

  /** Goes on by about so many events; false when all requests are over. */
  advance(events: number): boolean {
    const start = performance.now()
    let more = true
    for (let i = 0; i < events && more; i++) more = this.cluster.step()
    this.spent += performance.now() - start
    return more
  }

  /** What is known so far. */
  result(): SimulationResult {
    const s = this.scenario
    const seconds = (this.lastAnswer - this.firstArrival) / 1000
    const rate = (n: number) => (seconds > 0 ? n / seconds : 0)
    const end = this.until ?? this.totals()
    const window = end.time - this.begin.time
    const asked = this.caches.reduce((n, c) => n + c.askedTokens, 0)
    const summaries = { ttft: this.ttft.summary(), tpot: this.tpot.summary(), e2el: this.e2e.summary() }
    const sum = (of: (station: Station) => number) => this.stations.reduce((n, x) => n + of(x), 0)
    return {
      duration: seconds,
      completed: this.measured,
      failed: this.rejected,
      total_input_tokens: this.inputTokens,
      total_output_tokens: this.outputTokens,
      request_throughput: rate(this.measured),
      request_goodput: s.slo ? rate(this.good) : null,
      output_throughput: rate(this.outputTokens),
      total_token_throughput: rate(this.inputTokens + this.outputTokens),
      ...Object.fromEntries(Object.entries(summaries).flatMap(([name, x]) => (x ? named(name, x) : []))),
      wait_ms: spread(this.wait),
      ttft_ms: spread(this.ttft),
      tpot_ms: spread(this.tpot),
      e2e_ms: spread(this.e2e),
      utilisation: window > 0 ? Math.min(1, (end.busy - this.begin.busy) / (window * this.stations.length)) : 0,
      mean_in_system: window > 0 ? (end.area - this.begin.area) / window : 0,
      preemptions: sum((x) => x.preemptions),
      kv_blocks_peak: this.stations.reduce((most, x) => Math.max(most, x.blocksPeak), 0),
      prefix_hit_rate: asked > 0 ? this.caches.reduce((n, c) => n + c.hitTokens, 0) / asked : null,
      rejected: this.rejected,
      rejected_reasons: Object.fromEntries(this.reasons),
      wrong_answers: this.wrong,
      steps: sum((x) => x.steps),
      verdict: this.verdict(),
      digest: this.hash.map((h) => (h >>> 0).toString(16).padStart(8, '0')).join(''),
      seed: s.seed,
      simulated_requests_per_second: this.spent > 0 ? Math.round(((this.measured + this.rejected) / this.spent) * 1000) : 0,
    }
  }

  /** Little's law over the run so far: ∫ number in system dt. Requests × ms. */
  get area(): number {
    return this.cluster.area
  }

  private build(cost: StepCost | undefined): void {
    const s = this.scenario
    const n = replicaCount(s)
    for (let i = 0; i < n; i++) {
      if (s.service) this.stations.push(s.service.discipline === 'fcfs' ? new FcfsServer(i) : new SharingServer(i, () => this.clock.now))
      else this.stations.push(this.replica(i, cost!))
    }
  }

  private replica(index: number, cost: StepCost): StepReplica {
    const { scheduler: c } = this.scenario
    const prefix = this.prefixTokens()
    let cache: PrefixCache | undefined
    if (c.prefix_cache && prefix > 0) {
      if (prefix % c.block_size !== 0) throw new ScenarioError(`scheduler.block_size ${c.block_size} does not divide the ${prefix} tokens of a prefix`)
      this.caches.push((cache = new PrefixCache(prefix, prefix / c.block_size, c.prefix_ttl_ms ?? Infinity, () => this.clock.now)))
    }
    const one = c.policy === 'fcfs-one-at-a-time'
    return new StepReplica(index, {
      limits: { maxSequences: one ? 1 : c.max_sequences, maxBatchedTokens: c.max_batched_tokens, blocks: c.kv_blocks ?? UNBOUNDED },
      policy: {
        batching: c.policy === 'fcfs-one-at-a-time' ? 'continuous' : c.policy,
        chunkedPrefill: c.chunked_prefill, preemption: c.preemption, allocation: c.kv_allocation, blockSize: c.block_size, cache,
      },
      cost: cost.counted!, macroSteps: !this.options.singleSteps, swapMsPerBlock: c.swap_ms_per_block, observer: this.stepObserver(),
    })
  }

  /** Tokens that a prefix id stands for; 0 where prompts have no known prefixes. */
  private prefixTokens(): number {
    if (this.scenario.prefixes) return this.scenario.scheduler.block_size
    return this.scenario.arrivals.process === 'trace' ? (this.options.files?.trace?.prefixBlock ?? 0) : 0
  }

  private limits(): { maxQueue: number; refuses: (job: Job) => string | undefined } {
    const maxQueue = this.scenario.scheduler.max_queue ?? Infinity
    const first = this.stations[0]
    return { maxQueue, refuses: first instanceof StepReplica ? (job) => first.scheduler.refuses(job.promptTokens, job.maxTokens) : () => undefined }
  }

  private source(logged: ScenarioFiles['trace']): Source {
    const s = this.scenario
    const stream = (which: keyof typeof STREAM) => new Random(s.seed, STREAM[which])
    const requests = logged?.requests
    const own = (key: 'input' | 'output') => requests !== undefined && !s.given[key]
    const input = own('input') ? undefined : lengths(s.input, stream('input'), requests && loggedLengths(requests, 'inputTokens'))
    const output = own('output') ? undefined : lengths(s.output, stream('output'), requests && loggedLengths(requests, 'outputTokens'))
    const service = s.service ? serviceTimes(s.service.kind, s.service.cv, stream('service')) : undefined
    const prefix = this.prefixes(stream('prefixes'))
    const priority = priorities(s, stream('priorities'))
    const answers = stream('cache')
    const think = stream('think')
    const create = (id: number, at: number): Job => {
      const r = requests?.[id]
      const outputTokens = output ? output() : Math.max(1, r!.outputTokens)
      const given = prefix()
      const promptTokens = Math.max(input ? input() : Math.max(1, r!.inputTokens), given ? s.prefixes!.tokens : 0)
      // A trace does not say what its clients asked for: as much as they got.
      const maxTokens = s.max_tokens ?? (output ? this.outputLimit() : outputTokens)
      const job = new Job(id, promptTokens, Math.min(outputTokens, maxTokens), maxTokens, at, priority(), given ?? r?.prefix)
      if (service) job.service = s.service!.mean_ms * service()
      if (s.response_cache && answers.uniform() < s.response_cache.hit_rate) {
        job.cached = s.response_cache.latency_ms
        if (answers.uniform() < s.response_cache.false_positive_rate) this.wrong++
      }
      if (s.disaggregation && job.outputLength > 1) disaggregate(job)
      return job
    }
    if (s.arrivals.process === 'closed') {
      return { total: this.total, create, closed: { users: s.arrivals.concurrency, think: s.arrivals.think_ms > 0 ? () => s.arrivals.think_ms * think.exponential() : () => 0 } }
    }
    let next = 0
    return { total: this.total, create, arrivals: requests ? () => requests[next++]!.arrival / s.arrivals.scale : openArrivals(s.arrivals, stream('arrivals')) }
  }

  /** What clients allow: with a fixed length that length; else the distribution's end, or what the pool can hold. */
  private outputLimit(): number {
    const { output, input, scheduler } = this.scenario
    if (output.dist === 'fixed') return Math.max(1, Math.round(output.mean))
    const room = scheduler.kv_blocks === null ? Infinity : Math.max(1, scheduler.kv_blocks * scheduler.block_size - Math.round(input.mean))
    return Math.min(output.max, room)
  }

  /** The prefix ids of a group's beginning; undefined for requests without one, and where there are no groups. */
  private prefixes(random: Random): () => number[] | undefined {
    const p = this.scenario.prefixes
    if (!p) return () => undefined
    const blocks = Math.floor(p.tokens / this.scenario.scheduler.block_size)
    const groups = new Map<number, number[]>()
    return () => {
      if (random.uniform() >= p.share) return undefined
      const g = random.below(p.groups)
      let ids = groups.get(g)
      if (!ids) groups.set(g, (ids = Array.from({ length: blocks }, (_, i) => g * blocks + i)))
      return ids
    }
  }

  private totals() {
    const now = this.clock.now
    return { time: now, area: this.cluster.area, busy: this.stations.reduce((n, x) => n + x.busyTime(now), 0) }
  }

  private observer(): ClusterObserver {
    const { warmup, slo } = this.scenario
    const traced = (job: Job) => this.trace !== undefined && job.id % this.options.traceEvery! === 0
    const say = (t: number, job: Job, kind: Event['kind'], extra: Partial<Event> = {}) => {
      this.trace!.events.push({ t, request: job.id, kind, ...(this.stations.length > 1 && job.replica >= 0 ? { replica: job.replica } : {}), ...extra })
    }
    return {
      arrived: (job) => {
        if (job.id === warmup) {
          this.begin = this.totals()
          this.firstArrival = job.arrival
        }
        if (job.id === this.total - 1) this.until = this.totals()
        if (!traced(job)) return
        const record: RequestRecord = { id: job.id, arrival: job.arrival, promptTokens: job.promptTokens, maxTokens: job.maxTokens }
        this.trace!.requests.push(record)
        say(job.arrival, job, 'sent')
      },
      answered: (job, at) => {
        this.options.onAnswer?.(job, at)
        this.digest(job, at)
        if (traced(job)) this.record(job, at, say)
        if (at > this.lastAnswer) this.lastAnswer = at
        const index = job.id - warmup
        if (index < 0) return
        this.measured++
        const back = job.cached >= 0 ? 0 : job.network
        const ttft = job.firstToken + back - job.arrival
        const e2e = at - job.arrival
        const tpot = job.outputLength > 1 ? (e2e - ttft) / (job.outputLength - 1) : undefined
        this.inputTokens += job.promptTokens
        this.outputTokens += job.outputLength
        this.wait.add(index, job.scheduled - job.arrival)
        this.ttft.add(index, ttft)
        this.e2e.add(index, e2e)
        if (tpot !== undefined) this.tpot.add(index, tpot)
        if (slo && ttft <= (slo.ttft_ms ?? Infinity) && (tpot === undefined || tpot <= (slo.tpot_ms ?? Infinity))) this.good++
      },
      rejected: (job, at, reason) => {
        if (traced(job)) say(at, job, 'rejected', { reason })
        if (job.id < warmup) return
        this.rejected++
        this.reasons.set(reason, (this.reasons.get(reason) ?? 0) + 1)
      },
    }
  }

  private record(job: Job, at: number, say: (t: number, job: Job, kind: Event['kind'], extra?: Partial<Event>) => void): void {
    say(job.arrival + job.network, job, 'queued')
    say(job.scheduled, job, 'scheduled')
    // Single tokens are known where steps are watched; else the first and the last stand for them.
    if (!this.watchesSteps) {
      const back = at - job.lastToken
      say(job.firstToken + back, job, 'token')
      for (let k = 2; k <= job.outputLength; k++) say(job.firstToken + back + ((job.lastToken - job.firstToken) * (k - 1)) / (job.outputLength - 1), job, 'token')
    }
    say(at, job, 'finished')
  }

  private get watchesSteps(): boolean {
    return this.everyone && this.scenario.steps !== null
  }

  /** Present when somebody looks at single steps. */
  private stepObserver(): StepObserver | undefined {
    const { onStep } = this.options
    if (!this.watchesSteps && !onStep) return undefined
    return {
      step: (replica, start, end, jobs, first, granted, index, blocksUsed) => {
        onStep?.(replica, start, end, jobs, first, granted, index, blocksUsed)
        if (this.watchesSteps) this.recordStep(replica, start, end, jobs, first, granted, index, blocksUsed)
      },
      preempted: (replica, job, at) => {
        if (this.watchesSteps) this.trace!.events.push({ t: at, request: job.id, kind: 'preempted', reason: this.scenario.scheduler.preemption, replica })
      },
    }
  }

  private recordStep(replica: number, start: number, end: number, jobs: readonly Job[], first: number, granted: number, index: number, kvBlocks: number): void {
    const { events, steps } = this.trace!
    const batch: Step['batch'] = []
    for (let i = first; i < first + granted; i++) {
      const job = jobs[i]!
      const context = job.computed + index
      const sampled = job.computed + job.granted === job.known
      batch.push({ request: job.id, tokens: job.granted, context, sampled, soloFlops: 0, soloBytes: 0 })
      if (context < job.promptTokens) events.push({ t: end, request: job.id, kind: 'prefill', count: Math.min(job.granted, job.promptTokens - context), replica })
      if (sampled) events.push({ t: end + job.network, request: job.id, kind: 'token', replica })
    }
    steps.push({ start, duration: end - start, batch, flops: 0, bytes: 0, workingSet: 0, kvBlocks, replica })
  }

  /** FNV-1a over ids and times, in order of completion. */
  private digest(job: Job, at: number): void {
    const { hash, bits, words } = this
    let a = Math.imul(hash[0]! ^ job.id, 0x01000193)
    let b = hash[1]!
    bits[0] = job.scheduled
    a = Math.imul(a ^ words[0]!, 0x01000193)
    b = Math.imul(b ^ words[1]!, 0x01000193)
    bits[0] = job.firstToken
    a = Math.imul(a ^ words[0]!, 0x01000193)
    b = Math.imul(b ^ words[1]!, 0x01000193)
    bits[0] = at
    hash[0] = Math.imul(a ^ words[0]!, 0x01000193)
    hash[1] = Math.imul(b ^ words[1]!, 0x01000193)
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
  switch (spec.kind) {
    case 'affine': return affine(spec, published('scenario'))
    case 'profile': {
      if (!files?.profile) throw new ScenarioError(`steps.file ${spec.file} was not read`)
      return affine({ ...spec, ...files.profile }, published(spec.file!))
    }
    case 'roofline': {
      try {
        return roofline({ hardware: spec.hardware, model: spec.model, tensorParallel: spec.tensor_parallel, dtype: spec.dtype, mfu: spec.mfu, mbu: spec.mbu, overheadMs: spec.overhead_ms })
      } catch (cause) {
        throw new ScenarioError(`steps: ${(cause as Error).message}`, { cause })
      }
    }
  }
}

function priorities(s: Scenario, random: Random): () => number {
  if (s.priorities.length === 0) return () => 0
  const total = s.priorities.reduce((n, c) => n + c.share, 0)
  return () => {
    let u = random.uniform() * total
    for (const c of s.priorities) if ((u -= c.share) < 0) return c.priority
    return s.priorities[s.priorities.length - 1]!.priority
  }
}

/** The prompt's replica makes the first token; what it computed goes on as a second job that needs no prefill. */
function disaggregate(job: Job): void {
  job.left = 1
  job.handOver = () => {
    const rest = new Job(job.id, job.promptTokens, job.outputLength, job.maxTokens, job.arrival, job.priority)
    rest.scheduled = job.scheduled
    rest.firstToken = job.firstToken
    rest.network = job.network
    rest.computed = job.promptTokens
    rest.known = job.promptTokens + 1
    rest.left = job.outputLength - 1
    return rest
  }
}

function named(name: string, s: Summary): [string, number][] {
  return [[`mean_${name}_ms`, s.mean], [`median_${name}_ms`, s.p50], [`std_${name}_ms`, s.std], [`p90_${name}_ms`, s.p90], [`p99_${name}_ms`, s.p99]]
}

function spread(d: Distribution): Spread | null {
  const s = d.summary()
  return s ? { mean: s.mean, p50: s.p50, p99: s.p99, interval: s.interval, p99_interval: s.p99_interval } : null
}
