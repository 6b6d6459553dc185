import { affine, RTX4090_LLAMA31_8B, type AffineCosts } from '../cost/affine'
import { fitLog } from '../cost/fit'
import { fitSteps, stepMs, type StepSample } from '../cost/step-fit'
import type { SchedulerLimits } from '../serving/scheduler'
import { parseScenario, ScenarioError, type ScenarioJson } from '../serving/scenario'
import { simulate } from '../serving/simulate'
import type { LoggedRequest } from '../serving/trace-files'
import { binding, BOTTLENECKS, total, type Attribution, type Bottleneck } from '../trace/bottleneck'
import { percentile, spread, type Spread } from '../trace/metrics'
import type { Provenance } from '../trace/provenance'
import type { Milliseconds, Roofs, Trace } from '../trace/trace'
import { nothing, partsOfLog, partsOfTrace, plus, times, weightsMs, type Parts } from './attribute'
import type { Evidence } from './evidence'
import { BLOCK_SIZE } from '../runner/runner'
import type { ServerLimits } from './server'

/** A file that was read and says too little, or nothing that can be true; the message says which. */
export class DiagnosisError extends Error {
  override name = 'DiagnosisError'
}

/** What was seen, where the time went, and a machine on which the same requests can be served otherwise. */
export interface Diagnosis {
  source: {
    name: string
    kind: Evidence['kind']
    /** Requests in the file; those that were looked into; those whose times cannot be true or that never ended. */
    requests: number
    used: number
    leftOut: number
  }
  /** How the times are known. */
  provenance: Provenance
  /** Where most of the time goes: of whole answers, until the first token, and from then on. */
  bottleneck: Bottleneck
  /** Mean ms a request. `tail`: until the first token, of those that waited longest for it (`tailShare` of all). */
  parts: { e2e: Attribution; ttft: Attribution; decode: Attribution; tail: Attribution }
  tailShare: number
  figures: {
    ttft: Spread
    tpot?: Spread
    e2e: Spread
    inputTokens: number
    outputTokens: number
    /** req/s over the stretch looked into. */
    rate: number
    /** Mean and most requests between arrival and last token. */
    inFlight: number
    inFlightMost: number
  }
  /** Further facts, each speaking for a bottleneck. */
  signs: Sign[]
  /** For simulations of the same requests on changed machines. */
  served: Served
}

export interface Sign {
  what: 'preemptions' | 'busy' | 'burstiness' | 'before_engine' | 'base_overhead' | 'kv_full' | 'capped'
  value: number
  unit: '' | '%' | 'ms' | 'req'
  speaksFor: Bottleneck
}

/** Requests of a file, and a machine that serves them about as the file's did. */
export interface Served {
  /** As a simulation takes it. */
  machine: { label: string; provenance: Provenance; steps: { kind: 'affine' } & AffineCosts; limits: { sequences: number; tokens: number; blocks: number } }
  requests: LoggedRequest[]
  replicas: number
  /** Time outside the engine, there and back, ms. */
  rttMs: Milliseconds
  /** Of the base cost, what is reading weights (the rest is overhead), ms. */
  weightsMs: Milliseconds
  /** True where the file did not say how many KV blocks there are. */
  blocksUnknown: boolean
  /** Simulated over observed, less 1, of means and p99 (p90 below 300 requests). */
  error: Record<'mean_ttft' | 'mean_tpot' | 'mean_e2e' | 'tail_ttft', number>
}

export interface DiagnoseOptions {
  /** Limits of the engine, where its meta file was given. */
  limits?: ServerLimits
  onProgress?: (done: number, doing: string) => void
}

/** A fit replays its requests a few hundred times: so many, and so many output tokens, take some seconds. */
const MOST_REQUESTS = 300
const MOST_TOKENS = 200_000
/** Longer than any context window. */
const LONGEST = 4_000_000
/** Steps that five numbers are fitted to. */
const MOST_STEPS = 2000
/** No clock tells a step of this length, ms, from none. */
const SHORTEST = 1e-6
/** Requests of a Trace that are looked into. */
const MOST_TRACED = 2000
const SMALL_SAMPLE = 300
/** A server within this factor (e to the power) of the one whose numbers are known is begun with as it is. */
const LIKE = 1
const LEAST_RIDGE = 60

