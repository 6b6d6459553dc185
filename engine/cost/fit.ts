import { replay, type Served } from '../serving/replay'
import type { SchedulerLimits } from '../serving/scheduler'
import type { LoggedRequest } from '../serving/trace-files'
import { percentile } from '../trace/metrics'
import { affine, RTX4090_LLAMA31_8B, type AffineCosts } from './affine'
import { nelderMead } from './nelder-mead'

export type FitOn = 'odd' | 'even' | 'all'

/** Relative errors of the fitted simulation against the log: 0.01 is 1 % too long. */
export interface FitError {
  mean_ttft: number
  mean_tpot: number
  mean_e2e: number
  p99_ttft: number
  p99_tpot: number
  p99_e2e: number
}

export interface Fit {
  steps: AffineCosts
  error: { all: FitError; others?: FitError }
  preemptions: number
}

export interface FitOptions {
  /** Where the search begins (default: the five numbers of an RTX 4090 with Llama-3.1-8B). */
  from?: AffineCosts
  /** Added to the loss, whose unit is a squared relative error: what is known of such costs before the log is read. */
  prior?: (costs: AffineCosts) => number
  /** Costs whose replay takes more steps than this are no candidates: a step of no length would be replayed for hours. */
  mostSteps?: number
  /** Times the search is begun where it stands (default 3). */
  rounds?: number
  /** Told how much of the search is done, 0 … 1. */
  onProgress?: (done: number) => void
}

/** A replay that went beyond the steps it was given. */
const TOO_MANY_STEPS = Symbol('too many steps')

const KEYS = ['base_ms', 'per_sequence_ms', 'per_context_token_ms', 'per_prefill_token_ms', 'per_prefill_token_context_ms'] as const

/** A simplex that has collapsed on the way is opened again where it stands. */
const ROUNDS = 3
const ITERATIONS = 60
/** Weight of the single requests' errors against the summaries'. */
const PER_REQUEST = 0.02

/**
 * Fits the five numbers of a step cost to a server's request log, through the scheduler: the numbers
 * that make its replay reproduce the log's first- and last-token times. `fitOn` chooses the requests
 * whose times count (all are replayed); the error is given on all and on those left out. Throws
 * RangeError when the log lacks what the server observed.
 */
export function fitLog(requests: readonly LoggedRequest[], limits: SchedulerLimits, fitOn: FitOn = 'all', { from = RTX4090_LLAMA31_8B, prior, mostSteps = Infinity, rounds = ROUNDS, onProgress }: FitOptions = {}): Fit {
  if (requests.some((r) => !r.observed)) throw new RangeError('the log does not say when tokens came; a fit needs first- and last-token times')
  const chosen = (i: number) => fitOn === 'all' || (i % 2 === 1) === (fitOn === 'odd')
  const provenance = { how: 'simulated', seed: 0, costs: { how: 'published', source: 'request log', conditions: `${requests.length} requests` } } as const
  const run = (x: readonly number[]) => {
    let steps = 0
    return replay(requests, affine(costs(x), provenance), limits, () => {
      if (++steps > mostSteps) throw TOO_MANY_STEPS
    })
  }

  const observed = summary(requests, requests.map((r) => r.observed!), chosen)
  const loss = (x: readonly number[]) => {
    if (x.some((v) => !(v >= 0))) return Infinity
    let served: Served[]
    try {
      served = run(x).served
    } catch (error) {
      if (error === TOO_MANY_STEPS) return Infinity
      throw error
    }
    // Squares: a sum of absolute values has creases in which a simplex gets stuck. Every request's times
    // count, so that the shape is right, and the summaries that will be quoted count more.
    let late = 0
    for (const [i, r] of requests.entries()) {
      if (!chosen(i)) continue
      const scale = 1 / (r.observed!.lastToken - r.arrival)
      late += ((served[i]!.firstToken - r.observed!.firstToken) * scale) ** 2 + ((served[i]!.lastToken - r.observed!.lastToken) * scale) ** 2
    }
    const count = requests.filter((_, i) => chosen(i)).length
    const errors = difference(summary(requests, served, chosen), observed)
    // A mean of hundreds is worth more than a p99 that two or three requests decide.
    const relative = Object.entries(errors).reduce((sum, [k, e]) => sum + e * e * (k.startsWith('mean') ? 16 : 1), 0)
    return (late / count) * PER_REQUEST + relative + (prior?.(costs(x)) ?? 0)
  }
  let best: readonly number[] = KEYS.map((k) => from[k])
  for (let round = 0; round < rounds; round++) {
    best = nelderMead(loss, best, ITERATIONS).x
    onProgress?.((round + 1) / rounds)
  }
  const { served, preemptions } = run(best)
  const error = (keep: (i: number) => boolean) => difference(summary(requests, served, keep), summary(requests, requests.map((r) => r.observed!), keep))
  return {
    steps: costs(best),
    error: { all: error(() => true), others: fitOn === 'all' ? undefined : error((i) => !chosen(i)) },
    preemptions,
  }
}

/** The error of any step cost against a log, without fitting. */
export function judge(requests: readonly LoggedRequest[], cost: Parameters<typeof replay>[1], limits: SchedulerLimits): FitError & { preemptions: number } {
  const { served, preemptions } = replay(requests, cost, limits)
  const all = () => true
  return { ...difference(summary(requests, served, all), summary(requests, requests.map((r) => r.observed!), all)), preemptions }
}

function costs(x: readonly number[]): AffineCosts {
  return Object.fromEntries(KEYS.map((k, i) => [k, x[i]!])) as unknown as AffineCosts
}

/** Means and p99 of TTFT, TPOT and E2E, ms, of the chosen requests. */
function summary(requests: readonly LoggedRequest[], times: readonly { firstToken: number; lastToken: number }[], keep: (i: number) => boolean): FitError {
  const ttft: number[] = []
  const tpot: number[] = []
  const e2e: number[] = []
  for (const [i, r] of requests.entries()) {
    if (!keep(i)) continue
    const { firstToken, lastToken } = times[i]!
    ttft.push(firstToken - r.arrival)
    e2e.push(lastToken - r.arrival)
    if (r.outputTokens > 1) tpot.push((lastToken - firstToken) / (r.outputTokens - 1))
  }
  const mean = (v: number[]) => v.reduce((a, b) => a + b, 0) / v.length
  return { mean_ttft: mean(ttft), mean_tpot: mean(tpot), mean_e2e: mean(e2e), p99_ttft: percentile(ttft, 99), p99_tpot: percentile(tpot, 99), p99_e2e: percentile(e2e, 99) }
}

function difference(ours: FitError, theirs: FitError): FitError {
  return Object.fromEntries(Object.keys(theirs).map((k) => [k, ours[k as keyof FitError] / theirs[k as keyof FitError] - 1])) as unknown as FitError
}
