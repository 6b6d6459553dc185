import { BusyTime } from './busy-time'
import { EndHeap } from './end-heap'
import { Scheduler, Sequence, type SchedulerLimits, type SchedulerPolicy } from './scheduler'
import type { CountedCost } from './step-cost'

/** A request on its way through simulated time. Only the runner (here: the replica) reads `outputLength`. */
export class Job extends Sequence {
  /** First granted a place in a step; NaN before. ms */
  scheduled = NaN
  firstToken = NaN
  lastToken = NaN
  /** Output tokens still to come: what a model would decide, hidden from the scheduler by its type. */
  left: number
  /** How long whole-request service takes, ms; unused where steps are simulated. */
  service = 0
  /** One-way network time, ms. */
  network = 0
  replica = -1
  /** Where its client lives: a row of the cluster's travel times. */
  home = 0
  /** One of the scenario's long requests. */
  long = false
  /** The smaller model's answer will not do. */
  escalates = false
  /** A cache of answers has this one, after so many ms; -1: it has not. */
  cached = -1
  /** …because the very same was asked before. */
  exact = false
  /** The replica's count of decoded steps at which its text ends, while it decodes in step with the others. */
  endTick = -1
  /** Its place in the heap of those. */
  heapIndex = -1
  /** Positions that its keys and values come to. */
  final = 0
  /** Makes the request that goes on elsewhere from the keys and values computed here. */
  handOver?: () => Job

  constructor(
    id: number,
    promptTokens: number,
    readonly outputLength: number,
    maxTokens: number,
    readonly arrival: number,
    priority?: number,
    prefix?: readonly number[],
  ) {
    super(id, promptTokens, maxTokens, priority, prefix)
    this.left = outputLength
  }
}

/** What routers and autoscalers may know of a replica. */
export interface ReplicaView {
  readonly inSystem: number
  readonly queueLength: number
  readonly blocksUsed: number
  /** Prompt tokens it has cached of this prefix. */
  cachedTokens(prefix: readonly number[]): number
}

/** One server of the simulation. The cluster asks it to start when it is not busy, and wakes it at the end it named. */
export interface Station extends ReplicaView {
  readonly busy: boolean
  enqueue(job: Job): void
  /** Begins the next thing to do; returns when it ends, Infinity when there is nothing. `bound`: when news may come. */
  start(now: number, bound: number): number
  /** What was started is over; those done are handed to `done`. */
  finish(done: (job: Job, at: number) => void): void
  /** Time spent working, up to `now`. ms */
  busyTime(now: number): number
  /** How many more it could take at once; for a line that several pull from. */
  readonly room: number
  readonly preemptions: number
  readonly blocksPeak: number
  readonly steps: number
}

/** Listens to single steps and tokens; without it nothing is kept of them. */
export interface StepObserver {
  /** After every step, also those of a run: when it began and ended; `granted` of the sequences, from `first` on, had a part; `index`: steps of the run before it. */
  step(replica: number, start: number, end: number, sequences: readonly Job[], first: number, granted: number, index: number, blocksUsed: number): void
  preempted(replica: number, job: Job, at: number): void
  /** Waits in host memory from now on, and no longer does. */
  parked(replica: number, job: Job, at: number): void
  broughtBack(replica: number, job: Job, at: number): void
}

/** Σ over steps of what KV blocks were used for, in tokens; whole numbers, the same however many steps are taken at once. */
export interface MemoryUse {
  /** Steps × tokens of the pool. */
  capacity: number
  /** Positions computed. */
  used: number
  /** Kept for positions that were computed later. */
  reserved: number
  /** Kept, and never used: the rest of a last block, or of what the client allowed. */
  internal: number
  /** Free, while somebody waited for as much in one piece. */
  external: number
}

export interface ReplicaOptions {
  limits: SchedulerLimits
  policy: Partial<SchedulerPolicy>
  cost: CountedCost
  /** Runs of like steps at once (the same to the last bit, only faster). */
  macroSteps: boolean
  /** Whole steps of blocks moved between device and host, ms per block. */
  swapMsPerBlock: number
  /** Layer-wise offload: the same, while other layers are computed. */
  offloadMsPerBlock: number
  /** Keep account of what memory is used for. */
  memory: boolean
  /** Blocks have ids: one step at a time, the same results. */
  blockIds?: boolean
  observer?: StepObserver
}