/** Throws DiagnosisError where there is nothing to find. */
export function diagnose(evidence: Evidence, options: DiagnoseOptions = {}): Diagnosis {
  try {
    return lookInto(evidence, options)
  } catch (cause) {
    if (!(cause instanceof RangeError || cause instanceof ScenarioError)) throw cause
    throw new DiagnosisError(`${evidence.name}: no server can have done this in these times (${cause.message})`, { cause })
  }
}

function lookInto(evidence: Evidence, options: DiagnoseOptions): Diagnosis {
  if (evidence.kind === 'trace') {
    const { trace } = evidence
    if (trace.roofs && trace.steps.length > 0) return ofTrace(evidence.name, trace)
    return ofLog(evidence.name, 'trace', logOf(trace), trace.provenance, options)
  }
  if (!evidence.requests.some((r) => r.observed)) {
    throw new DiagnosisError(`${evidence.name} says when requests came and how long they were, and not when their tokens came: nothing in it can be slow. Give a request log, a vLLM bench file or a Trace.`)
  }
  const device = { name: evidence.name, runner: 'recorded', model: evidence.kind === 'vllm-bench-json' ? 'as a client saw it' : 'as the server logged it' } as const
  return ofLog(evidence.name, evidence.kind, evidence.requests, { how: 'recorded', device, at: '' }, options)
}

/** By its own steps: FLOPs and bytes against its roofs. */
function ofTrace(name: string, trace: Trace): Diagnosis {
  const log = logOf(trace)
  const kept = log.slice(0, MOST_TRACED)
  if (kept.length === 0) throw new DiagnosisError(`${name}: none of its ${trace.requests.length} requests got to its end`)
  const parts = partsOfTrace({ ...trace, requests: trace.requests.filter((r) => kept.some((k) => k.id === r.id)) })
  const samples = stepSamples(trace)
  if (samples.length === 0) throw new DiagnosisError(`${name}: its steps took no time`)
  const steps = ofTheSameLength(fitSteps(samples).steps, samples)
  const most = (of: (s: Trace['steps'][number]) => number) => trace.steps.reduce((n, s) => Math.max(n, of(s)), 1)
  const rttMs = kept.reduce((sum, r) => sum + r.network, 0) / kept.length
  const blocks = trace.kvBlocksTotal ?? kept.reduce((n, r) => n + Math.ceil((r.inputTokens + r.outputTokens) / BLOCK_SIZE) + 1, 0)
  const preemptions = trace.events.reduce((n, e) => n + (e.kind === 'preempted' ? 1 : 0), 0)
  const engineSide = kept.map((r) => ({ ...r, arrival: r.arrival + r.network / 2, observed: { firstToken: r.observed.firstToken - r.network / 2, lastToken: r.observed.lastToken - r.network / 2 } }))
  const limits = { maxSequences: Math.max(most((s) => s.batch.length), capOf(kept)), maxBatchedTokens: Math.max(2048, most((s) => s.batch.reduce((n, b) => n + b.tokens, 0))), blocks }
  const busyMs = trace.steps.reduce((sum, s) => sum + s.duration, 0)
  const replicas = 1 + trace.steps.reduce((n, s) => Math.max(n, s.replica ?? 0), 0)
  const span = spanOf(kept)
  const signs: Sign[] = [
    { what: 'busy', value: span > 0 ? Math.min(100, (100 * busyMs) / (span * replicas)) : 100, unit: '%', speaksFor: 'queue' },
    ...preempted(preemptions),
    ...burstiness(kept),
  ]
  const list = kept.map((r) => parts.get(r.id) ?? { ttft: nothing(), decode: nothing() })
  return finish(name, 'trace', trace.requests.length, kept, list, trace.provenance, signs, {
    machine: machineOf(name, trace.provenance, steps, limits), requests: engineSide.map(bare), replicas, rttMs, weightsMs: weightsByRoofs(steps, trace, percentile(kept.map((r) => r.inputTokens), 90)), blocksUnknown: trace.kvBlocksTotal === undefined,
  })
}

