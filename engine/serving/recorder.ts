import type { Provenance } from '../trace/provenance'
import type { Event, RequestRecord, Step, Trace } from '../trace/trace'
import type { Job, StepObserver } from './replica'
import type { Machine } from './step-cost'

export interface RecorderOptions {
  provenance: Provenance
  /** Keep every so-many-th request. */
  every: number
  /** Keep steps and single tokens as well: only where all requests are kept and steps are simulated. */
  steps: boolean
  preemption: 'recompute' | 'swap'
  /** What each replica's steps compute and move, where its cost follows from that. */
  machine: (replica: number) => Machine | undefined
  /** Replicas whose tokens the client does not see as they come. */
  hidden: (replica: number) => boolean
  kvBlocksTotal?: number
  blockSize?: number
}

/** Writes the Trace of a simulation. */
export class Recorder {
  readonly trace: Trace
  private readonly records = new Map<number, RequestRecord>()
  /** Requests that hold a place in a step; who lost it is scheduled anew. */
  private readonly holding = new Set<number>()
  /** How many of its blocks are told. */
  private readonly told = new Map<number, number>()
  private readonly seen = new Set<number>()

  constructor(private readonly options: RecorderOptions) {
    const { provenance, kvBlocksTotal, blockSize } = options
    this.trace = { provenance, requests: [], events: [], steps: [], ...(kvBlocksTotal === undefined ? {} : { kvBlocksTotal, blockSize }) }
    const machine = options.steps ? options.machine(0) : undefined
    if (machine) this.trace.roofs = machine.roofs
  }

  traces(job: Job): boolean {
    return job.id % this.options.every === 0
  }

  arrived(job: Job): void {
    if (!this.traces(job)) return
    const record: RequestRecord = { id: job.id, arrival: job.arrival, promptTokens: job.promptTokens, maxTokens: job.maxTokens }
    this.trace.requests.push(record)
    this.records.set(job.id, record)
    this.say(job.arrival, job, 'sent')
  }

  queued(job: Job, at: number): void {
    if (!this.traces(job)) return
    this.say(at, job, 'gateway')
    this.say(at, job, 'queued')
  }

  moved(job: Job, at: number): void {
    this.holding.delete(job.id)
    if (this.traces(job)) this.say(at, job, 'offloaded')
  }

  rejected(job: Job, at: number, reason: string): void {
    if (this.traces(job)) this.say(at, job, 'rejected', { reason })
    this.forget(job)
  }

  answered(job: Job, at: number): void {
    if (!this.traces(job)) return
    const record = this.records.get(job.id)!
    if (job.network > 0) record.network = { out: job.network, back: job.network }
    if (job.cached >= 0) this.say(job.scheduled, job, 'cached')
    const stepped = this.options.steps && job.cached < 0
    if (!stepped) this.say(job.scheduled, job, 'scheduled')
    // Single tokens are known where steps are watched; else they are taken to come evenly between the first and the last.
    if (!stepped || this.options.hidden(job.replica)) {
      const back = at - job.lastToken
      this.say(job.firstToken + back, job, 'token')
      for (let k = 2; k <= job.outputLength; k++) this.say(job.firstToken + back + ((job.lastToken - job.firstToken) * (k - 1)) / (job.outputLength - 1), job, 'token')
    }
    this.say(at, job, 'finished')
    this.forget(job)
  }

  /** Listens to steps. */
  readonly observer: StepObserver = {
    step: (replica, start, end, jobs, _first, _granted, index, kvBlocks) => this.step(replica, start, end, jobs, index, kvBlocks),
    preempted: (_replica, job, at) => {
      this.holding.delete(job.id)
      this.told.delete(job.id)
      this.say(at, job, 'preempted', { reason: this.options.preemption })
    },
    parked: (_replica, job, at) => {
      this.holding.delete(job.id)
      this.say(at, job, 'offloaded', { count: job.hosted })
    },
    broughtBack: () => {}, // it is scheduled by its next step
  }

  /** In order of time, which they were not written in. */
  finish(): void {
    this.trace.events.sort((a, b) => a.t - b.t)
  }

  private step(replica: number, start: number, end: number, jobs: readonly Job[], index: number, kvBlocks: number): void {
    const { steps } = this.trace
    const machine = this.options.machine(replica)
    const hidden = this.options.hidden(replica)
    const batch: Step['batch'] = []
    let decodes = 0
    let decodeContext = 0
    let prefill = 0
    let prefillContext = 0
    for (const job of jobs) {
      const context = job.computed + index
      const { granted } = job
      if (!this.holding.has(job.id)) this.begin(job, start, context)
      const sampled = job.computed + granted === job.known
      const chunk = granted * (context + granted / 2)
      const decode = granted === 1 && context >= job.promptTokens
      if (decode) {
        decodes++
        decodeContext += context
      } else {
        prefill += granted
        prefillContext += chunk
      }
      const solo = machine ? (decode ? machine.work(1, context, 0, 0) : machine.work(0, 0, granted, chunk)) : { flops: 0, bytes: 0 }
      const blocks = this.taken(job)
      batch.push({ request: job.id, tokens: granted, context, sampled, soloFlops: solo.flops, soloBytes: solo.bytes, ...(blocks && { blocks }) })
      if (context < job.promptTokens) this.say(end, job, 'prefill', { count: Math.min(granted, job.promptTokens - context) })
      if (sampled && !hidden) this.say(end + job.network, job, 'token')
    }
    const { flops, bytes } = machine ? machine.work(decodes, decodeContext, prefill, prefillContext) : { flops: 0, bytes: 0 }
    steps.push({ start, duration: end - start, batch, flops, bytes, workingSet: bytes, kvBlocks, replica })
  }

  private begin(job: Job, start: number, context: number): void {
    this.holding.add(job.id)
    this.say(start, job, 'scheduled')
    if (!this.seen.has(job.id) && job.prefix && context > 0) this.say(start, job, 'cached', { count: context })
    this.seen.add(job.id)
  }

  /** Ids of its blocks that are not told yet; undefined where there are none, or none are known. */
  private taken(job: Job): number[] | undefined {
    const { address, blocks, blockTable } = job
    const before = this.told.get(job.id) ?? 0
    // One that lost all it had kept has fewer: it is told from the start.
    const told = blockTable.length < before && address < 0 ? 0 : before
    const all = address >= 0 ? blocks : blockTable.length
    if (all === told) return undefined
    this.told.set(job.id, all)
    return address >= 0 ? Array.from({ length: all - told }, (_, i) => address + told + i) : blockTable.slice(told)
  }

  private forget(job: Job): void {
    this.told.delete(job.id)
    this.records.delete(job.id)
    this.holding.delete(job.id)
    this.seen.delete(job.id)
  }

  private say(t: number, job: Job, kind: Event['kind'], extra: Partial<Event> = {}): void {
    this.trace.events.push(job.replica >= 0 ? { t, request: job.id, kind, replica: job.replica, ...extra } : { t, request: job.id, kind, ...extra })
  }
}