const MOST_STEPS = 2 ** 30 - 1

/** An engine: the scheduler of the live one, with a step cost in place of a runner. */
export class StepReplica implements Station {
  busy = false
  preemptions = 0
  blocksPeak = 0
  steps = 0
  /** Requests that were offloaded. */
  offloads = 0
  readonly scheduler: Scheduler<Job>
  readonly memory: MemoryUse = { capacity: 0, used: 0, reserved: 0, internal: 0, external: 0 }
  private readonly time: BusyTime
  /** Those that decode in step, by the step at which they end. */
  private readonly endings = new EndHeap()
  private run = 1
  private started = 0
  /** When the work in hand is done. */
  private end = 0
  private worked = 0
  private busySince = 0
  /** The clock runs on from the last step: no idle time in between. */
  private continuing = false
  /** ms of the step in hand beyond its work: blocks moved, and what the cost says. */
  private delay = 0
  private prefilled = false
  /** Σ of the positions that running requests come to. */
  private finals = 0
  /** Who is part of the step in hand; only where somebody watches. */
  private watched: Job[] = []

  constructor(readonly index: number, private readonly options: ReplicaOptions) {
    const { observer } = options
    this.scheduler = new Scheduler<Job>(options.limits, (job) => {
      this.preemptions++
      observer?.preempted(index, job, this.time.now)
    }, { ...options.policy, blockIds: options.blockIds === true }, {
      ...(options.memory ? {
        enters: (job: Job) => {
          job.final = job.known + job.left - 1
          this.finals += job.final
        },
        exits: (job: Job) => void (this.finals -= job.final),
      } : {}),
      joins: (job) => {
        job.endTick = this.scheduler.ticks + job.left
        this.endings.push(job)
      },
      parts: (job) => {
        job.left = job.endTick - this.scheduler.ticks
        this.endings.remove(job)
      },
      parked: (job) => {
        this.offloads++
        observer?.parked(index, job, this.time.now)
      },
      broughtBack: (job) => observer?.broughtBack(index, job, this.time.now),
    })
    this.time = new BusyTime(options.cost)
  }

  get inSystem(): number {
    const { scheduler } = this
    return scheduler.waiting.length + scheduler.places + scheduler.parked.length
  }
  get queueLength(): number {
    return this.scheduler.waiting.length
  }
  get blocksUsed(): number {
    // Nobody looks before the last step of a run has begun: its blocks are taken by then.
    return this.busy ? this.scheduler.blocksUsedAfter(this.run) : this.scheduler.blocksUsed
  }
  get room(): number {
    return this.scheduler.limits.maxSequences - this.inSystem
  }
  cachedTokens(prefix: readonly number[]): number {
    return this.scheduler.policy.cache?.peek(prefix) ?? 0
  }

  enqueue(job: Job): void {
    job.replica = this.index
    this.scheduler.waiting.push(job) // the cluster has asked whether it can be served
  }

  start(now: number, bound: number): number {
    const { scheduler, time, options } = this
    if (!this.continuing) {
      time.begin(now)
      this.busySince = now
    }
    if (scheduler.plan() === 0) {
      if (scheduler.idle) return Infinity
      // Everybody was sent away for want of blocks; with all of them free the next plan admits somebody.
      this.continuing = true
      return this.start(now, bound)
    }
    const { catching, from, to, prefill } = scheduler
    for (let i = from; i < to; i++) {
      const job = catching[i]!
      if (job.scheduled !== job.scheduled) job.scheduled = now // NaN: never before
    }
    options.cost.work(scheduler.decodes, scheduler.context, prefill, scheduler.prefillContext2, time.work)
    this.delay = scheduler.swappedBlocks * options.swapMsPerBlock + time.work.extra
    if (scheduler.movedLayers > 0) this.delay += this.transferDelay(time.after(1) + time.work.extra - time.now)
    if (!options.macroSteps || options.blockIds || prefill > 0 || catching.length > 0 || scheduler.preempted || this.delay > 0) this.run = 1
    else {
      // Whole numbers of 31 bits: fields that hold them stay small in the engine below us.
      let most = Math.min(MOST_STEPS, time.work.steps) | 0
      const ends = this.endings.first!.endTick - scheduler.ticks
      if (ends < most) most = ends
      const k = time.reach(bound, most) | 0
      this.run = k === 1 ? 1 : scheduler.repeatable(k)
    }
    this.prefilled = prefill > 0
    this.started = now
    this.busy = true
    if (options.observer) this.watched = scheduler.planned()
    this.end = time.after(this.run)
    const over = this.end + this.delay
    // NaN comes of 0 × ∞ in the sums: a step beyond all numbers, which does not end. At no time at all the clock would stand still.
    return over === over ? over : Infinity
  }

