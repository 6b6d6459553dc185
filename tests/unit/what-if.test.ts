import { describe, expect, test } from 'vitest'
import { affine, RTX4090_LLAMA31_8B, type AffineCosts } from '$engine/cost/affine'
import { changed, FIGURES, whatIf } from '$engine/cost/what-if'
import { Random } from '$engine/serving/random'
import { replay } from '$engine/serving/replay'
import type { LoggedRequest } from '$engine/serving/trace-files'

const LIMITS = { maxSequences: 4, maxBatchedTokens: 512, blocks: 4096 }
const SCHEDULER = { max_sequences: 4, max_batched_tokens: 512, kv_blocks: 4096 } as const
const COSTS: AffineCosts = { ...RTX4090_LLAMA31_8B, base_ms: 12, per_prefill_token_ms: 0.06 }

/** A log whose times are those of a server with known steps, a little noise on each. */
function logOf(costs: AffineCosts, limits: typeof LIMITS, noise = 0): LoggedRequest[] {
  const random = new Random(5)
  let at = 0
  const requests = Array.from({ length: 80 }, (): LoggedRequest => ({ arrival: (at += 180 * random.exponential()), inputTokens: 50 + random.below(300), outputTokens: 5 + random.below(90) }))
  const { served } = replay(requests, affine(costs, { how: 'modelled', hardware: 'test', model: 'test' }), limits)
  return requests.map((r, i) => {
    const late = 1 + noise * random.normal()
    return { ...r, observed: { firstToken: r.arrival + (served[i]!.firstToken - r.arrival) * late, lastToken: r.arrival + (served[i]!.lastToken - r.arrival) * late } }
  })
}

describe('what if', () => {
  const log = logOf(COSTS, LIMITS)

  test('the server as it was is reproduced, and a change is what a server so changed does', () => {
    const wider = { ...LIMITS, maxSequences: 32 }
    const result = whatIf(log, LIMITS, SCHEDULER, { scenario: { scheduler: { max_sequences: 32 } } })
    // The truth: the same requests on a server with the real steps and the changed limit.
    const truth = logOf(COSTS, wider)
    const mean = (of: LoggedRequest[]) => of.reduce((n, r) => n + r.observed!.firstToken - r.arrival, 0) / of.length
    expect(result.before.mean_ttft.value / mean(log)).toBeCloseTo(1, 1)
    expect(result.after.mean_ttft.value / mean(truth)).toBeCloseTo(1, 1)
    expect(mean(truth)).toBeLessThan(0.5 * mean(log)) // the change matters
    expect(result.observed.mean_ttft).toBeCloseTo(mean(log), 6)
  })

  test('a band holds its value, and a worse fit makes it wider', () => {
    const good = whatIf(log, LIMITS, SCHEDULER, { scenario: { replicas: 2, router: 'shortest-queue' } })
    const bad = whatIf(logOf(COSTS, LIMITS, 0.3), LIMITS, SCHEDULER, { scenario: { replicas: 2, router: 'shortest-queue' } })
    for (const r of [good, bad]) for (const f of FIGURES) {
      expect(r.after[f].low).toBeLessThanOrEqual(r.after[f].value)
      expect(r.after[f].high).toBeGreaterThanOrEqual(r.after[f].value)
    }
    const width = (r: typeof good) => (r.after.mean_e2e.high - r.after.mean_e2e.low) / r.after.mean_e2e.value
    expect(width(bad)).toBeGreaterThan(width(good))
  })

  test('other hardware and other models move the parts that are made of them', () => {
    expect(changed(COSTS, {})).toEqual(COSTS)
    const twice = changed(COSTS, { bandwidth: 2 })
    expect(twice.base_ms).toBe(COSTS.base_ms / 2)
    expect(twice.per_prefill_token_ms).toBe(COSTS.per_prefill_token_ms)
    expect(changed(COSTS, { compute: 4 }).per_prefill_token_ms).toBe(COSTS.per_prefill_token_ms / 4)
    expect(changed(COSTS, { modelSize: 0.5 })).toMatchObject({ base_ms: COSTS.base_ms / 2, per_prefill_token_ms: COSTS.per_prefill_token_ms / 2, per_context_token_ms: COSTS.per_context_token_ms })
    const faster = whatIf(log, LIMITS, SCHEDULER, { bandwidth: 2 })
    expect(faster.after.mean_tpot.value).toBeLessThan(0.7 * faster.before.mean_tpot.value)
  })

  test('steps larger than any that the fit has seen are named: one at a time says nothing about eight', () => {
    const one = { ...LIMITS, maxSequences: 1 }
    const narrow = logOf(COSTS, one)
    const wide = whatIf(narrow, one, { ...SCHEDULER, max_sequences: 1 }, { scenario: { scheduler: { max_sequences: 8 } } })
    expect(wide.largest.before).toBe(1)
    expect(wide.extrapolates).toContain('had 1 at most')
    expect(whatIf(log, LIMITS, SCHEDULER, { scenario: { scheduler: { max_sequences: 1 } } }).extrapolates).toBeNull()
  })

  test('a server that would answer nobody is an error in words', () => {
    expect(() => whatIf(log, LIMITS, SCHEDULER, { scenario: { scheduler: { kv_blocks: 1 } } })).toThrow(/answers nobody: /)
  })
})
