import { spawnSync } from 'node:child_process'
import { describe, expect, test } from 'vitest'
import { hardware } from '$engine/cost/hardware'
import { roofline } from '$engine/cost/roofline'
import { judge, ratioOf, ROWS, type Entry } from '$engine/measure/claims/claim'
import { claims } from '$engine/measure/claims/claims'
import { batching, reserving, waste } from '$engine/measure/claims/memory'
import { A100_2023, batchMs, kvTokens, prefillMs, speculativeSpeedUp, steadyState } from '$engine/measure/claims/roofs'
import { capacity, loadedTpot, oneSharedPrefix, pagedOverReserved, prefixGain } from '$engine/measure/claims/servers'
import { acceptanceFor, speedUp, tokensPerIteration } from '$engine/measure/claims/speculation'
import { replay } from '$engine/serving/replay'

const ledger = claims()
const of = (id: string) => {
  const found = ledger.find((c) => c.id === id)
  if (!found) throw new Error(`no claim ${id}`)
  return found
}
const number = (id: string) => of(id).ours as number

describe('the ledger', () => {
  test('has every row of the published claims, and no id twice', () => {
    expect(new Set(ledger.map((c) => c.row))).toEqual(new Set([
      'databricks-batch', 'databricks-tensor-parallel', 'anyscale-batching', 'paged-attention', 'chunked-prefill', 'distserve', 'layerkv', 'radix-attention',
      'cache-aware-routing', 'speculative-decoding', 'latency-metrics', 'mlperf-llama-2-70b', 'quantization', 'prompt-cache', 'rag-chunks', 'voice-budget', 'human-pace',
    ]))
    expect(ROWS.length).toBe(17)
    expect(new Set(ledger.map((c) => c.id)).size).toBe(ledger.length)
  })

  test('judges each number by its own tolerance, and explains what it does not reproduce', () => {
    for (const c of ledger) {
      expect(c.conditions.length, c.id).toBeGreaterThan(5)
      expect(c.source.length, c.id).toBeGreaterThan(2)
      if (c.verdict === 'not reproduced yet') {
        expect([c.ours, c.ratio], c.id).toEqual([undefined, undefined])
        expect(c.why, c.id).toMatch(/^needs /)
        continue
      }
      expect([c.ours].flat().every((v) => Number.isFinite(v)), c.id).toBe(true)
      expect(Math.abs(c.ratio! - 1) <= c.tolerance, c.id).toBe(c.verdict === 'reproduced')
      expect(c.tolerance, c.id).toBeLessThanOrEqual(0.25)
      if (c.verdict === 'missed') expect(c.why!.length, c.id).toBeGreaterThan(20)
    }
    expect(ledger.some((c) => c.verdict === 'missed')).toBe(true)
  })

  test('comes out the same each time', () => expect(claims()).toEqual(ledger))
})

describe('a claim', () => {
  const entry: Entry = { id: 'voice-budget/x', claim: 'x', conditions: 'any', source: 'test', unit: 'ms', published: 10, method: 'closed formula', ours: 11, tolerance: 0.1 }
  test('is compared with a number or a range', () => {
    expect(ratioOf(3, 4)).toBe(0.75)
    expect(ratioOf(3, [2, 4])).toBe(1)
    expect(ratioOf(1, [2, 4])).toBe(0.5)
    expect(ratioOf(8, [2, 4])).toBe(2)
    expect(ratioOf([1, 5], [2, 4])).toBe(0.5)
    expect(ratioOf([2, 6], 3)).toBe(2)
  })
  test('is not missed without a reason, nor of a row that does not exist', () => {
    expect(judge({ ...entry, ours: 10.9 }).verdict).toBe('reproduced')
    expect(() => judge({ ...entry, ours: 12 })).toThrow('nothing says why')
    expect(judge({ ...entry, ours: 12, whyMissed: 'because' })).toMatchObject({ verdict: 'missed', why: 'because', ratio: 1.2 })
    expect(() => judge({ ...entry, id: 'voice/x' })).toThrow('none of the rows')
  })
})

