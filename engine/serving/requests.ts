import { openArrivals } from './arrivals'
import type { Source } from './cluster'
import { lengths, loggedLengths, serviceTimes } from './lengths'
import { Random } from './random'
import { Job } from './replica'
import { BATCH_PRIORITY, ScenarioError, type Scenario } from './scenario'
import type { LoggedRequest } from './trace-files'

/** Each purpose draws from a stream of its own: a change to one leaves the others' draws as they were. */
export const STREAM = { arrivals: 1, input: 2, output: 3, service: 4, routing: 5, prefixes: 6, priorities: 7, cache: 8, think: 9, homes: 10, cascade: 11, batch: 12, long: 13 } as const

/** A scenario's requests, one after another; `wrong` is told of every answer that a cache gives to another question. */
export function requestSource(s: Scenario, total: number, logged: readonly LoggedRequest[] | undefined, wrong: () => void): Source {
  const stream = (which: keyof typeof STREAM) => new Random(s.seed, STREAM[which])
  const own = (key: 'input' | 'output') => logged !== undefined && !s.given[key]
  const input = own('input') ? undefined : lengths(s.input, stream('input'), logged && loggedLengths(logged, 'inputTokens'))
  const output = own('output') ? undefined : lengths(s.output, stream('output'), logged && loggedLengths(logged, 'outputTokens'))
  const service = s.service ? serviceTimes(s.service.kind, s.service.cv, stream('service')) : undefined
  const prefix = prefixes(s, stream('prefixes'))
  const priority = priorities(s, stream('priorities'))
  const home = homes(s, stream('homes'))
  const cached = responseCache(s, stream('cache'), wrong)
  const escalates = stream('cascade')
  const offline = stream('batch')
  const truck = stream('long')
  const limit = outputLimit(s)
  const disaggregated = s.disaggregation !== null
  const create = (id: number, at: number): Job => {
    const r = logged?.[id]
    const outputTokens = output ? output() : Math.max(1, r!.outputTokens)
    const given = prefix?.()
    const usual = input ? input() : Math.max(1, r!.inputTokens)
    const long = s.long_requests !== null && truck.uniform() < s.long_requests.share
    const drawn = long ? s.long_requests!.tokens : usual
    const promptTokens = given && s.prefixes!.tokens > drawn ? s.prefixes!.tokens : drawn
    // A trace does not say what its clients asked for: as much as they got.
    const maxTokens = s.max_tokens ?? (output ? limit : outputTokens)
    const batch = s.batch_lane !== null && offline.uniform() < s.batch_lane.share
    const rank = priority ? priority() : 0
    const job = new Job(id, promptTokens, Math.min(outputTokens, maxTokens), maxTokens, at, batch ? BATCH_PRIORITY : rank, given ?? r?.prefix)
    job.long = long
    if (home) job.home = home(at)
    if (service) job.service = s.service!.mean_ms * service()
    if (cached) cached(job)
    if (s.cascade) job.escalates = escalates.uniform() < s.cascade.escalation_rate
    if (disaggregated && job.outputLength > 1) disaggregate(job)
    return job
  }
  if (s.arrivals.process === 'closed') {
    const think = stream('think')
    return { total, create, closed: { users: s.arrivals.concurrency, think: s.arrivals.think_ms > 0 ? () => s.arrivals.think_ms * think.exponential() : () => 0 } }
  }
  let next = 0
  return { total, create, arrivals: logged ? () => logged[next++]!.arrival / s.arrivals.scale : openArrivals(s.arrivals, stream('arrivals'), loadOverTime(s)) }
}

/** The load's factor in each period, all regions together; undefined for a steady load. */
function loadOverTime({ arrivals: { profile }, regions }: Scenario): ((period: number) => number) | undefined {
  const everywhere = (i: number) => (profile.length > 0 ? profile[i % profile.length]! : 1)
  const total = regions.reduce((sum, r) => sum + r.load, 0)
  if (!regions.some((r) => r.load > 0 && r.profile.length > 0)) return profile.length > 0 ? everywhere : undefined
  return (i) => everywhere(i) * regions.reduce((sum, r) => sum + r.load * regional(r.profile, i), 0) / total
}

