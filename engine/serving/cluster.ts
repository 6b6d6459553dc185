import type { Arrivals } from './arrivals'
import { EventHeap, type Timed } from './heap'
import { Job, type Station } from './replica'
import type { Random } from './random'
import { router, type Route, type RouterName } from './router'

/** Who watches the cluster; times in ms. */
export interface ClusterObserver {
  arrived(job: Job): void
  /** Answered; `at` is when the client has it. */
  answered(job: Job, at: number): void
  rejected(job: Job, at: number, reason: string): void
}

export interface ClusterOptions {
  stations: readonly Station[]
  /** Stations share this clock with the cluster. */
  clock: { now: number }
  router: RouterName
  routing: Random
  staleness: number
  /** One-way network time of each station, ms. */
  network: readonly number[]
  /** Requests waiting at a station at most. */
  maxQueue: number
  /** Prompts longer than this go to the last so many stations. */
  longPool: { threshold: number; replicas: number } | null
  /** The first so many stations compute prompts, the others decode; ms per token handed over. */
  disaggregation: { prefill: number; transfer: number } | null
  autoscaler: { min: number; interval: number; upAbove: number; downBelow: number; startup: number } | null
  /** Why a request can never be served, or undefined. */
  refuses(job: Job): string | undefined
  observer: ClusterObserver
}

/** Where requests come from. */
export interface Source {
  /** How many there are in all. */
  readonly total: number
  create(id: number, at: number): Job
  /** Open arrivals; absent in a closed loop. */
  arrivals?: Arrivals
  /** Closed loop: users, and the time from an answer to the next request. */
  closed?: { users: number; think: () => number }
}

type News = Timed & ({ kind: 'send' } | { kind: 'door'; job: Job; station: number } | { kind: 'look' })
interface End extends Timed {
  station: number
}

/**
 * Arrivals, router, stations and network in one order of time. At equal times: ends of steps first, then
 * news, then arrivals, then new steps begin, so that who arrives as a step ends is part of the next.
 */
export class Cluster {
  /** Requests sent to each station and not answered. */
  readonly outstanding: Int32Array
  private readonly ends = new EventHeap<End>()
  private readonly news = new EventHeap<News>()
  private readonly route?: Route
  private readonly central: Job[] = []
  private centralHead = 0
  /** Stations to be started once everything at this time has happened. */
  private readonly ready: number[] = []
  private readonly endTimes: Float64Array
  private readonly seen: { at: number; outstanding: Int32Array; blocks: Int32Array }
  /** Answers can cause arrivals or moves between stations: no run of steps may pass another station's end. */
  private readonly feedback: boolean
  private choices: number[]
  private readonly longChoices: number[] = []
  private running: number
  private created = 0
  private next = Infinity
  /** Requests arrived and neither answered nor rejected. */
  inSystem = 0
  /** ∫ inSystem dt up to its last change, requests × ms; summed by changes, which are the same however many steps are taken at once. */
  area = 0
  private changed = 0

  constructor(private readonly source: Source, private readonly options: ClusterOptions) {
    const { stations, autoscaler, longPool, disaggregation } = options
    const n = stations.length
    this.outstanding = new Int32Array(n)
    this.endTimes = new Float64Array(n).fill(Infinity)
    this.seen = { at: -Infinity, outstanding: new Int32Array(n), blocks: new Int32Array(n) }
    this.feedback = source.closed !== undefined || disaggregation !== null || autoscaler !== null || options.router === 'central-queue' && n > 1
    this.running = autoscaler?.min ?? n
    this.choices = Array.from({ length: disaggregation?.prefill ?? this.running }, (_, i) => i)
    if (longPool) this.longChoices = this.choices.splice(n - longPool.replicas)
    if (options.router !== 'central-queue') {
      this.route = router(options.router, {
        outstanding: (i) => (options.staleness > 0 ? this.seen.outstanding[i]! : this.outstanding[i]!),
        blocksUsed: (i) => (options.staleness > 0 ? this.seen.blocks[i]! : stations[i]!.blocksUsed),
        cachedTokens: (i, prefix) => stations[i]!.cachedTokens(prefix),
      }, options.routing)
    }
    if (source.arrivals) this.next = source.total > 0 ? source.arrivals() : Infinity
    for (let u = 0; u < (source.closed?.users ?? 0) && u < source.total; u++) this.news.push({ time: 0, rank: 1, kind: 'send' })
    if (autoscaler) this.news.push({ time: autoscaler.interval, rank: 2, kind: 'look' })
  }

  /** Goes on to the next time at which anything happens, and past it. False when all is over. */
  step(): boolean {
    const { ends, news, options: { clock } } = this
    const now = Math.min(this.next, ends.time, news.time)
    if (now === Infinity) return false
    clock.now = now
    while (ends.time === now) this.end(ends.pop()!)
    while (news.time === now) this.hear(news.pop()!)
    while (this.next === now) {
      this.arrive(now)
      this.next = this.created < this.source.total ? this.source.arrivals!() : Infinity
    }
    this.startReady(now)
    return true
  }

  private end({ station, time }: End): void {
    if (this.endTimes[station] !== time) return // an arrival has changed when it ends
    this.endTimes[station] = Infinity
    this.options.stations[station]!.finish(this.done)
    this.ready.push(station)
  }

  private readonly done = (job: Job, at: number): void => {
    const { disaggregation, network } = this.options
    if (disaggregation && job.replica < disaggregation.prefill && job.handOver) {
      this.outstanding[job.replica]!--
      const target = this.decodeStation()
      this.outstanding[target]!++
      this.news.push({ time: at + disaggregation.transfer * job.promptTokens, rank: 1, kind: 'door', job: job.handOver(), station: target })
      return
    }
    this.outstanding[job.replica]!--
    this.leave(at + network[job.replica]!)
    this.options.observer.answered(job, at + network[job.replica]!)
  }