/** By five numbers fitted to when tokens came. */
function ofLog(name: string, kind: Evidence['kind'], all: readonly LoggedRequest[], provenance: Provenance, { limits: given, onProgress }: DiagnoseOptions): Diagnosis {
  const credible = all.filter(isCredible)
  if (credible.length === 0) throw new DiagnosisError(`${name}: not one of its ${all.length} requests has times that can be true (a first token after the arrival, a last one not before it) and a length up to ${LONGEST.toLocaleString('en')} tokens`)
  const log = stretch(credible)
  if (log.length === 0) throw new DiagnosisError(`${name}: its answers are longer than ${MOST_TOKENS.toLocaleString('en')} tokens; there is none short enough to be served again here`)
  const tpots = log.filter((r) => r.outputTokens > 1).map((r) => (r.observed.lastToken - r.observed.firstToken) / (r.outputTokens - 1))
  // The quickest answers are the nearest to a step with nobody else in it.
  const step = Math.max(1e-3, tpots.length > 0 ? percentile(tpots, 5) : percentile(log.map((r) => r.observed.firstToken - r.arrival), 5))
  // What a client sees before the engine does anything is no work of the engine's: it would be fitted as prefill.
  const before = kind === 'request-log-jsonl' ? 0 : beforeEngine(log, tpots.length > 0 ? Math.min(...tpots) : 0)
  const inside = log.map((r) => ({ ...r, arrival: r.arrival + before }))
  const scale = step / RTX4090_LLAMA31_8B.base_ms
  const from = Math.abs(Math.log(scale)) < LIKE ? RTX4090_LLAMA31_8B : (Object.fromEntries(Object.entries(RTX4090_LLAMA31_8B).map(([k, v]) => [k, v * scale])) as unknown as AffineCosts)
  const mostSteps = 1000 + (4 * spanOf(inside)) / step
  const each = inside.map((r) => Math.ceil((r.inputTokens + r.outputTokens) / BLOCK_SIZE) + 1)
  const needed = Math.max(...each)
  // Where the file does not say how many there are: as many as all of them together could hold.
  const blocks = given?.blocks ?? each.reduce((a, b) => a + b, 0)
  if (needed > blocks) throw new DiagnosisError(`${name}: a request of it needs ${needed} KV blocks, its meta file says that there are ${blocks}: they do not belong together`)
  const within = (maxSequences: number): SchedulerLimits => ({ maxSequences, maxBatchedTokens: given?.maxBatchedTokens ?? 2048, blocks })
  onProgress?.(0.1, 'Fitting what a step takes')
  let done = 0
  const attempt = (maxSequences: number, start: AffineCosts) => {
    const fit = fitLog(inside, within(maxSequences), 'all', { from: start, prior: (c) => strangeness(c, from), rounds: 1, mostSteps })
    onProgress?.(0.1 + 0.25 * ++done, 'Fitting what a step takes')
    return { maxSequences, steps: fit.steps, preemptions: fit.preemptions, miss: Math.abs(fit.error.all.mean_ttft) + Math.abs(fit.error.all.mean_e2e) }
  }
  const allowed = given?.maxSequences ?? 256
  let best = attempt(allowed, from)
  // Where a line forms, the server took no more at once than were then at work, whatever its setting.
  const cap = given ? undefined : atWorkInLine(inside)
  if (cap !== undefined && cap < allowed && best.miss > 0.1) {
    const other = attempt(cap, from)
    if (other.miss < 0.8 * best.miss) best = other
  }
  const capped = best.maxSequences !== allowed
  const { steps } = attempt(best.maxSequences, best.steps)
  const limits = within(best.maxSequences)
  const memory = weightsMs(steps, percentile(inside.map((r) => r.inputTokens), 90))
  const { parts, preemptions, busyMs, spanMs } = partsOfLog(inside, steps, memory, limits)
  const list = parts.map((p): Parts => ({ ...p, ttft: plus(p.ttft, { ...nothing(), network: before }) }))
  const overhead = steps.base_ms - memory
  const signs: Sign[] = [
    { what: 'busy', value: spanMs > 0 ? Math.min(100, (100 * busyMs) / spanMs) : 100, unit: '%', speaksFor: 'queue' },
    ...preempted(preemptions),
    ...(capped ? [{ what: 'capped', value: best.maxSequences, unit: 'req', speaksFor: 'queue' } as const] : []),
    ...(before > 0 ? [{ what: 'before_engine', value: before, unit: 'ms', speaksFor: 'network' } as const] : []),
    ...(overhead > 0.1 * steps.base_ms ? [{ what: 'base_overhead', value: (100 * overhead) / steps.base_ms, unit: '%', speaksFor: 'overhead' } as const] : []),
    ...burstiness(log),
  ]
  return finish(name, kind, all.length, log, list, provenance, signs, {
    machine: machineOf(name, provenance, steps, limits), requests: inside.map(bare), replicas: 1, rttMs: before, weightsMs: memory, blocksUnknown: given?.blocks === undefined,
  })
}

