import type { Arrivals } from './arrivals'
import { EventHeap, type Timed } from './heap'
import { Pool } from './pool'
import type { Job, Station } from './replica'
import type { Random } from './random'
import type { RouterName } from './router'

/** Who watches the cluster; times in ms. */
export interface ClusterObserver {
  arrived(job: Job): void
  /** Answered; `at` is when the client has it. */
  answered(job: Job, at: number): void
  rejected(job: Job, at: number, reason: string): void
  /** Reached a station's line. */
  queued?(job: Job, at: number): void
  /** Left a station for another one: what it computed is on its way, or its question is. */
  moved?(job: Job, at: number): void
  /** A number of the cluster's changes: requests in the system, or replicas that are paid for. */
  changed?(at: number, inSystem: number, replicas: number): void
}

export interface ClusterOptions {
  /** The replicas, and after them those of the smaller model where there is a cascade. */
  stations: readonly Station[]
  /** Stations share this clock with the cluster. */
  clock: { now: number }
  router: RouterName
  routing: Random
  staleness: number
  /** One-way network time of each station, ms, for each home of clients. */
  travel: readonly (readonly number[])[]
  /** Requests waiting at a station at most. */
  maxQueue: number
  /** Prompts longer than this go to the last so many replicas. */
  longPool: { threshold: number; replicas: number } | null
  /** The first so many replicas compute prompts, the others decode; ms per token handed over. */
  disaggregation: { prefill: number; transfer: number } | null
  /** Stations from `first` on run the smaller model; asking whether its answer will do takes `decide` ms. */
  cascade: { first: number; decide: number; upFront: boolean; again: (job: Job) => Job } | null
  autoscaler: { min: number; interval: number; upAbove: number; downBelow: number; startup: number } | null
  /** Why a request can never be served by that station, or undefined. */
  refuses(job: Job, station: number): string | undefined
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

type News = Timed & ({ kind: 'send' } | { kind: 'door'; job: Job; station: number } | { kind: 'route'; job: Job; pool: Pool } | { kind: 'look' })
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
  private readonly main: Pool
  private readonly long?: Pool
  private readonly small?: Pool
  /** Of each station: the pool whose line it pulls from. */
  private readonly poolOf: Pool[]
  /** On their way to a station that has taken them from a line. */
  private readonly coming: Int32Array
  private readonly answers: Int32Array
  /** Stations to be started once everything at this time has happened. */
  private readonly ready: number[] = []
  private readonly endTimes: Float64Array
  private readonly endOf: End[]
  private readonly seen: { at: number; outstanding: Int32Array; blocks: Int32Array }
  /** Answers can cause arrivals or moves between stations: no run of steps may pass another station's end. */
  private readonly feedback: boolean
  /** One station's end needs no order. */
  private readonly alone: boolean
  private running: number
  /** Replicas that take no more requests and still have some. */
  private readonly draining = new Set<number>()
  private readonly starting: { station: number; at: number }[] = []
  private created = 0
  private next = Infinity
  /** Requests arrived and neither answered nor rejected. */
  inSystem = 0
  /** ∫ inSystem dt up to its last change, requests × ms; summed by changes, which are the same however many steps are taken at once. */
  area = 0
  private changed = 0
  /** ∫ replicas paid for dt up to its last change, replicas × ms. */
  private paidArea = 0
  private paidSince = 0
  private paid: number

  constructor(private readonly source: Source, private readonly options: ClusterOptions) {
    const { stations, autoscaler, longPool, disaggregation, cascade } = options
    const n = stations.length
    const replicas = cascade?.first ?? n
    this.outstanding = new Int32Array(n)
    this.coming = new Int32Array(n)
    this.answers = new Int32Array(n)
    this.endTimes = new Float64Array(n).fill(Infinity)
    this.endOf = Array.from({ length: n }, (_, station) => ({ time: Infinity, rank: station, station })) // by station: the order must not depend on when ends were foreseen
    this.seen = { at: -Infinity, outstanding: new Int32Array(n), blocks: new Int32Array(n) }
    const central = options.router === 'central-queue'
    this.feedback = source.closed !== undefined || disaggregation !== null || cascade !== null || autoscaler !== null || (central && n > 1)
    this.alone = n === 1
    this.running = autoscaler?.min ?? replicas
    this.paid = this.running + n - replicas
    const stale = options.staleness > 0
    const view = {
      outstanding: (i: number) => (stale ? this.seen.outstanding[i]! : this.outstanding[i]!),
      blocksUsed: (i: number) => (stale ? this.seen.blocks[i]! : stations[i]!.blocksUsed),
      cachedTokens: (i: number, prefix: readonly number[]) => stations[i]!.cachedTokens(prefix),
      roundTrip: (home: number, i: number) => 2 * this.way(home, i),
      perAnswer: (i: number) => (this.answers[i]! > 0 ? stations[i]!.busyTime(options.clock.now) / this.answers[i]! : 0),
    }
    const pool = (from: number, to: number) => new Pool(Array.from({ length: to - from }, (_, i) => from + i), options.router, view, options.routing, stations)
    const long = longPool ? replicas - longPool.replicas : replicas
    this.main = pool(0, disaggregation?.prefill ?? long)
    if (longPool) this.long = pool(long, replicas)
    if (cascade) this.small = pool(replicas, n)
    this.poolOf = Array.from({ length: n }, (_, i) => (i >= replicas ? this.small! : i >= long ? this.long! : this.main))
    if (autoscaler) this.main.choices.length = this.running
    if (source.arrivals) this.next = source.total > 0 ? source.arrivals() : Infinity
    for (let u = 0; u < (source.closed?.users ?? 0) && u < source.total; u++) this.news.push({ time: 0, rank: 1, kind: 'send' })
    if (autoscaler) this.news.push({ time: autoscaler.interval, rank: 2, kind: 'look' })
  }