  /** The decoding station with the fewest requests; ties go to the first. */
  private decodeStation(): number {
    let best = this.options.disaggregation!.prefill
    for (let i = best + 1; i < this.outstanding.length; i++) if (this.outstanding[i]! < this.outstanding[best]!) best = i
    return best
  }

  private count(change: number): void {
    this.area += this.inSystem * (this.options.clock.now - this.changed)
    this.changed = this.options.clock.now
    this.inSystem += change
  }

  private leave(at: number): void {
    this.count(-1)
    const { closed, total } = this.source
    if (closed && this.created < total) this.news.push({ time: at + closed.think(), rank: 1, kind: 'send' })
  }

  private hear(event: News): void {
    switch (event.kind) {
      case 'send':
        if (this.created < this.source.total) this.arrive(event.time)
        return
      case 'door': return this.enter(event.job, event.station)
      case 'look': return this.look(event.time)
    }
  }

  private arrive(now: number): void {
    const job = this.source.create(this.created++, now)
    const { observer, longPool, network, refuses } = this.options
    this.count(1)
    observer.arrived(job)
    if (job.cached >= 0) {
      job.scheduled = now
      job.firstToken = job.lastToken = now + job.cached
      this.leave(job.lastToken)
      observer.answered(job, job.lastToken)
      return
    }
    const reason = refuses(job)
    if (reason !== undefined) return this.reject(job, now, reason)
    if (!this.route) return this.enterCentral(job, now)
    this.observeStations(now)
    const choices = longPool && job.promptTokens > longPool.threshold ? this.longChoices : this.choices
    const station = this.route(choices, job.promptTokens, job.prefix)
    this.outstanding[station]!++
    job.network = network[station]!
    if (job.network > 0) this.news.push({ time: now + job.network, rank: 1, kind: 'door', job, station })
    else this.enter(job, station)
  }

  private reject(job: Job, now: number, reason: string): void {
    this.leave(now)
    this.options.observer.rejected(job, now, reason)
  }

  /** What the router sees is refreshed when it has become too old. */
  private observeStations(now: number): void {
    const { staleness, stations } = this.options
    if (staleness === 0 || now - this.seen.at < staleness) return
    this.seen.at = now
    this.seen.outstanding.set(this.outstanding)
    for (let i = 0; i < stations.length; i++) this.seen.blocks[i] = stations[i]!.blocksUsed
  }

  private enterCentral(job: Job, now: number): void {
    if (this.central.length - this.centralHead >= this.options.maxQueue && !this.options.stations.some((s) => s.hungry)) {
      return this.reject(job, now, `${this.options.maxQueue} requests are waiting already`)
    }
    this.central.push(job)
    // The first that stands idle takes it; if all are busy, the first to come to a step's end does.
    for (let i = 0; i < this.options.stations.length; i++) {
      if (this.options.stations[i]!.hungry && !this.options.stations[i]!.busy && !this.ready.includes(i)) {
        this.ready.push(i)
        return
      }
    }
  }

  private enter(job: Job, station: number): void {
    const s = this.options.stations[station]!
    if (s.queueLength >= this.options.maxQueue && !s.hungry) {
      this.outstanding[station]!--
      return this.reject(job, this.options.clock.now, `${this.options.maxQueue} requests are waiting already`)
    }
    s.enqueue(job)
    if (!s.busy) this.ready.push(station)
  }

  private startReady(now: number): void {
    const { ready, central } = this
    if (ready.length === 0) return
    const { stations } = this.options
    const bound = Math.min(this.next, this.news.time)
    if (ready.length > 1) ready.sort((a, b) => a - b)
    for (let r = 0; r < ready.length; r++) {
      const i = ready[r]!
      const station = stations[i]!
      if (station.busy || (r > 0 && ready[r - 1] === i)) continue
      while (this.centralHead < central.length && station.hungry) {
        const job = central[this.centralHead++]!
        job.network = this.options.network[i]!
        this.outstanding[i]!++
        station.enqueue(job)
      }
      if (this.centralHead > 1024 && this.centralHead * 2 > central.length) {
        central.splice(0, this.centralHead)
        this.centralHead = 0
      }
      // Those still to be started now may have news before anybody whose end is known: until then, a step at a time.
      const end = station.start(now, !this.feedback ? bound : r < ready.length - 1 ? now : Math.min(bound, this.ends.time))
      this.endTimes[i] = end
      if (end < Infinity) this.ends.push({ time: end, rank: i, station: i }) // by station: the order must not depend on when ends were foreseen
    }
    while (ready.length > 0) ready.pop()
  }

  private look(now: number): void {
    const { autoscaler, stations } = this.options
    let load = 0
    for (const i of this.choices) load += this.outstanding[i]!
    const each = load / this.choices.length
    if (each > autoscaler!.upAbove && this.running < stations.length) {
      const added = this.running++
      this.starting.push({ station: added, at: now + autoscaler!.startup })
    } else if (each < autoscaler!.downBelow && this.running > autoscaler!.min && this.starting.length === 0) {
      this.running--
      this.choices.pop()
    }
    while (this.starting.length > 0 && this.starting[0]!.at <= now) this.choices.push(this.starting.shift()!.station)
    if (this.created < this.source.total || this.inSystem > 0) this.news.push({ time: now + autoscaler!.interval, rank: 2, kind: 'look' })
  }
  private readonly starting: { station: number; at: number }[] = []
}