/**
 * How unlike any server these costs are. A saturated log says how long all took together, and hardly how a step's time is made
 * up: there the proportions of a known server hold, and the weights take no less time than this many prefill tokens (accelerators: 67 and more).
 */
function strangeness(c: AffineCosts, like: AffineCosts): number {
  const far = (a: number, b: number) => Math.log(Math.max(a, 1e-12) / Math.max(b, 1e-12)) ** 2
  const shape = (Object.keys(like) as (keyof AffineCosts)[]).reduce((sum, k) => sum + far(c[k], like[k]), 0)
  return 2e-3 * shape + (c.base_ms < LEAST_RIDGE * c.per_prefill_token_ms ? 1e-2 * far(c.base_ms, LEAST_RIDGE * c.per_prefill_token_ms) : 0)
}

type Observed = LoggedRequest & { observed: NonNullable<LoggedRequest['observed']> }

function finish(name: string, kind: Evidence['kind'], requests: number, log: readonly Observed[], parts: readonly Parts[], provenance: Provenance, signs: Sign[], served: Omit<Served, 'error'>): Diagnosis {
  const mean = (list: readonly Attribution[]) => times(list.reduce(plus, nothing()), 1 / list.length)
  const ttft = log.map((r) => r.observed.firstToken - r.arrival)
  const tailShare = log.length < SMALL_SAMPLE ? 0.1 : 0.01
  const slowest = parts.map((_, i) => i).sort((a, b) => ttft[b]! - ttft[a]!).slice(0, Math.ceil(log.length * tailShare))
  const e2e = mean(parts.map((p) => plus(p.ttft, p.decode)))
  const worst = binding(e2e)
  if (!worst) throw new DiagnosisError(`${name}: its requests took no time`)
  const { mean: inFlightMean, most } = inFlight(log)
  const rebased = rebase(served)
  return {
    source: { name, kind, requests, used: log.length, leftOut: requests - log.length },
    provenance, bottleneck: worst,
    parts: { e2e, ttft: mean(parts.map((p) => p.ttft)), decode: mean(parts.map((p) => p.decode)), tail: mean(slowest.map((i) => parts[i]!.ttft)) },
    tailShare,
    figures: {
      ttft: spread(ttft)!, tpot: spread(log.flatMap((r) => (r.outputTokens > 1 ? [(r.observed.lastToken - r.observed.firstToken) / (r.outputTokens - 1)] : []))), e2e: spread(log.map((r) => r.observed.lastToken - r.arrival))!,
      inputTokens: log.reduce((n, r) => n + r.inputTokens, 0) / log.length, outputTokens: log.reduce((n, r) => n + r.outputTokens, 0) / log.length,
      rate: rateOf(log), inFlight: inFlightMean, inFlightMost: most,
    },
    signs,
    served: { ...rebased, error: errorOf(rebased, log) },
  }
}

/** From the first arrival on. */
function rebase(served: Omit<Served, 'error'>): Omit<Served, 'error'> {
  const origin = served.requests[0]!.arrival
  return { ...served, requests: served.requests.map((r) => ({ ...r, arrival: r.arrival - origin })) }
}