describe('Databricks, MPT-7B on one A100-40', () => {
  // Everything by hand: matrices of one layer, the tied unembedding, KV of 32 layers.
  const layers = 32 * (4 * 4096 ** 2 + 2 * 4096 * 16384)
  const unembed = 4096 * 50432
  const peak = 312e12 * 0.52
  const bandwidth = 1.555e12 * 0.56
  const kv = 524288
  const ms = (batch: number) => {
    const prefill = Math.max((2 * layers * 512 + 2 * unembed + 4 * 32 * 4096 * 512 * 256) / peak, ((layers + unembed) * 2 + kv * 768) / bandwidth) * 1000 + 1
    let total = batch * prefill
    for (let context = 512; context < 575; context++) {
      const flops = 2 * (layers + unembed) * batch + 4 * 32 * 4096 * batch * context
      const bytes = (layers + unembed) * 2 + kv * batch * (context + 1)
      total += Math.max(flops / peak, bytes / bandwidth) * 1000 + 1
    }
    return total
  }
  test.each([[1, 0.9], [4, 3.2], [8, 5.3], [16, 8.0], [32, 10.5], [64, 12.5]])('batch %d: %d requests per second', (batch, published) => {
    const ours = number(`databricks-batch/requests-at-${batch}`)
    expect(ours / ((1000 * batch) / ms(batch))).toBeCloseTo(1, 3)
    expect(Math.abs(ours / published - 1)).toBeLessThan(0.05)
  })
  test('14 times the throughput for 4.6 times the latency', () => {
    expect(number('databricks-batch/throughput') / ((64 * ms(1)) / ms(64))).toBeCloseTo(1, 3)
    expect(number('databricks-batch/latency') / (ms(64) / ms(1))).toBeCloseTo(1, 3)
    expect(number('databricks-batch/throughput') * number('databricks-batch/latency')).toBeCloseTo(64, 6)
  })
})

describe('Anyscale, OPT-13B on one A100-40', () => {
  const cost = roofline({ ...A100_2023, model: 'opt-13b' })
  const limits = { maxBatchedTokens: 8100, blocks: 100_000 }
  const lengths = Array.from({ length: 200 }, (_, i) => 1 + ((i * 37) % 300))
  const requests = lengths.map((outputTokens) => ({ arrival: 0, inputTokens: 512, outputTokens }))

  test('reserving the worst case is the scheduler with so many places', () => {
    const { served } = replay(requests, cost, { ...limits, maxSequences: 4 })
    expect(reserving(cost, lengths, 4 * 2048, () => 2048) / Math.max(...served.map((s) => s.lastToken))).toBeCloseTo(1, 2)
  })
  test('a static batch takes as long as the scheduler takes for it', () => {
    const batch = Array.from({ length: 4 }, () => ({ arrival: 0, inputTokens: 512, outputTokens: 300 }))
    const { served } = replay(batch, cost, { ...limits, maxSequences: 4 })
    expect(batchMs(cost, 4, 512, 300) / Math.max(...served.map((s) => s.lastToken))).toBeCloseTo(1, 2)
  })
  test('memory beyond the weights', () => expect(kvTokens('a100-40-sxm', 'opt-13b') / ((36e9 - 2 * 12.85e9) / 819200)).toBeCloseTo(1, 2))
  test('a request that fits nowhere is an error, not a hang', () => expect(() => reserving(cost, [10], 100, () => 2048)).toThrow('2048'))
  test('policies, from worst to best', () => {
    const b = batching()
    const order = [b.static, b.continuousWorstCase, b.continuousExact, b.paged]
    expect([...order].sort((x, y) => x - y)).toEqual(order)
    expect(Math.abs(number('anyscale-batching/continuous') / 8 - 1)).toBeLessThan(0.25)
    expect(Math.abs(number('anyscale-batching/paging') / (23 / 8) - 1)).toBeLessThan(0.25)
  })
})

test('waste: what a request holds on average, in closed form', () => {
  const { contiguous, paged } = waste(161, 338, 1e5, 20_000)
  // A request of L tokens is seen L times, half way through on average: prompt + E[L²] / 2E[L] = 161 + 338.
  expect(contiguous).toBeCloseTo(1 - 499 / 1e5, 3)
  expect(paged).toBeCloseTo(7.5 / (499 + 7.5), 2)
  // One request of known length, by counting: positions 2 and 3 in a block of 16.
  expect(waste(1e-9, 1e-9, 3, 1)).toEqual({ contiguous: 1 - 2 / 3, paged: 1 - 2 / 16 })
})

