import { EventHeap, type Timed } from './heap'
import { Deque } from './line'
import type { Job, Station } from './replica'

/** One server that takes whole requests, first come, first served: the G in M/G/1. */
export class FcfsServer implements Station {
  busy = false
  readonly preemptions = 0
  readonly blocksUsed = 0
  readonly blocksPeak = 0
  steps = 0
  private readonly queue = new Deque<Job>()
  private current?: Job
  private started = 0
  private end = 0
  private worked = 0

  constructor(readonly index: number) {}

  get queueLength(): number {
    return this.queue.length
  }
  get inSystem(): number {
    return this.queueLength + (this.busy ? 1 : 0)
  }
  get room(): number {
    return this.inSystem === 0 ? 1 : 0
  }
  cachedTokens(): number {
    return 0
  }

  enqueue(job: Job): void {
    job.replica = this.index
    this.queue.push(job)
  }

  start(now: number): number {
    const job = this.queue.shift()
    if (job === undefined) return Infinity
    job.scheduled = now
    this.current = job
    this.busy = true
    this.started = now
    this.end = now + job.service
    return this.end
  }

  finish(done: (job: Job, at: number) => void): void {
    const job = this.current!
    this.worked += this.end - this.started
    this.busy = false
    this.steps++
    job.firstToken = job.lastToken = this.end
    done(job, this.end)
  }

  busyTime(now: number): number {
    return this.busy ? this.worked + now - this.started : this.worked
  }
}

/**
 * One server that all share alike (M/G/1-PS): with n there, each is served at 1/n of the rate. A job is
 * over when the service a single one would have had by now, V, reaches the V of its arrival plus its own.
 */
export class SharingServer implements Station {
  readonly preemptions = 0
  readonly blocksUsed = 0
  readonly blocksPeak = 0
  readonly room = Infinity
  readonly queueLength = 0
  /** The server is asked anew after every arrival: it never counts as taken. */
  readonly busy = false
  steps = 0
  /** In order of the V at which they are over. */
  private readonly jobs = new EventHeap<Timed & { job: Job }>()
  private attained = 0
  private updated = 0
  private end = 0
  private worked = 0

  constructor(readonly index: number, private readonly clock: () => number) {}

  get inSystem(): number {
    return this.jobs.size
  }
  cachedTokens(): number {
    return 0
  }

  enqueue(job: Job): void {
    job.replica = this.index
    this.catchUp(this.clock())
    job.scheduled = this.clock()
    this.jobs.push({ time: this.attained + job.service, rank: 0, job })
  }

  start(now: number): number {
    this.catchUp(now)
    if (this.jobs.size === 0) return Infinity
    this.end = now + (this.jobs.time - this.attained) * this.jobs.size
    return this.end
  }

  finish(done: (job: Job, at: number) => void): void {
    this.worked += this.end - this.updated
    this.updated = this.end
    const { job, time } = this.jobs.pop()!
    this.attained = time
    this.steps++
    job.firstToken = job.lastToken = this.end
    done(job, this.end)
  }

  busyTime(now: number): number {
    return this.worked + (this.jobs.size > 0 ? now - this.updated : 0)
  }

  private catchUp(now: number): void {
    if (this.jobs.size > 0) {
      this.attained += (now - this.updated) / this.jobs.size
      this.worked += now - this.updated
    }
    this.updated = now
  }
}
