import { define, integer, power2, toggle, type Values } from '$components/controls/params'
import { gammaArrivals } from '$components/frame/arrivals'
import type { Context, Reading } from '$components/frame/experiment'
import { follow } from '$components/frame/follow'
import { perRequest } from '$engine/trace/metrics'
import type { Trace } from '$engine/trace/trace'
import type { Machine, ScenarioJson, Simulated, Workload } from '$engine/worker/protocol'

export const params = define({
  long_share: integer({ from: 0, to: 30, default: 5, label: 'Long requests', unit: '%', tone: 'queue', hint: 'Of a hundred requests so many have the long prompt.' }),
  long_length: power2({ from: 512, to: 8192, default: 4096, label: 'Their prompt', unit: 'tok', tone: 'prefill', hint: 'Tokens of a long prompt; a short one has 128.' }),
  chunk: power2({ from: 64, to: 4096, default: 512, label: 'Chunk', unit: 'tok', tone: 'prefill', hint: 'Tokens that a step computes at most: longer prompts are cut.' }),
  lane: toggle({ default: false, label: 'Own lane', tone: 'queue', hint: 'One of the two replicas is kept for the long requests.' }),
})

/** Both ways to share the replicas are always compared. */
export const redrawn = ['lane'] as const

export const SHARES = [0, 1, 2, 3, 5, 7, 10, 15, 20, 25, 30]
export const CHUNKS = [64, 128, 256, 512, 1024, 2048, 4096]

const MODEL = 'tales-5m'
export const REPLICAS = 2
const PLACES = 16
/** KV blocks of a replica: enough for all places with short requests, or for one of the longest prompts and some. */
export const BLOCKS = 640
export const SHORT = 128
export const OUTPUT = 32
/** Share of what two replicas sustain when one request in twenty has 4,096 tokens: the rate stays, whatever is set. */
const LOAD = 0.3
const USUAL = { share: 0.05, tokens: 4096 }
const COMPARED = 10_000

/** Short requests of the live run; the long one comes behind so many of them. */
export const FEW = 16
const BEFORE = 4
/** So many of them come while the long prompt is computed, but never further apart than this, ms. */
const MEANWHILE = 6
const FURTHEST_MS = 250

/** Two replicas that serve everybody, or one of them the long ones. */
export interface Compared {
  shared: Simulated
  lane: Simulated
}

/** The same short requests without a long one and with one, as they are served: each grows. */
export interface Pair {
  alone: Trace
  among?: Trace
  complete: boolean
}

export interface LongReading extends Reading {
  /** As set, and the same arrivals with no long one among them. */
  set: Compared
  without: Compared
  /** Ascending in share, %. */
  shares: (Compared & { share: number })[]
  /** One long request among the short ones in virtual time, ascending in chunk. */
  sweep: { chunk: number; trace: Trace }[]
  /** The same on two replicas, the long one by itself. */
  apart: Trace
  /** Served as they come on the machine that is looked at. */
  pair?: Pair
}

/**
 * Short requests and a few long ones on two replicas: what becomes of the short ones' tail when they share the road
 * and when the long ones have a lane, simulated; and one long request among sixteen short ones, served live.
 */