/** The same requests, as a scenario: to be changed by levers, and served. */
export function scenarioOf({ requests, replicas, rttMs, machine, blocksUnknown }: Omit<Served, 'error'>): ScenarioJson {
  const { sequences, tokens, blocks } = machine.limits
  const longest = requests.reduce((n, r) => Math.max(n, r.outputTokens), 1)
  return {
    requests: requests.length,
    arrivals: { process: 'trace', file: 'dropped' },
    max_tokens: longest,
    scheduler: { policy: 'continuous', max_sequences: sequences, max_batched_tokens: tokens, chunked_prefill: true, kv_blocks: blocksUnknown ? null : blocks, prefix_cache: false },
    replicas,
    router: 'shortest-queue',
    ...(rttMs > 0 ? { regions: [{ name: 'client', rtt_ms: rttMs, replicas }] } : {}),
  }
}

/** How far the simulation is off from what was observed, before any lever is pulled. */
function errorOf(served: Omit<Served, 'error'>, log: readonly Observed[]): Served['error'] {
  const { result } = simulate(parseScenario({ ...scenarioOf(served), steps: served.machine.steps }), { files: { trace: { requests: served.requests } }, cost: affine(served.machine.steps, served.machine.provenance) })
  const tail = log.length < SMALL_SAMPLE ? 90 : 99
  const ttft = log.map((r) => r.observed.firstToken - r.arrival)
  const e2e = log.map((r) => r.observed.lastToken - r.arrival)
  const tpot = log.flatMap((r) => (r.outputTokens > 1 ? [(r.observed.lastToken - r.observed.firstToken) / (r.outputTokens - 1)] : []))
  const mean = (v: readonly number[]) => v.reduce((a, b) => a + b, 0) / v.length
  const off = (ours: number | undefined, theirs: number) => (ours === undefined || !(theirs > 0) ? NaN : ours / theirs - 1)
  return {
    mean_ttft: off(result.mean_ttft_ms, mean(ttft)),
    mean_tpot: tpot.length > 0 ? off(result.mean_tpot_ms, mean(tpot)) : NaN,
    mean_e2e: off(result.mean_e2el_ms, mean(e2e)),
    tail_ttft: off(tail === 90 ? result.p90_ttft_ms : result.p99_ttft_ms, percentile(ttft, tail)),
  }
}

function machineOf(name: string, provenance: Provenance, steps: AffineCosts, limits: { maxSequences: number; maxBatchedTokens: number; blocks: number }): Served['machine'] {
  return { label: name, provenance, steps: { kind: 'affine', ...steps }, limits: { sequences: limits.maxSequences, tokens: limits.maxBatchedTokens, blocks: limits.blocks } }
}

/** Finished requests of a Trace, as a log has them; `network`: there and back, ms. */
function logOf(trace: Trace): (Observed & { id: number; network: number })[] {
  const seen = new Map<number, { first?: number; last?: number; scheduled?: number; tokens: number; finished: boolean }>()
  for (const e of trace.events) {
    let s = seen.get(e.request)
    if (!s) seen.set(e.request, (s = { tokens: 0, finished: false }))
    if (e.kind === 'token') {
      s.first ??= e.t
      s.last = e.t
      s.tokens++
    } else if (e.kind === 'scheduled') s.scheduled ??= e.t
    else if (e.kind === 'finished') s.finished = true
  }
  return trace.requests.flatMap((r) => {
    const s = seen.get(r.id)
    if (!s?.finished || s.first === undefined || r.promptTokens < 1) return []
    const network = (r.network?.out ?? 0) + (r.network?.back ?? 0)
    return [{ id: r.id, network, arrival: r.arrival, inputTokens: r.promptTokens, outputTokens: s.tokens, observed: { scheduled: s.scheduled, firstToken: s.first, lastToken: s.last! } }]
  }).filter(isCredible).sort((a, b) => a.arrival - b.arrival)
}

function isCredible<R extends LoggedRequest>(r: R): r is R & Observed {
  const { observed: o } = r
  return o !== undefined && o.firstToken > r.arrival && o.lastToken >= o.firstToken && r.inputTokens >= 1 && r.outputTokens >= 1 && r.inputTokens <= LONGEST && r.outputTokens <= LONGEST
}

