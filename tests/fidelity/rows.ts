/**
 * REFERENCE's queueing checks: closed forms that know nothing of the simulator. Mean service 1 s; the
 * value is a mean wait or sojourn in services. `customers`: what ±5 % at 95 % asks for.
 */
export interface QueueingRow {
  name: string
  scenario: Record<string, unknown>
  /** Which figure of the result, in ms. */
  figure: 'wait' | 'sojourn' | 'sojourn-p99'
  /** Seconds. */
  expected: number
  customers: number
  /** Requests of the short run in npm test (default 40,000). */
  short?: number
  /** Relative, where the closed form itself is a limit or an approximation. */
  tolerance?: number
}

const service = (kind: string, extra: object = {}) => ({ kind, mean_ms: 1000, ...extra })
/** Customers for ±5 % of M/M/1's mean number at loads of .8 and .9 (REFERENCE §3). */
const AT_80 = 138_000
const AT_90 = 584_000

export const QUEUEING: readonly QueueingRow[] = [
  { name: 'M/M/1, ρ = .8, mean wait', scenario: { arrivals: { rate: 0.8 }, service: service('exponential') }, figure: 'wait', expected: 4, customers: AT_80 },
  { name: 'M/M/1, ρ = .8, sojourn p99', scenario: { arrivals: { rate: 0.8 }, service: service('exponential') }, figure: 'sojourn-p99', expected: Math.log(100) / 0.2, customers: AT_80 },
  { name: 'M/D/1, ρ = .8, mean wait', scenario: { arrivals: { rate: 0.8 }, service: service('deterministic') }, figure: 'wait', expected: 2, customers: AT_80 },
  { name: 'M/G/1, cs² = 4, ρ = .8, mean wait', scenario: { arrivals: { rate: 0.8 }, service: service('hyperexponential', { cv: 2 }) }, figure: 'wait', expected: 10, customers: 4 * AT_80 },
  { name: 'M/M/4, ρ = .8, mean wait', scenario: { arrivals: { rate: 3.2 }, service: service('exponential'), replicas: 4 }, figure: 'wait', expected: 0.74554, customers: 4 * AT_80 },
  { name: 'M/M/8, ρ = .9, mean wait', scenario: { arrivals: { rate: 7.2 }, service: service('exponential'), replicas: 8 }, figure: 'wait', expected: 0.87692, customers: 4 * AT_90 },
  { name: 'M/M/1-PS, ρ = .8, mean sojourn', scenario: { arrivals: { rate: 0.8 }, service: service('exponential', { discipline: 'processor-sharing' }) }, figure: 'sojourn', expected: 5, customers: AT_80 },
  { name: 'M/H2/1-PS, cs² = 4, ρ = .8, mean sojourn', scenario: { arrivals: { rate: 0.8 }, service: service('hyperexponential', { cv: 2, discipline: 'processor-sharing' }) }, figure: 'sojourn', expected: 5, customers: 2 * AT_80 },
  { name: 'Gamma/M/1, ca² = 4, ρ = .8, mean wait', scenario: { arrivals: { process: 'gamma', rate: 0.8, cv: 2 }, service: service('exponential') }, figure: 'wait', expected: 10.955, customers: 4 * AT_80 },
  { name: 'power of two, 200 servers, ρ = .9, mean sojourn', scenario: { arrivals: { rate: 180 }, service: service('exponential'), replicas: 200, router: 'power-of-two' }, figure: 'sojourn', expected: 2.614, customers: AT_90, tolerance: 0.03 },
  { name: 'random, 10 servers, ρ = .9, mean sojourn', scenario: { warmup: 20_000, arrivals: { rate: 9 }, service: service('exponential'), replicas: 10, router: 'random' }, figure: 'sojourn', expected: 10, customers: 4 * AT_90, short: 400_000 },
  ...([[5, 2.2444], [10, 2.525], [20, 3.3667], [30, 5.05]] as const).map(([rate, expected]): QueueingRow => ({
    name: `decode only, λ = ${rate}/s, mean E2E`,
    scenario: {
      arrivals: { rate }, input: { mean: 1 }, output: { dist: 'exponential', mean: 200 },
      // The prompt's one token costs what a decoded one does: every request is its output tokens.
      steps: { kind: 'affine', base_ms: 10, per_sequence_ms: 0.1, per_prefill_token_ms: 0.1 },
      scheduler: { max_sequences: 100_000, max_batched_tokens: 1_000_000 },
    },
    figure: 'sojourn', expected, customers: 40_000,
  })),
]