export async function* run(p: Values<typeof params>, { engine, signal, seed, lens = 'here' }: Context): AsyncGenerator<LongReading> {
  const machine = await engine.machine(MODEL, { signal })
  const usual = await engine.curve({ machine, vary: 'load', values: [0.5], within: 1, scenario: { seed, ...scenario(USUAL.share, USUAL.tokens, 512, false) } }, { signal })
  const rate = LOAD * usual.capacity!
  const simulate = (share: number, lane: boolean) => engine.simulate({
    machine, scenario: { seed, requests: COMPARED, warmup: COMPARED / 5, arrivals: { rate }, ...scenario(share / 100, p.long_length, p.chunk, lane) },
  }, { signal })
  const compare = async (share: number): Promise<Compared> => ({ shared: await simulate(share, false), lane: await simulate(share, true) })

  // A model that holds fewer positions is asked for what it holds.
  const longest = 'config' in machine.model ? machine.model.config.maxPositions - OUTPUT : Infinity
  const length = Math.min(p.long_length, longest)
  const wide: Machine = { ...machine, limits: { ...machine.limits, tokens: Math.max(machine.limits.tokens, params.chunk.to) } }
  const virtually = (workload: Workload) => engine.serve(workload, { signal, on: wide })
  const gap = await gapMs(length, virtually)
  const set = await compare(p.long_share)
  const without = await compare(0)
  const trace = await virtually(among(length, p.chunk, gap, seed))
  const apart = side(await virtually(few(p.chunk, gap, seed)), await virtually(long(length, p.chunk, gap, seed)))
  const reading: Omit<LongReading, 'complete'> = { trace, set, without, shares: [], sweep: [{ chunk: p.chunk, trace }], apart }
  yield { ...reading, complete: false }

  for (const share of [...new Set([...SHARES, p.long_share])].sort((a, b) => a - b)) {
    const known = share === p.long_share ? set : share === 0 ? without : await compare(share)
    reading.shares = [...reading.shares, { share, ...known }]
  }
  yield { ...reading, complete: false }

  for (const chunk of CHUNKS.filter((c) => c !== p.chunk)) reading.sweep = [...reading.sweep, { chunk, trace: await virtually(among(length, chunk, gap, seed)) }].sort((a, b) => a.chunk - b.chunk)
  yield { ...reading, complete: false }

  if (lens === 'here') {
    let alone: Trace | undefined
    for await (const { trace } of follow(engine, few(p.chunk, gap, seed), signal)) yield { ...reading, pair: { alone: (alone = trace), complete: false }, complete: false }
    for await (const { trace, complete } of follow(engine, among(length, p.chunk, gap, seed), signal)) yield { ...reading, pair: { alone: alone!, among: trace, complete }, complete }
    return
  }
  // In virtual time the second has been served already.
  yield { ...reading, pair: { alone: await virtually(few(p.chunk, gap, seed)), among: trace, complete: true }, complete: true }
}

function scenario(share: number, tokens: number, chunk: number, lane: boolean): ScenarioJson {
  return {
    input: { dist: 'lognormal', mean: SHORT, cv: 0.5, min: 16, max: 511 },
    output: { dist: 'lognormal', mean: OUTPUT, cv: 0.5, min: 2, max: 256 },
    long_requests: { share, tokens },
    replicas: REPLICAS, router: 'shortest-queue',
    scheduler: { max_sequences: PLACES, max_batched_tokens: chunk, kv_blocks: BLOCKS, prefix_cache: false, long_request_pool: lane ? { threshold_tokens: 511, replicas: 1 } : null },
  }
}

/** Gaps such that a few short requests come while the long prompt is computed, but not so close that they crowd by themselves. */
async function gapMs(longLength: number, serve: (workload: Workload) => Promise<Trace>): Promise<number> {
  const alone = async (prompt: number) => perRequest(await serve({ model: MODEL, maxBatchedTokens: 512, requests: [{ prompt, maxTokens: 1, ignoreEos: true }] }))[0]!.ttft
  return Math.min(FURTHEST_MS, Math.max(2 * (await alone(SHORT)), (await alone(longLength)) / MEANWHILE))
}

/** Short requests of one kind, one by one as chance has it. */
function few(chunk: number, gap: number, seed: number): Workload {
  const requests = gammaArrivals(FEW, 1000 / gap, 1, seed).map((arrival) => ({ arrival, prompt: SHORT, maxTokens: OUTPUT, ignoreEos: true }))
  return { model: MODEL, maxSequences: PLACES, maxBatchedTokens: chunk, kvBlocks: BLOCKS, requests }
}

/** The long one by itself, when it comes among them. */
function long(longLength: number, chunk: number, gap: number, seed: number): Workload {
  const workload = few(chunk, gap, seed)
  const arrival = workload.requests[BEFORE - 1]!.arrival! + gap / 10
  return { ...workload, requests: [{ arrival, prompt: longLength, maxTokens: OUTPUT, ignoreEos: true }] }
}

/** Both: the long one is the last of the list, in line behind the first few. */
function among(longLength: number, chunk: number, gap: number, seed: number): Workload {
  const workload = few(chunk, gap, seed)
  return { ...workload, requests: [...workload.requests, ...long(longLength, chunk, gap, seed).requests] }
}

/** Two replicas that know nothing of each other, as one Trace; requests of the second are numbered on. */
function side(first: Trace, second: Trace): Trace {
  const from = first.requests.length
  const events = [...first.events.map((e) => ({ ...e, replica: 0 })), ...second.events.map((e) => ({ ...e, request: e.request + from, replica: 1 }))]
  const steps = [...first.steps.map((s) => ({ ...s, replica: 0 })), ...second.steps.map((s) => ({ ...s, replica: 1, batch: s.batch.map((b) => ({ ...b, request: b.request + from })) }))]
  return {
    ...first,
    requests: [...first.requests, ...second.requests.map((r) => ({ ...r, id: r.id + from }))],
    events: events.sort((a, b) => a.t - b.t), steps: steps.sort((a, b) => a.start - b.start),
  }
}