/**
 * The stretch of a log that is looked into: it begins where nobody was in the system, so that nobody unseen takes part in its
 * steps, and of all such stretches it is the one in which requests came fastest.
 */
function stretch(log: readonly Observed[]): Observed[] {
  const starts = [0]
  let until = -Infinity
  for (const [i, r] of log.entries()) {
    if (i > 0 && r.arrival > until) starts.push(i)
    until = Math.max(until, r.observed.lastToken)
  }
  let best: Observed[] = []
  let rate = -1
  // Among many thousands of starts a few hundred, evenly, are enough to find a busy one.
  const every = Math.max(1, Math.floor(starts.length / 400))
  for (let k = 0; k < starts.length; k += every) {
    const run: Observed[] = []
    let tokens = 0
    for (let i = starts[k]!; i < log.length && run.length < MOST_REQUESTS; i++) {
      if (tokens + log[i]!.outputTokens > MOST_TOKENS) break
      tokens += log[i]!.outputTokens
      run.push(log[i]!)
    }
    // Two of a kind: the longer stretch says more than the faster one.
    const worth = run.length < Math.min(MOST_REQUESTS, log.length) / 3 ? run.length * 1e-9 : rateOf(run)
    if (worth > rate && run.length > 0) [best, rate] = [run, worth]
  }
  const origin = best[0]?.arrival ?? 0
  return best.map((r) => ({ ...r, arrival: r.arrival - origin, observed: { scheduled: r.observed.scheduled === undefined ? undefined : r.observed.scheduled - origin, firstToken: r.observed.firstToken - origin, lastToken: r.observed.lastToken - origin } }))
}

/** Requests at work at once, at most: between first place in a step (or first token) and last token. */
function capOf(log: readonly Observed[]): number {
  return overlap(log.map((r) => [r.observed.scheduled ?? r.observed.firstToken, r.observed.lastToken])).most
}

/** Requests at work on average while others wait for a place; undefined where hardly anybody does. A client does not see who waits: for it, who has no token yet. */
function atWorkInLine(log: readonly Observed[]): number | undefined {
  const marks = log.flatMap((r) => {
    const place = r.observed.scheduled ?? r.observed.firstToken
    return [{ t: r.arrival, line: 1, work: 0 }, { t: place, line: -1, work: 1 }, { t: r.observed.lastToken, line: 0, work: -1 }]
  }).sort((a, b) => a.t - b.t)
  let [line, work, waited, worked] = [0, 0, 0, 0]
  for (const [i, m] of marks.entries()) {
    line += m.line
    work += m.work
    const ms = (marks[i + 1]?.t ?? m.t) - m.t
    if (line < 2) continue
    waited += ms
    worked += ms * work
  }
  const span = marks.at(-1)!.t - marks[0]!.t
  return waited > 0.2 * span ? Math.max(1, Math.round(worked / waited)) : undefined
}

function inFlight(log: readonly Observed[]): { mean: number; most: number } {
  return overlap(log.map((r) => [r.arrival, r.observed.lastToken]))
}

function overlap(stays: readonly [from: number, to: number][]): { mean: number; most: number } {
  const marks = stays.flatMap(([from, to]) => [{ t: from, by: 1 }, { t: to, by: -1 }]).sort((a, b) => a.t - b.t || a.by - b.by)
  let now = 0
  let most = 1
  for (const m of marks) most = Math.max(most, (now += m.by))
  const span = marks[marks.length - 1]!.t - marks[0]!.t
  return { mean: span > 0 ? stays.reduce((sum, [from, to]) => sum + to - from, 0) / span : 1, most }
}

/**
 * Time that a client's request spends outside the engine, ms: what the first token takes however short the prompt, of the requests
 * that met nobody else, less one step. 0 where too few were alone, or all prompts are alike and nothing tells it from prefill.
 */
