import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseScenario, ScenarioError, scenarioHelp } from '$engine/serving/scenario'
import schema from '$engine/serving/scenario.schema.json'
import { simulate, type SimulationResult } from '$engine/serving/simulate'

const steps = { kind: 'affine' }
const run = (json: object): SimulationResult => simulate(parseScenario(json)).result

describe('scenario', () => {
  test('the core of version 1, as it is documented', () => {
    const s = parseScenario({
      version: 1, seed: 1, requests: 20000, warmup: 1000,
      arrivals: { process: 'poisson', rate: 8, cv: 2, scale: 1, concurrency: 16 },
      input: { dist: 'fixed', mean: 512, cv: 1, max: 4096 }, output: { dist: 'exponential', mean: 128 },
      steps: { kind: 'affine', base_ms: 10, per_sequence_ms: 0.1, per_context_token_ms: 0, per_prefill_token_ms: 0.02, per_prefill_token_context_ms: 0 },
      scheduler: { policy: 'continuous', max_sequences: 256, max_batched_tokens: 2048, chunked_prefill: true, kv_blocks: 2588, block_size: 16, prefix_cache: true, preemption: 'recompute', long_request_pool: null },
      replicas: 1, router: 'central-queue', regions: [{ name: 'local', rtt_ms: 5, replicas: 1 }], slo: { ttft_ms: 500, tpot_ms: 50 },
    })
    expect(s).toMatchObject({ service: null, scheduler: { kv_blocks: 2588, max_queue: null }, input: { min: 1 } })
  })
  test.each([
    [{ steps, arivals: {} }, 'arivals is not a key'],
    [{ steps, scheduler: { max_sequence: 4 } }, 'scheduler.max_sequence is not a key'],
    [{ steps, regions: [{ name: 'a', replicas: 1, rtt: 3 }] }, 'regions[0].rtt is not a key'],
    [{ steps, arrivals: { rate: -1 } }, 'arrivals.rate must be more than 0, got -1'],
    [{ steps, arrivals: { rate: NaN } }, 'arrivals.rate must be a number, got NaN'],
    [{ steps, arrivals: { rate: '8' } }, 'arrivals.rate must be a number, got "8"'],
    [{ steps, arrivals: { process: 'posson' } }, 'arrivals.process must be one of "poisson"'],
    [{ steps, requests: 0 }, 'requests must be at least 1'],
    [{ steps, requests: 1.5 }, 'requests must be a whole number'],
    [{ steps, version: 2 }, 'version must be 1, got 2'],
    [{ steps, input: { min: 9, max: 3 } }, 'input.min is above input.max'],
    [{}, 'give either service or steps'],
    [{ steps, service: {} }, 'give either service or steps'],
    [{ steps, arrivals: { process: 'trace' } }, 'arrivals.file is missing'],
    [{ steps, priorities: [{ share: 1 }] }, 'priorities[0].priority is missing'],
    [{ steps, disaggregation: { prefill_replicas: 1 } }, 'disaggregation.prefill_replicas must be less than the 1 replicas'],
    [[], 'the scenario must be an object'], [null, 'the scenario must be an object'],
  ])('names the key and the fault: %j', (json, words) => {
    expect(() => parseScenario(json)).toThrow(ScenarioError)
    expect(() => parseScenario(json)).toThrow(words)
  })
  test('catalogue names are checked when costs are made', () => {
    expect(() => run({ requests: 1, steps: { kind: 'roofline', hardware: 'abacus' } })).toThrow('steps: hardware "abacus" is not in the catalogue')
  })
  test('whatever the JSON: a scenario or a ScenarioError', () => {
    const keys = fc.constantFrom('requests', 'seed', 'arrivals', 'rate', 'steps', 'service', 'kind', 'scheduler', 'regions', 'replicas', '__proto__', 'constructor')
    const json = fc.letrec<{ node: unknown }>((tie) => ({ node: fc.oneof({ maxDepth: 4 }, fc.jsonValue(), fc.dictionary(keys, tie('node'))) })).node
    fc.assert(fc.property(json, (value) => {
      try {
        parseScenario(value)
      } catch (e) {
        expect(e).toBeInstanceOf(ScenarioError)
      }
    }), { numRuns: 500 })
  })
  test('times beyond all numbers are an error, not a loss', () => {
    expect(() => run({ requests: 30, output: { mean: 20 }, steps: { base_ms: 1e307 } })).toThrow('more than a number can hold')
    // 0 × ∞ is no number either: without an end, on one replica and on several.
    for (const replicas of [1, 3]) {
      const endless = { requests: 30, output: { mean: 20 }, steps: { speculation: { draft_cost: Number.MAX_VALUE } }, scheduler: { kv_blocks: 80 }, replicas }
      expect(() => run(endless)).toThrow('more than a number can hold')
    }
  })
  test('any key of a good scenario set to anything: it runs to its end, or the error names a key', () => {
    const paths: string[][] = []
    const walk = (node: { properties?: Record<string, object> }, path: string[]) => {
      for (const [key, child] of Object.entries(node.properties ?? {})) {
        paths.push([...path, key])
        walk(child, [...path, key])
      }
    }
    walk(schema as { properties?: Record<string, object> }, [])
    const anything = fc.oneof(fc.constantFrom<unknown>(NaN, -1, 0, 0.5, 1, 3, 1e9, Infinity, null, '', 'fixed', true, [], {}, [0], [1, 2]), fc.jsonValue({ maxDepth: 1 }))
    fc.assert(fc.property(fc.constantFrom(...paths), anything, (path, value) => {
      const scenario: Record<string, unknown> = { requests: 30, arrivals: { rate: 20 }, output: { mean: 20, max: 60 }, steps: {}, scheduler: { kv_blocks: 80 } }
      let at = scenario
      for (const key of path.slice(0, -1)) at = (at[key] = { ...(at[key] as object) }) as Record<string, unknown>
      at[path[path.length - 1]!] = value
      // Runs that are merely large are not what this is about.
      for (const key of ['requests', 'warmup', 'replicas']) if (typeof scenario[key] === 'number' && scenario[key] > 100) return
      const pools = [scenario['cascade'], ...(Array.isArray(scenario['regions']) ? (scenario['regions'] as unknown[]) : [])] as ({ replicas?: number } | null | undefined)[]
      if (pools.some((p) => typeof p?.replicas === 'number' && p.replicas > 100)) return
      try {
        const { result } = simulate(parseScenario(scenario))
        expect(result.completed + result.rejected + (result.batch_lane?.completed ?? 0)).toBe((scenario['requests'] as number))
      } catch (e) {
        if (!(e instanceof ScenarioError || e instanceof RangeError)) throw e
        expect((e as Error).message.length).toBeGreaterThan(10)
      }
    }), { numRuns: Number(process.env['EXPRESSWAY_RUNS'] ?? 400) })
  })
  test('every key has a description, and a default or a place among the required', () => {
    interface Node { description?: string; default?: unknown; properties?: Record<string, Node>; items?: Node; required?: string[] }
    const walk = (node: Node, path: string) => {
      for (const [key, child] of Object.entries(node.properties ?? {})) {
        expect(child.description?.length, `${path}.${key}`).toBeGreaterThan(4)
        expect('default' in child || (node.required ?? []).includes(key), `${path}.${key} has a default`).toBe(true)
        expect(scenarioHelp()).toContain(`${key}:`)
        walk(child, `${path}.${key}`)
        if (child.items) walk(child.items, `${path}.${key}[]`)
      }
    }
    walk(schema as Node, '')
  })
})