  finish(done: (job: Job, at: number) => void): void {
    const { scheduler, time, run, endings } = this
    const { catching, from, to } = scheduler
    if (this.options.observer) this.observe()
    if (this.options.memory) this.account()
    if (scheduler.steady) scheduler.advance(run)
    time.advance(run, this.end)
    if (this.delay > 0) time.begin(time.now + this.delay)
    const now = time.now
    let over = 0
    for (let i = from; i < to; i++) {
      const job = catching[i]!
      if (!scheduler.book(job)) continue // a chunk in the middle of a prompt
      if (job.known - job.promptTokens === 1) job.firstToken = now
      if (--job.left === 0) over++
    }
    this.steps += run
    if (scheduler.blocksUsed > this.blocksPeak) this.blocksPeak = scheduler.blocksUsed
    this.busy = false
    let ended = over > 0
    while (endings.size > 0 && endings.first!.endTick === scheduler.ticks) {
      const job = endings.pop()!
      ended = true
      job.lastToken = now
      scheduler.leave(job)
      done(job, now)
    }
    for (let i = from; over > 0; ) {
      const job = catching[i]!
      if (job.left > 0) {
        i++
        continue
      }
      over--
      job.lastToken = now
      scheduler.leave(job)
      done(job, now)
    }
    if (to > from) scheduler.settled()
    // Only where runs end whether taken at once or one by one.
    if (ended || this.prefilled) time.rebase()
    this.continuing = !scheduler.idle
    // Summed by busy periods: their ends are the same however many steps are taken at once.
    if (!this.continuing) this.worked += now - this.busySince
  }

  busyTime(now: number): number {
    return this.continuing || this.busy ? this.worked + now - this.busySince : this.worked
  }

  /** What moving layers of blocks adds to a step of so many ms. */
  private transferDelay(compute: number): number {
    const { layers } = this.scheduler.policy.offload!
    return pipelineDelay(compute, (this.scheduler.movedLayers / layers) * this.options.offloadMsPerBlock, layers)
  }

  private observe(): void {
    const { scheduler, time, run, watched } = this
    let start = this.started
    for (let k = 1; k <= run; k++) {
      const end = time.after(k) + this.delay
      this.options.observer!.step(this.index, start, end, watched, 0, watched.length, k - 1, scheduler.blocksUsedAfter(k))
      start = end
    }
  }

  private account(): void {
    const { scheduler, run, memory } = this
    const { blockSize, allocation } = scheduler.policy
    const size = scheduler.limits.blocks * blockSize
    let used = 0
    // Kept layers of offloaded requests count as used: which tokens they are of does not matter here.
    let whole = 0
    for (const job of scheduler.parked) whole += job.blocks * blockSize
    for (let i = 0; i < scheduler.catching.length; i++) {
      const job = scheduler.catching[i]!
      if (job.offloaded) whole += job.blocks * blockSize
      else used += job.computed + (i >= scheduler.from && i < scheduler.to ? job.granted : 0)
    }
    used = (used + whole + scheduler.inStepContext) * run + (scheduler.steady ? (scheduler.inStep * run * (run + 1)) / 2 : 0)
    const held = scheduler.blocksOverSteps(run) * blockSize
    const reserved = allocation === 'paged' ? 0 : this.finals * run - used
    memory.capacity += size * run
    memory.used += used
    memory.reserved += reserved
    memory.internal += held - used - reserved
    if (scheduler.holes) memory.external += size * run - held
  }
}

/**
 * A layer's keys and values move while the next layer is computed: by how much a step of `compute` ms over
 * equal layers becomes longer when it moves `move` ms worth of them. A pipeline of two stages.
 */
export function pipelineDelay(compute: number, move: number, layers: number): number {
  return Math.max(move / layers, move + compute / layers - compute)
}