describe('speculative decoding', () => {
  test('Leviathan\'s figures', () => {
    expect(tokensPerIteration(0.8, 5)).toBeCloseTo(3.689, 3)
    expect(speedUp(0.8, 5, 0.05)).toBeCloseTo(2.951, 3)
    expect(speedUp(0.6, 7, 0.05)).toBeCloseTo(1.821, 3)
    expect(tokensPerIteration(1, 5)).toBe(6)
  })
  test('acceptance from tokens per iteration, and back as a sum of powers', () => {
    const a = acceptanceFor(4.87, 6)
    expect(1 + a + a ** 2 + a ** 3 + a ** 4 + a ** 5 + a ** 6).toBeCloseTo(4.87, 9)
    expect(() => acceptanceFor(7.5, 6)).toThrow('between 1 and 7')
  })
  test('helps while steps are bound by memory, hurts when bound by compute', () => {
    const h100 = { hardware: 'h100-sxm', model: 'llama-3.1-8b', overheadMs: 0 } as const
    expect(speculativeSpeedUp(h100, 1, 512, 0.8, 5, 0.05)).toBeCloseTo(3.689 / 1.25, 2)
    expect(speculativeSpeedUp(h100, 2048, 1, 0.8, 5, 0.05)).toBeCloseTo(3.689 / 6.25, 2)
  })
})

test('a full server that is bound by compute: its rate is FLOPs over FLOPs', () => {
  const { throughput, running, tpotMs } = steadyState({ hardware: 'h200', model: 'llama-2-70b', dtype: 'fp8', overheadMs: 0 }, 294, 294)
  expect(throughput).toBeCloseTo((1000 * running) / tpotMs, 6)
  // 2 · 68.5 G for a decoded token and as much for its share of a prompt, a little for attention and the unembedding.
  expect(throughput / ((hardware('h200').flops8! * 0.6) / (4 * 68.45e9))).toBeCloseTo(1, 1)
  expect(running).toBeLessThan((0.9 * 141e9 - 69e9) / (441 * 163840) + 1)
  const held = steadyState({ hardware: 'h200', model: 'llama-2-70b', dtype: 'fp8' }, 294, 294, 100)
  expect(held.tpotMs).toBeLessThanOrEqual(100)
  expect(held.tpotMs).toBeGreaterThan(99)
  expect(() => steadyState({ hardware: 'l4', model: 'llama-2-70b' }, 294, 294)).toThrow('no room')
})

describe('whole servers, by formulas that need no simulator', () => {
  test('capacity finds the rate at which something stops to hold', () => {
    for (const limit of [0.04, 0.9, 1.4, 37]) {
      const found = capacity((rate) => rate <= limit)
      expect(found).toBeLessThanOrEqual(limit)
      expect(found * 1.021).toBeGreaterThan(limit)
    }
    expect(capacity(() => false)).toBe(0)
  })
  test('answers a token long: the rate goes with the tokens computed', () => {
    // Found of 720 tokens, the rest computed; attention and the step's fixed millisecond blur it a little.
    const { gain, hit } = prefixGain(1)
    expect(hit).toBeGreaterThan(0.83)
    expect(hit).toBeLessThan(640 / 720)
    expect(gain * (1 - hit)).toBeGreaterThan(0.9)
    expect(gain * (1 - hit)).toBeLessThan(1.15)
  })
  test('one shared prefix: a prompt alone takes at least its own tokens, and one engine for all is worse than two', () => {
    const alone = prefillMs(roofline({ hardware: 'h100-sxm', model: 'deepseek-v3', tensorParallel: 8, dtype: 'fp8' }), 9800, 2544)
    for (const ms of [oneSharedPrefix('prefix-affinity'), oneSharedPrefix('round-robin')]) expect(ms).toBeGreaterThan(alone * 0.99)
    expect(oneSharedPrefix('round-robin', 1)).toBeGreaterThan(oneSharedPrefix('round-robin'))
  })
  test('a half empty server steps as fast as its batch allows: Little\'s law', () => {
    // In flight N = rate · answer · TPOT, and TPOT is the step of N, prompts on the way computed in between.
    const cost = roofline({ hardware: 'h200', model: 'llama-2-70b', dtype: 'fp8' })
    const perSecond = 1000 / 294
    let tpot = 10
    for (let k = 0; k < 50; k++) {
      const n = (perSecond * 294 * tpot) / 1000
      tpot = cost.step(n, n * 441, (perSecond * 294 * tpot) / 1000, 0)
    }
    expect(Math.abs(loadedTpot('h200', 1, 1, 1000) / tpot - 1)).toBeLessThan(0.1)
  })
  test('the more a limit allows, the more paging is worth', () => {
    expect(pagedOverReserved(400)).toBeGreaterThan(pagedOverReserved(100))
  })
})