  /** Goes on to the next time at which anything happens, and past it. False when all is over. */
  step(): boolean {
    const { ends, news, endTimes, options: { clock } } = this
    const now = Math.min(this.next, this.alone ? endTimes[0]! : ends.time, news.time)
    if (now === Infinity) return false
    clock.now = now
    if (this.alone) {
      if (endTimes[0] === now) this.ended(0)
    } else while (ends.time === now) this.end(ends.pop()!)
    while (news.time === now) this.hear(news.pop()!)
    while (this.next === now) {
      this.arrive(now)
      this.next = this.created < this.source.total ? this.source.arrivals!() : Infinity
    }
    if (!this.alone) this.startReady(now)
    else if (this.ready.length > 0) this.startAlone(now)
    return true
  }

  /** Requests that are still to come, or in the system. */
  get open(): number {
    return this.source.total - this.created + this.inSystem
  }

  /** ∫ replicas paid for dt, replicas × ms, up to `now`. */
  paidTime(now: number): number {
    return this.paidArea + this.paid * (now - this.paidSince)
  }

  private way(home: number, station: number): number {
    return this.options.travel[home]![station]!
  }

  private end(entry: End): void {
    const { station, time } = entry
    entry.time = Infinity // out of the heap: it may be used again
    if (this.endTimes[station] === time) this.ended(station) // else an arrival has changed when it ends
  }

  private ended(station: number): void {
    this.endTimes[station] = Infinity
    this.options.stations[station]!.finish(this.done)
    this.ready.push(station)
  }

  private readonly done = (job: Job, at: number): void => {
    const { disaggregation, cascade } = this.options
    const { replica } = job
    this.outstanding[replica]!--
    this.answers[replica]!++
    if (this.draining.has(replica) && this.outstanding[replica] === 0) {
      this.draining.delete(replica)
      this.pays(-1)
    }
    if (disaggregation && replica < disaggregation.prefill && job.handOver) {
      const target = this.decodeStation()
      this.outstanding[target]!++
      this.options.observer.moved?.(job, at)
      this.news.push({ time: at + disaggregation.transfer * job.promptTokens, rank: 1, kind: 'door', job: job.handOver(), station: target })
      return
    }
    if (cascade && replica >= cascade.first && !cascade.upFront) {
      if (job.escalates) {
        this.options.observer.moved?.(job, at)
        this.news.push({ time: at + cascade.decide, rank: 1, kind: 'route', job: cascade.again(job), pool: this.main })
        return
      }
      // Nobody sees an answer before it is found good enough.
      job.firstToken = job.lastToken = at + cascade.decide
      this.leave(job.lastToken + job.network)
      this.options.observer.answered(job, job.lastToken + job.network)
      return
    }
    this.leave(at + job.network)
    this.options.observer.answered(job, at + job.network)
  }

  /** The decoding station with the fewest requests; ties go to the first. */
  private decodeStation(): number {
    let best = this.options.disaggregation!.prefill
    for (let i = best + 1; i < this.outstanding.length; i++) if (this.outstanding[i]! < this.outstanding[best]!) best = i
    return best
  }

  private count(change: number): void {
    const { now } = this.options.clock
    this.area += this.inSystem * (now - this.changed)
    this.changed = now
    this.inSystem += change
    this.options.observer.changed?.(now, this.inSystem, this.paid)
  }

