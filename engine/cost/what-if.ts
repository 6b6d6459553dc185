import { parseScenario, ScenarioError, type ScenarioJson } from '../serving/scenario'
import { simulate, type SimulationResult } from '../serving/simulate'
import type { SchedulerLimits } from '../serving/scheduler'
import type { LoggedRequest } from '../serving/trace-files'
import { percentile } from '../trace/metrics'
import type { AffineCosts } from './affine'
import { fitLog, type FitError } from './fit'

/** What is changed of a server; what is left out stays as it was. */
export interface Change {
  /** Keys of a scenario: scheduler, replicas, router … */
  scenario?: ScenarioJson
  /** Model, against the one that was measured: half as large is 0.5. */
  modelSize?: number
  /** Hardware, against the one that was measured. */
  bandwidth?: number
  compute?: number
}

export type Figure = 'mean_ttft' | 'p99_ttft' | 'mean_tpot' | 'p99_tpot' | 'mean_e2e' | 'p99_e2e'

export const FIGURES: readonly Figure[] = ['mean_ttft', 'p99_ttft', 'mean_tpot', 'p99_tpot', 'mean_e2e', 'p99_e2e']

/** A figure of a server as it would be, ms, and between which values it lies if the fit is no better than it was seen to be. */
export interface Estimate {
  value: number
  low: number
  high: number
}

export interface WhatIf {
  steps: AffineCosts
  /** On requests that the fit did not see: simulated over observed, less 1. */
  error: FitError
  /** By how much the steps may be too long or too short, as a share. */
  stepError: number
  observed: Record<Figure, number>
  before: Record<Figure, Estimate>
  after: Record<Figure, Estimate>
  /** The changed server's whole result, at the fitted steps. */
  result: SimulationResult
  /** Requests of the log that the changed server would refuse. */
  refused: number
  /** Largest step, in sequences: of the run as it is simulated, and of the changed server. */
  largest: { before: number; after: number }
  /** A sentence where the changed server's steps are larger than any that the fit has seen: the band knows nothing of those. */
  extrapolates: string | null
}

/**
 * Fits a step cost to half of a run's requests, judges it on the other half, and serves the same requests again on a
 * server that is changed. The error goes into the band twice, on purpose: as steps that are all too long or too short
 * (which a queue near its limit multiplies), and as the share by which each figure was seen to be off. Throws RangeError
 * for a log without times, ScenarioError for a change that is none.
 */
export function whatIf(requests: readonly LoggedRequest[], limits: SchedulerLimits, scheduler: ScenarioJson['scheduler'], change: Change): WhatIf {
  const { steps, error } = fitLog(requests, limits, 'odd')
  const seen = error.others ?? error.all
  const stepError = Math.max(Math.abs(seen.mean_tpot), Math.abs(seen.mean_e2e))
  const serve = (change: Change, scale: number) => {
    const scenario = parseScenario({
      requests: requests.length, warmup: 0, arrivals: { process: 'trace', file: 'the run' },
      ...change.scenario, scheduler: { ...scheduler, ...change.scenario?.scheduler }, steps: { kind: 'affine', ...scaled(changed(steps, change), scale) },
    })
    let largest = 0
    const { result } = simulate(scenario, { files: { trace: { requests } }, onStep: (_replica, _start, _end, jobs) => void (largest = Math.max(largest, jobs.length)) })
    return { result, largest }
  }
  const estimate = (change: Change) => {
    const results = [1, 1 - stepError, 1 + stepError].map((scale) => serve(change, Math.max(0.01, scale)))
    const [{ result, largest }] = results as [(typeof results)[0]]
    return {
      result, largest,
      figures: Object.fromEntries(FIGURES.map((f): [Figure, Estimate] => {
        const values = results.map((r) => figure(r.result, f))
        const off = Math.abs(seen[f])
        return [f, { value: values[0]!, low: Math.min(...values) * (1 - Math.min(1, off)), high: Math.max(...values) * (1 + off) }]
      })) as Record<Figure, Estimate>,
    }
  }
  const before = estimate({})
  const after = estimate(change)
  if (after.result.completed === 0) throw new ScenarioError(`the changed server answers nobody: ${Object.keys(after.result.rejected_reasons).join('; ')}`)
  const largest = { before: before.largest, after: after.largest }
  const extrapolates = largest.after > Math.max(1.5 * largest.before, largest.before + 1)
    ? `the changed server puts up to ${largest.after} sequences into a step, the run it is fitted to had ${largest.before} at most: what a larger step takes was never seen, and no band covers it. Fit a run with as large steps`
    : null
  return { largest, extrapolates, steps, error: seen, stepError, observed: observedFigures(requests), before: before.figures, after: after.figures, result: after.result, refused: after.result.rejected }
}

/**
 * A step of another model or other hardware, from what its parts are made of: the base is reading weights, so it goes with
 * the model's size and against bandwidth; a context token is reading keys and values; prefill and the work of a sequence are
 * arithmetic. A model of another size is taken to have the same keys and values for a token.
 */
export function changed(c: AffineCosts, { modelSize = 1, bandwidth = 1, compute = 1 }: Change): AffineCosts {
  return {
    base_ms: (c.base_ms * modelSize) / bandwidth,
    per_sequence_ms: (c.per_sequence_ms * modelSize) / compute,
    per_context_token_ms: c.per_context_token_ms / bandwidth,
    per_prefill_token_ms: (c.per_prefill_token_ms * modelSize) / compute,
    per_prefill_token_context_ms: c.per_prefill_token_context_ms / compute,
  }
}

function scaled(c: AffineCosts, by: number): AffineCosts {
  return Object.fromEntries(Object.entries(c).map(([k, v]) => [k, (v as number) * by])) as unknown as AffineCosts
}

function figure(r: SimulationResult, f: Figure): number {
  const [which, of] = f.split('_') as ['mean' | 'p99', 'ttft' | 'tpot' | 'e2e']
  return r[`${of}_ms`]?.[which] ?? 0
}

function observedFigures(requests: readonly LoggedRequest[]): Record<Figure, number> {
  const ttft = requests.map((r) => r.observed!.firstToken - r.arrival)
  const e2e = requests.map((r) => r.observed!.lastToken - r.arrival)
  const tpot = requests.flatMap((r) => (r.outputTokens > 1 ? [(r.observed!.lastToken - r.observed!.firstToken) / (r.outputTokens - 1)] : []))
  const mean = (v: number[]) => v.reduce((a, b) => a + b, 0) / Math.max(1, v.length)
  const p99 = (v: number[]) => (v.length ? percentile(v, 99) : 0)
  return { mean_ttft: mean(ttft), p99_ttft: p99(ttft), mean_tpot: mean(tpot), p99_tpot: p99(tpot), mean_e2e: mean(e2e), p99_e2e: p99(e2e) }
}
