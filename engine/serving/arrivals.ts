import type { Random } from './random'

export interface ArrivalSpec {
  process: 'poisson' | 'gamma' | 'mmpp' | 'deterministic' | 'trace' | 'closed'
  /** req/s, of the first state for mmpp. */
  rate: number
  /** Coefficient of variation of the gaps (gamma). */
  cv: number
  /** Rates of the states, req/s, and mean time in a state, ms (mmpp). */
  rates: readonly number[]
  dwell_ms: number
  /** Factors of the rate, one per period, again and again: load over time. */
  profile: readonly number[]
  profile_period_ms: number
}

/** Times of arrival, ms, one after another. */
export type Arrivals = () => number

/** Periods without any load that are passed over before the search for a request is given up. */
const MOST_EMPTY = 1_000_000

/**
 * Open arrivals: nobody waits for an answer before sending. `factor`: what the rate is multiplied by in
 * each period. Throws RangeError when no period has any load.
 */
export function openArrivals(spec: ArrivalSpec, random: Random, factor?: (period: number) => number): Arrivals {
  const mean = 1000 / spec.rate
  const steady = gaps(spec, mean, random)
  if (!factor) return steady
  // Load over time: unit time passes as fast as the factor says (exact for Poisson, and keeps a gamma's cv).
  const { profile_period_ms: period } = spec
  let t = 0
  let last = 0
  return () => {
    let left = steady() - last
    last += left
    for (let empty = 0; empty < MOST_EMPTY; ) {
      const index = Math.floor(t / period)
      const f = factor(index)
      const end = (index + 1) * period
      if (f > 0 && left <= (end - t) * f) return (t += left / f)
      left -= (end - t) * f
      // A period of no length (a rounding of t) must not stop time.
      t = end > t ? end : t + period
      empty = f > 0 ? 0 : empty + 1
    }
    throw new RangeError('arrivals.profile and the profiles of the regions leave no load at any time')
  }
}

function gaps(spec: ArrivalSpec, mean: number, random: Random): Arrivals {
  let t = 0
  switch (spec.process) {
    case 'poisson': return () => (t += mean * random.exponential())
    case 'gamma': return () => (t += mean * random.gamma(spec.cv))
    case 'deterministic': {
      let i = 0
      return () => ++i * mean // one product, no drift
    }
    case 'mmpp': {
      const { rates, dwell_ms: dwell } = spec
      let state = 0
      let until = dwell * random.exponential()
      return () => {
        for (;;) {
          const gap = rates[state]! > 0 ? (1000 / rates[state]!) * random.exponential() : Infinity
          if (t + gap <= until) return (t += gap)
          // Memoryless: what is left of the gap is drawn anew in the next state.
          t = until
          state = (state + 1) % rates.length
          until = t + dwell * random.exponential()
        }
      }
    }
    case 'trace':
    case 'closed': throw new RangeError(`${spec.process} arrivals have no gaps to draw`)
  }
}