test.each([
  ['latency-metrics/plain-rate', 500_000 / (18.69 + 499 * 7.47)],
  ['latency-metrics/linear-rate', 500_000 / (12.17 + 499 * 6.16)],
  ['latency-metrics/assisted-rate', 500_000 / (12.54 + 499 * 5.08)],
  ['prompt-cache/price', (1.25 + 49.9) / 500],
  ['human-pace/reading', 450],
  ['human-pace/tail', 6.644],
  ['radix-attention/hit-rate', 100 * (768 * (1 + 2 + 3)) / (384 + 1152 + 1920 + 2688)],
])('%s by hand', (id, byHand) => expect(number(id)).toBeCloseTo(byHand, 2))

test('ranges by hand', () => {
  expect(of('voice-budget/total').ours).toEqual([700, 1000])
  expect(of('quantization/memory').ours).toEqual([4, 8])
})

test('prompts on one H100, bound by compute: by hand', () => {
  const layers = 32 * (4096 * 128 * (2 * 32 + 2 * 8) + 3 * 4096 * 14336)
  const ms = (tokens: number, cached: number) => {
    const flops = 2 * layers * tokens + 2 * 4096 * 128256 + 4 * 32 * 4096 * tokens * (cached + tokens / 2)
    return (flops / (989e12 * 0.801)) * 1000 + 1
  }
  expect(prefillMs(roofline({ hardware: 'h100-sxm', model: 'llama-3.1-8b' }), 8192, 1638)).toBeCloseTo(ms(6554, 1638), 6)
  expect(number('rag-chunks/prefill')).toBeCloseTo(100 * (1 - ms(2624, 0) / ms(10304, 0)), 6)
  const [low, high] = of('prompt-cache/ttft').ours as readonly [number, number]
  expect(low).toBeCloseTo(100 * (1 - ms(6554, 1638) / ms(8192, 0)), 6)
  expect(high).toBeCloseTo(100 * (1 - ms(819, 7373) / ms(8192, 0)), 6)
})

describe('expressway claims', () => {
  const expressway = (...args: string[]) => spawnSync(process.execPath, ['scripts/run.mjs', 'engine/cli/main.ts', 'claims', ...args], { encoding: 'utf8' })
  test('--json prints the ledger, and nothing else', () => {
    const { status, stdout, stderr } = expressway('--json')
    expect([status, stderr]).toEqual([0, ''])
    expect(JSON.parse(stdout)).toEqual(JSON.parse(JSON.stringify(ledger)))
  })
  test('prints a table with every id and the count', () => {
    const { status, stdout } = expressway()
    expect(status).toBe(0)
    for (const { id } of ledger) expect(stdout).toContain(`\n${id} `)
    const count = (verdict: string) => ledger.filter((c) => c.verdict === verdict).length
    expect(stdout).toContain(`${ledger.length} numbers: ${count('reproduced')} reproduced, ${count('missed')} missed, ${count('not reproduced yet')} not reproduced yet`)
  })
  test('an unknown flag is named', () => {
    const { status, stderr } = expressway('--jsn')
    expect(status).toBe(2)
    expect(stderr).toContain('--jsn')
  })
})
