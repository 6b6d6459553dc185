import { Random } from './random'
import type { LoggedRequest } from './trace-files'

export interface LengthSpec {
  dist: 'fixed' | 'exponential' | 'lognormal' | 'uniform' | 'empirical'
  /** tokens */
  mean: number
  cv: number
  min: number
  /** Longer ones are cut to this. */
  max: number
  values: readonly number[]
}

/**
 * Draws whole numbers of tokens, at least 1. The exponential is rounded up to the next whole number such
 * that the mean stays (a geometric distribution); the others are rounded to the nearest.
 */
export function lengths(spec: LengthSpec, random: Random, logged?: readonly number[]): () => number {
  const clip = (x: number) => Math.min(spec.max, Math.max(spec.min, x))
  switch (spec.dist) {
    case 'fixed': return () => clip(Math.round(spec.mean))
    case 'exponential': {
      if (spec.mean <= 1) return () => clip(1)
      // Geometric on 1, 2, …: ⌈X⌉ of an exponential with P(X > 1) = 1 − 1/mean.
      const scale = -1 / Math.log(1 - 1 / spec.mean)
      return () => clip(Math.ceil(random.exponential() * scale))
    }
    case 'lognormal': return () => clip(Math.round(spec.mean * random.lognormal(spec.cv)))
    case 'uniform': {
      // Half as wide as the mean times the cv asks for, or from 0 to twice the mean.
      const half = spec.mean * Math.min(1, spec.cv * Math.sqrt(3))
      return () => clip(Math.round(spec.mean + (2 * random.uniform() - 1) * half))
    }
    case 'empirical': {
      const values = spec.values.length > 0 ? spec.values : (logged ?? [])
      if (values.length === 0) throw new RangeError('an empirical distribution needs values, or arrivals from a trace')
      return () => clip(values[random.below(values.length)]!)
    }
  }
}

/** Service times of mean 1. */
export function serviceTimes(kind: 'exponential' | 'deterministic' | 'hyperexponential', cv: number, random: Random): () => number {
  switch (kind) {
    case 'exponential': return () => random.exponential()
    case 'deterministic': return () => 1
    case 'hyperexponential': return () => random.hyperexponential(cv)
  }
}

/** The lengths of a trace, for empirical distributions. */
export function loggedLengths(requests: readonly LoggedRequest[], which: 'inputTokens' | 'outputTokens'): number[] {
  return requests.map((r) => Math.max(1, r[which]))
}