function regional(profile: readonly number[], period: number): number {
  return profile.length > 0 ? profile[period % profile.length]! : 1
}

/** In which region a request's client lives; undefined where clients have no homes. */
function homes({ regions, arrivals: { profile_period_ms } }: Scenario, random: Random): ((at: number) => number) | undefined {
  if (!regions.some((r) => r.load > 0)) return undefined
  return (at) => {
    const period = Math.floor(at / profile_period_ms)
    let total = 0
    for (const r of regions) total += r.load * regional(r.profile, period)
    let u = random.uniform() * total
    for (let i = 0; i < regions.length; i++) if ((u -= regions[i]!.load * regional(regions[i]!.profile, period)) < 0) return i
    return regions.length - 1
  }
}

/** The exact cache is asked first, then the semantic one. */
function responseCache({ response_cache: c }: Scenario, random: Random, wrong: () => void): ((job: Job) => void) | undefined {
  if (!c) return undefined
  return (job) => {
    if (c.exact_hit_rate > 0 && random.uniform() < c.exact_hit_rate) {
      job.cached = c.exact_latency_ms
      job.exact = true
    } else if (random.uniform() < c.hit_rate) {
      job.cached = c.latency_ms
      if (random.uniform() < c.false_positive_rate) wrong()
    }
  }
}

/** What clients allow: with a fixed length that length; else the distribution's end, or what the pool can hold. */
function outputLimit({ output, input, scheduler }: Scenario): number {
  if (output.dist === 'fixed') return Math.max(1, Math.round(output.mean))
  const room = scheduler.kv_blocks === null ? Infinity : Math.max(1, scheduler.kv_blocks * scheduler.block_size - Math.round(input.mean))
  return Math.min(output.max, room)
}

/** The prefix ids of a group's beginning; undefined for requests without one, and where there are no groups. */
function prefixes({ prefixes: p, scheduler }: Scenario, random: Random): (() => number[] | undefined) | undefined {
  if (!p) return undefined
  const blocks = Math.floor(p.tokens / scheduler.block_size)
  const groups = new Map<number, number[]>()
  return () => {
    if (random.uniform() >= p.share) return undefined
    const g = random.below(p.groups)
    let ids = groups.get(g)
    if (!ids) groups.set(g, (ids = Array.from({ length: blocks }, (_, i) => g * blocks + i)))
    return ids
  }
}

function priorities(s: Scenario, random: Random): (() => number) | undefined {
  if (s.priorities.length === 0) return undefined
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
    rest.home = job.home
    rest.long = job.long
    rest.scheduled = job.scheduled
    rest.firstToken = job.firstToken
    rest.network = job.network
    rest.computed = job.promptTokens
    rest.known = job.promptTokens + 1
    rest.left = job.outputLength - 1
    return rest
  }
}

/** The same question, asked again of the larger model. */
export function escalate(job: Job): Job {
  const again = new Job(job.id, job.promptTokens, job.outputLength, job.maxTokens, job.arrival, job.priority, job.prefix)
  again.home = job.home
  again.long = job.long
  again.scheduled = job.scheduled
  again.escalates = true
  return again
}

/** Tokens that a prefix id stands for; 0 where prompts have no known prefixes. Throws ScenarioError where blocks do not divide it. */
export function prefixTokens(s: Scenario, ofTrace: number | undefined): number {
  const tokens = s.prefixes ? s.scheduler.block_size : s.arrivals.process === 'trace' ? (ofTrace ?? 0) : 0
  if (tokens % s.scheduler.block_size !== 0) throw new ScenarioError(`scheduler.block_size ${s.scheduler.block_size} does not divide the ${tokens} tokens of a prefix`)
  return tokens
}