function beforeEngine(log: readonly Observed[], stepMs: number): number {
  let until = -Infinity
  const alone: { x: number; y: number }[] = []
  for (const r of log) {
    if (r.arrival > until) alone.push({ x: r.inputTokens, y: r.observed.firstToken - r.arrival })
    until = Math.max(until, r.observed.lastToken)
  }
  if (alone.length < 5) return 0
  const mean = (of: (p: { x: number; y: number }) => number) => alone.reduce((sum, p) => sum + of(p), 0) / alone.length
  const [x, y] = [mean((p) => p.x), mean((p) => p.y)]
  const variance = mean((p) => (p.x - x) ** 2)
  if (Math.sqrt(variance) < 0.1 * x) return 0
  const slope = Math.max(0, mean((p) => (p.x - x) * (p.y - y)) / variance)
  const floor = Math.min(...alone.map((p) => p.y))
  return Math.max(0, Math.min(y - slope * x, floor) - stepMs)
}

function preempted(count: number): Sign[] {
  return count > 0 ? [{ what: 'preemptions', value: count, unit: '', speaksFor: 'memory' }] : []
}

/** Coefficient of variation of the gaps between arrivals: 1 for strangers, more for crowds. */
function burstiness(log: readonly LoggedRequest[]): Sign[] {
  if (log.length < 20) return []
  const gaps = spread(log.slice(1).map((r, i) => r.arrival - log[i]!.arrival))!
  return gaps.mean > 0 ? [{ what: 'burstiness', value: gaps.std / gaps.mean, unit: '', speaksFor: 'queue' }] : []
}

function rateOf(log: readonly LoggedRequest[]): number {
  const span = log.length > 1 ? log[log.length - 1]!.arrival - log[0]!.arrival : 0
  return span > 0 ? ((log.length - 1) / span) * 1000 : 0
}

const spanOf = (log: readonly Observed[]) => log.reduce((t, r) => Math.max(t, r.observed.lastToken), 0) - log[0]!.arrival

const bare = ({ arrival, inputTokens, outputTokens, prefix }: LoggedRequest): LoggedRequest => ({ arrival, inputTokens, outputTokens, prefix })

/** Steps as a fit takes them, evenly from the whole run. */
function stepSamples(trace: Trace): StepSample[] {
  const prompt = new Map(trace.requests.map((r) => [r.id, r.promptTokens]))
  const every = Math.max(1, Math.floor(trace.steps.length / MOST_STEPS))
  return trace.steps.filter((s, i) => i % every === 0 && s.duration > SHORTEST && s.role !== 'draft').map((s) => {
    const sample: StepSample = { decodes: 0, context: 0, prefill: 0, prefillContext: 0, ms: s.duration }
    for (const b of s.batch) {
      if (b.tokens === 1 && b.context >= (prompt.get(b.request) ?? 0)) {
        sample.decodes++
        sample.context += b.context
      } else {
        sample.prefill += b.tokens
        sample.prefillContext += b.tokens * (b.context + b.tokens / 2)
      }
    }
    return sample
  })
}

/** A few long steps weigh little among relative errors, and much in how long everything takes: all together are to take what they took. */
function ofTheSameLength(steps: AffineCosts, samples: readonly StepSample[]): AffineCosts {
  const sum = (of: (s: StepSample) => number) => samples.reduce((n, s) => n + of(s), 0)
  const factor = sum((s) => s.ms) / Math.max(1e-9, sum((s) => stepMs(steps, s)))
  return Object.fromEntries(Object.entries(steps).map(([k, v]) => [k, v * factor])) as unknown as AffineCosts
}

/** Of the base cost, what reading the weights takes by the Trace's own roofs. */
function weightsByRoofs(steps: AffineCosts, { held, roofs }: Trace, longPrompt: number): number {
  if (!held || !(held.weightBytes > 0)) return weightsMs(steps, longPrompt)
  const rate = (roofs as Roofs).read.at(-1)!.bytesPerSecond
  return Math.min(steps.base_ms, (held.weightBytes / rate) * 1000)
}

/** Shares in %, largest first. */
export function shares(a: Attribution): { bottleneck: Bottleneck; share: number }[] {
  const sum = total(a)
  return BOTTLENECKS.map((b) => ({ bottleneck: b, share: sum > 0 ? (100 * a[b]) / sum : 0 })).sort((x, y) => y.share - x.share)
}
