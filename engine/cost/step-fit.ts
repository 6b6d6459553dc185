import type { AffineCosts } from './affine'
import { leastSquares } from './least-squares'

/** One shape of step, and what it took. */
export interface StepSample {
  /** Decoding sequences, and Σ of their contexts. */
  decodes: number
  context: number
  /** Prefill tokens, and Σ chunk × context (as its tokens see it on average). */
  prefill: number
  prefillContext: number
  ms: number
  /** Kept from the fit, to judge it by. */
  held?: boolean
}

/** Five numbers fitted to measured steps, with what they were fitted to. */
export interface StepFit {
  steps: AffineCosts
  /** Relative, over shapes that the fit did not see: fitted over measured, less 1. */
  error: FitErrors
  samples: StepSample[]
}

export interface FitErrors {
  /** Mean: too long (+) or too short (−) on the whole. */
  bias: number
  /** Mean of the absolute errors, and the largest. */
  mean: number
  worst: number
}

/**
 * Least squares of relative errors: t = a + b·n + c·S + d·p + e·Σ(chunk × context), none negative. Samples
 * marked `held` are judged, not fitted. Throws RangeError where there is nothing to fit.
 */
export function fitSteps(samples: readonly StepSample[]): StepFit {
  const fitted = samples.filter((s) => !s.held)
  const [base, sequence, context, prefill, prefillContext] = leastSquares(
    fitted.map((s) => [1, s.decodes, s.context, s.prefill, s.prefillContext]),
    fitted.map((s) => s.ms),
    fitted.map((s) => 1 / s.ms ** 2),
  ) as [number, number, number, number, number]
  const steps: AffineCosts = {
    base_ms: base, per_sequence_ms: sequence, per_context_token_ms: context,
    per_prefill_token_ms: prefill, per_prefill_token_context_ms: prefillContext,
  }
  return { steps, error: errors(steps, samples.some((s) => s.held) ? samples.filter((s) => s.held) : fitted), samples: [...samples] }
}

/** How far five numbers are off on measured steps. */
export function errors(steps: AffineCosts, samples: readonly StepSample[]): FitErrors {
  const relative = samples.map((s) => stepMs(steps, s) / s.ms - 1)
  const mean = (v: readonly number[]) => v.reduce((a, b) => a + b, 0) / v.length
  return { bias: mean(relative), mean: mean(relative.map(Math.abs)), worst: Math.max(...relative.map(Math.abs)) }
}

export function stepMs(c: AffineCosts, s: Omit<StepSample, 'ms'>): number {
  return c.base_ms + c.per_sequence_ms * s.decodes + c.per_context_token_ms * s.context + c.per_prefill_token_ms * s.prefill + c.per_prefill_token_context_ms * s.prefillContext
}
