import { BusyTime } from './busy-time'
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
  /** A cache of answers has this one, after so many ms; -1: it has not. */
  cached = -1
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
  /** True when it could take one more at once; for a queue that several pull from. */
  readonly hungry: boolean
  readonly preemptions: number
  readonly blocksPeak: number
  readonly steps: number
}

/** Listens to single steps and tokens; without it nothing is kept of them. */
export interface StepObserver {
  /** After every step, also those of a run: when it began and ended, and who had which part. */
  step(replica: number, start: number, end: number, sequences: readonly Job[], first: number, granted: number, index: number, blocksUsed: number): void
  preempted(replica: number, job: Job, at: number): void
}

export interface ReplicaOptions {
  limits: SchedulerLimits
  policy: Partial<SchedulerPolicy>
  cost: CountedCost
  /** Runs of like steps at once (the same to the last bit, only faster). */
  macroSteps: boolean
  /** Whole steps of blocks moved between device and host, ms per block. */
  swapMsPerBlock: number
  observer?: StepObserver
}

const MOST_STEPS = 2 ** 30 - 1

/** An engine: the scheduler of the live one, with a step cost in place of a runner. */
export class StepReplica implements Station {
  busy = false
  preemptions = 0
  blocksPeak = 0
  steps = 0
  readonly scheduler: Scheduler<Job>
  private readonly time: BusyTime
  private granted = 0
  private run = 1
  private started = 0
  private worked = 0
  private busySince = 0
  /** The clock runs on from the last step: no idle time in between. */
  private continuing = false
  private swapDelay = 0
  private prefilled = false

  constructor(readonly index: number, private readonly options: ReplicaOptions) {
    this.scheduler = new Scheduler<Job>(options.limits, (job) => {
      this.preemptions++
      options.observer?.preempted(index, job, this.time.now)
    }, { ...options.policy, blockIds: false })
    this.time = new BusyTime(options.cost)
  }

  get inSystem(): number {
    return this.scheduler.waiting.length + this.scheduler.running.length
  }
  get queueLength(): number {
    return this.scheduler.waiting.length
  }
  get blocksUsed(): number {
    // Nobody looks before the last step of a run has begun: its blocks are taken by then.
    return this.busy ? this.scheduler.blocksUsedAfter(this.run) : this.scheduler.blocksUsed
  }
  get hungry(): boolean {
    return this.inSystem < this.scheduler.limits.maxSequences
  }
  cachedTokens(prefix: readonly number[]): number {
    return this.scheduler.policy.cache?.peek(prefix) ?? 0
  }

  enqueue(job: Job): void {
    job.replica = this.index
    this.scheduler.enqueue(job)
  }

  start(now: number, bound: number): number {
    const { scheduler, time } = this
    if (!this.continuing) {
      time.begin(now)
      this.busySince = now
    }
    const granted = scheduler.plan()
    if (granted === 0) {
      if (scheduler.idle) return Infinity
      // Everybody was sent away for want of blocks; with all of them free the next plan admits somebody.
      this.continuing = true
      return this.start(now, bound)
    }
    const { running, first } = scheduler
    // Static batches are formed before their prompts' turn comes: everybody is looked at there.
    for (let i = scheduler.policy.batching === 'static' ? 0 : scheduler.admitted; i < first + granted; i++) {
      const job = running[i]!
      if (Number.isNaN(job.scheduled)) job.scheduled = now
    }
    time.work.growth.fill(0)
    const { prefill } = scheduler
    this.options.cost.work(scheduler.decodes, scheduler.context, prefill, scheduler.prefillContext2, time.work)
    this.swapDelay = scheduler.swappedBlocks * this.options.swapMsPerBlock
    const single = !this.options.macroSteps || prefill > 0 || scheduler.chasing || granted < running.length || scheduler.preempted || this.swapDelay > 0
    if (single) this.run = 1
    else {
      // Whole numbers of 31 bits: fields that hold them stay small in the engine below us.
      let most = Math.min(MOST_STEPS, time.work.steps) | 0
      for (let i = 0; i < granted; i++) if (running[i]!.left < most) most = running[i]!.left
      const k = time.reach(bound, most) | 0
      this.run = k === 1 ? 1 : scheduler.repeatable(k)
    }
    this.granted = granted
    this.prefilled = prefill > 0
    this.started = now
    this.busy = true
    return time.after(this.run) + this.swapDelay
  }

  finish(done: (job: Job, at: number) => void): void {
    const { scheduler, time, granted, run } = this
    const running = scheduler.running
    const from = scheduler.first
    if (this.options.observer) this.observe()
    time.advance(run)
    if (this.swapDelay > 0) time.begin(time.now + this.swapDelay)
    const now = time.now
    let over = 0
    for (let i = from; i < from + granted; i++) {
      const job = running[i]!
      if (!scheduler.book(job, run)) continue // a chunk in the middle of a prompt
      if (job.known - job.promptTokens === run) job.firstToken = now
      if ((job.left -= run) === 0) over++
    }
    const ended = over > 0
    this.steps += run
    if (scheduler.blocksUsed > this.blocksPeak) this.blocksPeak = scheduler.blocksUsed
    this.busy = false
    for (let i = from; over > 0; ) {
      const job = running[i]!
      if (job.left > 0) {
        i++
        continue
      }
      over--
      job.lastToken = now
      scheduler.leaveFrom(i)
      done(job, now)
    }
    // Only where runs end whether taken at once or one by one.
    if (ended || this.prefilled) time.rebase()
    this.continuing = !scheduler.idle
    // Summed by busy periods: their ends are the same however many steps are taken at once.
    if (!this.continuing) this.worked += now - this.busySince
  }

  busyTime(now: number): number {
    return this.continuing || this.busy ? this.worked + now - this.busySince : this.worked
  }

  private observe(): void {
    const { scheduler, time, granted, run } = this
    let start = this.started
    for (let k = 1; k <= run; k++) {
      const end = time.after(k) + this.swapDelay
      this.options.observer!.step(this.index, start, end, scheduler.running, scheduler.first, granted, k - 1, scheduler.blocksUsed)
      start = end
    }
  }
}