  private pays(change: number): void {
    const { now } = this.options.clock
    this.paidArea += this.paid * (now - this.paidSince)
    this.paidSince = now
    this.paid += change
    this.options.observer.changed?.(now, this.inSystem, this.paid)
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
      case 'route': return this.send(event.job, event.pool, event.time)
      case 'look': return this.look(event.time)
    }
  }

  private arrive(now: number): void {
    const job = this.source.create(this.created++, now)
    const { observer, longPool, cascade, refuses } = this.options
    this.count(1)
    observer.arrived(job)
    if (job.cached >= 0) {
      job.scheduled = now
      job.firstToken = job.lastToken = now + job.cached
      this.leave(job.lastToken)
      observer.answered(job, job.lastToken)
      return
    }
    const reason = refuses(job, 0)
    if (reason !== undefined) return this.reject(job, now, reason)
    if (cascade) return this.cascade(job, now)
    this.send(job, longPool && job.promptTokens > longPool.threshold ? this.long! : this.main, now)
  }

  /** To the smaller model first, or to the one that a router in front picks; who cannot be served there goes to the larger. */
  private cascade(job: Job, now: number): void {
    const { first, decide, upFront } = this.options.cascade!
    const small = (!upFront || !job.escalates) && this.options.refuses(job, first) === undefined
    if (!small) job.escalates = true
    const pool = small ? this.small! : this.main
    if (upFront && decide > 0) this.news.push({ time: now + decide, rank: 1, kind: 'route', job, pool })
    else this.send(job, pool, now)
  }

  private send(job: Job, pool: Pool, now: number): void {
    if (!pool.route) return this.enterLine(job, pool, now)
    this.observeStations(now)
    const station = pool.route(pool.choices, job.promptTokens, job.prefix, job.home)
    this.outstanding[station]!++
    this.travel(job, station, now)
  }

  private travel(job: Job, station: number, now: number): void {
    job.network = this.way(job.home, station)
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

  private enterLine(job: Job, pool: Pool, now: number): void {
    if (pool.line.length >= this.options.maxQueue && !pool.hungry) return this.reject(job, now, `${this.options.maxQueue} requests are waiting already`)
    pool.line.push(job)
    // The first that stands idle takes it; if all are busy, the first to come to a step's end does.
    const idle = pool.wake()
    if (idle !== undefined) this.ready.push(idle)
  }

  private enter(job: Job, station: number): void {
    const s = this.options.stations[station]!
    if (this.coming[station]! > 0) this.coming[station]!-- // its place was kept
    else if (s.queueLength >= this.options.maxQueue && s.room <= 0) {
      this.outstanding[station]!--
      return this.reject(job, this.options.clock.now, `${this.options.maxQueue} requests are waiting already`)
    }
    this.options.observer.queued?.(job, this.options.clock.now)
    s.enqueue(job)
    if (!s.busy) this.ready.push(station)
  }

  private startAlone(now: number): void {
    while (this.ready.length > 0) this.ready.pop()
    const station = this.options.stations[0]!
    if (station.busy) return
    const news = this.news.time
    const bound = this.next < news ? this.next : news
    this.endTimes[0] = station.start(now, bound)
  }

  private startReady(now: number): void {
    const { ready } = this
    if (ready.length === 0) return
    const { stations } = this.options
    const bound = Math.min(this.next, this.news.time)
    if (ready.length > 1) ready.sort((a, b) => a - b)
    for (let r = 0; r < ready.length; r++) {
      const i = ready[r]!
      const station = stations[i]!
      if (station.busy || (r > 0 && ready[r - 1] === i)) continue
      const pool = this.poolOf[i]!
      if (!pool.route) this.pull(i, pool, now)
      // Those still to be started now may have news before anybody whose end is known: until then, a step at a time.
      const end = station.start(now, !this.feedback ? bound : r < ready.length - 1 ? now : Math.min(bound, this.news.time, this.ends.time))
      this.endTimes[i] = end
      if (end < Infinity) {
        if (!this.alone) this.foresee(i, end)
      }
      else if (!pool.route && this.coming[i] === 0) pool.rests(i)
    }
    while (ready.length > 0) ready.pop()
  }

  /** A station takes from its pool's line what it has room for. */
  private pull(station: number, pool: Pool, now: number): void {
    const { line } = pool
    const s = this.options.stations[station]!
    while (line.length > 0 && s.room > this.coming[station]!) {
      const job = line.shift()!
      this.outstanding[station]!++
      job.network = this.way(job.home, station)
      if (job.network > 0) {
        this.coming[station]!++
        this.news.push({ time: now + job.network, rank: 1, kind: 'door', job, station })
      } else {
        this.options.observer.queued?.(job, now)
        s.enqueue(job)
      }
    }
  }

  private foresee(station: number, end: number): void {
    const known = this.endOf[station]!
    // A server whose end an arrival has changed may still have its old end in the heap: that entry stays as it is.
    const entry = known.time === Infinity ? known : { time: Infinity, rank: station, station }
    entry.time = end
    this.ends.push(entry)
  }

  private look(now: number): void {
    const { autoscaler } = this.options
    const { choices, members } = this.main
    let load = 0
    for (const i of choices) load += this.outstanding[i]!
    const each = load / choices.length
    if (each > autoscaler!.upAbove && this.running < members.length) {
      const added = this.running++
      // One that is still finishing its last requests is paid for already.
      if (!this.draining.delete(added)) this.pays(1)
      this.starting.push({ station: added, at: now + autoscaler!.startup })
    } else if (each < autoscaler!.downBelow && this.running > autoscaler!.min && this.starting.length === 0) {
      this.running--
      const stopped = choices.pop()!
      if (this.outstanding[stopped]! > 0) this.draining.add(stopped)
      else this.pays(-1)
    }
    while (this.starting.length > 0 && this.starting[0]!.at <= now) choices.push(this.starting.shift()!.station)
    if (this.created < this.source.total || this.inSystem > 0) this.news.push({ time: now + autoscaler!.interval, rank: 2, kind: 'look' })
  }
}