/** Each against what follows from arithmetic or from the same scenario without it. */
describe('what a scenario can ask for', () => {
  const base = { requests: 3000, arrivals: { rate: 10 }, output: { mean: 60 }, steps }

  test('regions add half a round trip each way', () => {
    const near = run({ ...base, regions: [{ name: 'near', replicas: 1 }] })
    const far = run({ ...base, regions: [{ name: 'far', rtt_ms: 100, replicas: 1 }] })
    expect(far.e2e_ms!.mean - near.e2e_ms!.mean).toBeCloseTo(100, 6)
    expect(far.wait_ms!.mean - near.wait_ms!.mean).toBeCloseTo(50, 6)
  })
  test('a request that can never fit is rejected with the reason, the others are served', () => {
    const r = run({ ...base, input: { dist: 'uniform', mean: 100 }, output: { dist: 'fixed', mean: 10 }, scheduler: { kv_blocks: 10 } })
    expect(r.completed + r.rejected).toBe(3000)
    expect(r.rejected).toBeGreaterThan(500)
    expect(Object.keys(r.rejected_reasons)[0]).toMatch(/needs \d+ KV blocks of 16 tokens, the pool has 10/)
  })
  test('M/M/1/K: an admission limit rejects what Erlang’s formula says', () => {
    // At most 1 served and 4 waiting: P(block) = (1 − ρ)ρ⁵ / (1 − ρ⁶).
    const r = run({ requests: 200_000, arrivals: { rate: 0.8 }, service: {}, scheduler: { max_queue: 4 } })
    expect(r.rejected / 200_000).toBeCloseTo((0.2 * 0.8 ** 5) / (1 - 0.8 ** 6), 2)
  })
  test('closed loop: throughput × (think + response) is the number of users', () => {
    const r = run({ requests: 20_000, warmup: 500, arrivals: { process: 'closed', concurrency: 12, think_ms: 3000 }, service: { mean_ms: 300 } })
    expect((r.request_throughput * (3000 + r.e2e_ms!.mean)) / 1000).toBeGreaterThan(12 * 0.97)
    expect((r.request_throughput * (3000 + r.e2e_ms!.mean)) / 1000).toBeLessThan(12 * 1.03)
  })
  test('mmpp and a load profile keep their mean rate', () => {
    const mmpp = run({ ...base, requests: 20_000, arrivals: { process: 'mmpp', rates: [2, 10], dwell_ms: 2000 }, service: { mean_ms: 1 }, steps: null })
    expect(mmpp.request_throughput).toBeGreaterThan(5.4)
    expect(mmpp.request_throughput).toBeLessThan(6.6)
    const day = run({ ...base, requests: 20_000, arrivals: { rate: 8, profile: [0.5, 0, 2.5], profile_period_ms: 1000 }, service: { mean_ms: 1 }, steps: null })
    expect(day.request_throughput).toBeGreaterThan(7.7)
    expect(day.request_throughput).toBeLessThan(8.3)
  })
  test('prefix cache: with one beginning, all but the first find it', () => {
    const cached = { ...base, input: { dist: 'fixed', mean: 640 }, prefixes: { groups: 1, tokens: 512 }, scheduler: { prefix_cache: true } }
    const r = run(cached)
    // The first few may run before the first is done with its prompt.
    expect(r.prefix_hit_rate!).toBeGreaterThan((512 / 640) * 0.99)
    expect(r.prefix_hit_rate!).toBeLessThanOrEqual(512 / 640)
    expect(r.ttft_ms!.mean).toBeLessThan(run({ ...cached, scheduler: {} }).ttft_ms!.mean)
    const groups = run({ ...cached, prefixes: { groups: 40, tokens: 512 }, scheduler: { prefix_cache: true, kv_blocks: 300 } })
    expect(groups.prefix_hit_rate!).toBeLessThan(r.prefix_hit_rate!)
    expect(groups.kv_blocks_peak).toBeLessThanOrEqual(300)
    const brief = run({ ...cached, arrivals: { rate: 0.5 }, scheduler: { prefix_cache: true, prefix_ttl_ms: 1 } })
    expect(brief.prefix_hit_rate!).toBeLessThan(0.5)
  })
  test('prefix-affine routing finds more than round-robin does', () => {
    const many = { ...base, arrivals: { rate: 30 }, prefixes: { groups: 24, tokens: 480 }, replicas: 4, scheduler: { prefix_cache: true, kv_blocks: 400 } }
    const hits = (router: string) => run({ ...many, router }).prefix_hit_rate!
    expect(hits('prefix-affinity')).toBeGreaterThan(hits('round-robin') + 0.1)
  })
  test('swap keeps what recompute loses', () => {
    const tight = { ...base, arrivals: { rate: 14 }, input: { mean: 200 }, output: { dist: 'exponential', mean: 200, max: 1000 } }
    const recompute = run({ ...tight, scheduler: { kv_blocks: 160 } })
    const swap = run({ ...tight, scheduler: { kv_blocks: 160, preemption: 'swap', swap_ms_per_block: 0 } })
    expect(recompute.preemptions).toBeGreaterThan(100)
    expect(swap.preemptions).toBeGreaterThan(100)
    // A swap that costs nothing serves no slower than computing again.
    expect(swap.e2e_ms!.mean).toBeLessThan(recompute.e2e_ms!.mean)
    expect(run({ ...tight, scheduler: { kv_blocks: 160, preemption: 'swap', swap_ms_per_block: 10 } }).e2e_ms!.mean).toBeGreaterThan(swap.e2e_ms!.mean)
  })
  test('reserving for the longest answer admits fewer than paging', () => {
    const tight = { ...base, input: { mean: 128 }, output: { dist: 'exponential', mean: 60, max: 600 }, scheduler: { kv_blocks: 400 } }
    const paged = run(tight)
    const reserved = run({ ...tight, scheduler: { kv_blocks: 400, kv_allocation: 'reserved' } })
    expect(reserved.preemptions).toBe(0)
    expect(reserved.wait_ms!.mean).toBeGreaterThan(5 * paged.wait_ms!.mean)
  })
  test('policies: static batches and one at a time wait longer; prompts first decode more slowly', () => {
    const load = { ...base, arrivals: { rate: 3 } }
    const [continuous, batch, single] = ['continuous', 'static', 'fcfs-one-at-a-time'].map((policy) => run({ ...load, scheduler: { policy } }))
    expect(batch!.ttft_ms!.mean).toBeGreaterThan(continuous!.ttft_ms!.mean)
    expect(single!.ttft_ms!.mean).toBeGreaterThan(batch!.ttft_ms!.mean)
    expect(single!.mean_tpot_ms!).toBeLessThan(continuous!.mean_tpot_ms!)
    const prompts = { ...base, input: { mean: 4000 }, scheduler: { max_batched_tokens: 4096 } }
    expect(run({ ...prompts, scheduler: { ...prompts.scheduler, policy: 'prefill-first' } }).p99_tpot_ms!).toBeGreaterThan(run({ ...prompts, scheduler: { max_batched_tokens: 512 } }).p99_tpot_ms! * 0.9)
  })
  test('priorities: the urgent wait less than the patient', () => {
    const waits = new Map<number, number[]>([[0, []], [1, []]])
    simulate(parseScenario({ ...base, arrivals: { rate: 20 }, scheduler: { max_sequences: 8 }, priorities: [{ share: 1, priority: 0 }, { share: 3, priority: 1 }] }), { onAnswer: (job) => void waits.get(job.priority)!.push(job.scheduled - job.arrival) })
    const mean = (v: number[]) => v.reduce((a, b) => a + b, 0) / v.length
    expect(waits.get(1)!.length / waits.get(0)!.length).toBeCloseTo(3, 0)
    expect(mean(waits.get(0)!)).toBeLessThan(mean(waits.get(1)!) / 5)
  })
  test('long prompts keep to their pool', () => {
    const where = new Map<boolean, Set<number>>([[true, new Set()], [false, new Set()]])
    simulate(parseScenario({ ...base, input: { dist: 'uniform', mean: 500 }, replicas: 4, router: 'random', scheduler: { long_request_pool: { threshold_tokens: 800, replicas: 1 } } }), { onAnswer: (job) => void where.get(job.promptTokens > 800)!.add(job.replica) })
    expect([...where.get(true)!]).toEqual([3])
    expect([...where.get(false)!].sort()).toEqual([0, 1, 2])
  })
  test('disaggregation: prompts no longer disturb decodes, and the first token does not wait for the hand-over', () => {
    const load = { ...base, arrivals: { rate: 6 }, input: { mean: 4000 }, output: { dist: 'fixed', mean: 60 }, replicas: 4, router: 'shortest-queue', scheduler: { max_batched_tokens: 8192 } }
    const together = run(load)
    const apart = run({ ...load, disaggregation: { prefill_replicas: 2, transfer_ms_per_token: 0.001 } })
    expect(apart.completed).toBe(3000)
    expect(apart.total_output_tokens).toBe(together.total_output_tokens)
    // A hand-over of 4 ms once a text costs less than other people’s prompts in its steps.
    expect(apart.tpot_ms!.p99).toBeLessThan(together.tpot_ms!.p99)
  })
  test('an autoscaler starts replicas only under load', () => {
    const scaler = { min: 1, interval_ms: 1000, up_above: 8, down_below: 2, startup_ms: 5000 }
    const used = (rate: number) => {
      const replicas = new Set<number>()
      simulate(parseScenario({ ...base, arrivals: { rate }, replicas: 6, router: 'shortest-queue', autoscaler: scaler, scheduler: { max_sequences: 8 } }), { onAnswer: (job) => void replicas.add(job.replica) })
      return replicas.size
    }
    expect(used(0.5)).toBe(1)
    expect(used(40)).toBeGreaterThan(3)
  })
  test('a response cache answers its share, and its share of wrong ones', () => {
    const r = run({ ...base, requests: 20_000, response_cache: { hit_rate: 0.3, false_positive_rate: 0.1, latency_ms: 7 } })
    expect(r.wrong_answers / 20_000).toBeCloseTo(0.03, 2)
    expect(r.p90_ttft_ms!).toBeGreaterThan(7)
    const all = run({ ...base, response_cache: { hit_rate: 1, latency_ms: 7 } })
    expect([all.e2e_ms!.mean, all.wait_ms!.mean]).toEqual([expect.closeTo(7, 6) as number, 0])
  })
  test('a router that sees old news serves worse than one that sees new', () => {
    const load = { requests: 20_000, arrivals: { rate: 9 }, service: {}, replicas: 10, router: 'shortest-queue' }
    expect(run({ ...load, router_staleness_ms: 2000 }).wait_ms!.mean).toBeGreaterThan(2 * run(load).wait_ms!.mean)
  })
  test('ρ ≥ 1: the run is simulated, and called unstable', () => {
    expect(run({ requests: 5000, arrivals: { rate: 1.3 }, service: {} }).verdict).toMatch(/^unstable/)
    expect(run({ requests: 5000, arrivals: { rate: 0.7 }, service: {} }).verdict).toBe(null)
    expect(run({ ...base, arrivals: { rate: 1000 }, scheduler: { max_sequences: 4 } }).verdict).toMatch(/^unstable/)
  })
})
