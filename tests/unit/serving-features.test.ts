import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Arena } from '$engine/serving/arena'
import { parseScenario, ScenarioError } from '$engine/serving/scenario'
import { simulate, Simulation, type SimulationResult } from '$engine/serving/simulate'
import { bottleneck, total } from '$engine/trace/bottleneck'
import { perRequest } from '$engine/trace/metrics'

const run = (json: object): SimulationResult => simulate(parseScenario(json)).result
/** Every step takes 10 ms, whatever is in it. */
const steps = { base_ms: 10, per_sequence_ms: 0, per_prefill_token_ms: 0 }
const fixed = (mean: number) => ({ dist: 'fixed', mean })

describe('batch lane', () => {
  test('one server, two priorities: waits as Cobham’s formula says (M/D/1, non-preemptive)', () => {
    // 80 steps of 10 ms are a service of 0.8 s: at 1 request a second ρ = .8, of which .5 is not urgent.
    const r = run({ requests: 150_000, warmup: 2000, arrivals: { rate: 1 }, input: fixed(1), output: fixed(80), steps, scheduler: { policy: 'fcfs-one-at-a-time' }, batch_lane: { share: 0.625 } })
    const residual = (1 * 800 ** 2) / 1000 / 2
    const urgent = 0.3
    expect(r.wait_ms!.mean / (residual / (1 - urgent))).toBeCloseTo(1, 1)
    expect(r.batch_lane!.wait_ms!.mean / (residual / ((1 - urgent) * (1 - 0.8)))).toBeCloseTo(1, 1)
    expect(r.batch_lane!.completed / 150_000).toBeCloseTo(0.625, 2)
    expect(r.completed + r.batch_lane!.completed).toBe(150_000)
  })
  test('a limit of one: no step holds two of them; the deadline is counted', () => {
    let most = 0
    const { result } = simulate(parseScenario({ requests: 2000, arrivals: { rate: 20 }, output: fixed(50), steps, batch_lane: { share: 0.5, max_running: 1, deadline_ms: 20_000 } }), {
      onStep: (_r, _start, _end, jobs) => void (most = Math.max(most, jobs.filter((j) => j.priority > 1).length)),
    })
    expect(most).toBe(1)
    expect(result.batch_lane!.in_time).toBeGreaterThan(0)
    expect(result.batch_lane!.in_time).toBeLessThan(1)
  })
})

describe('long requests', () => {
  // One server at a time, a step of 1 ms + 0.1 ms a prompt token: 20 ms for a short prompt and its one token, 401 ms for a long one.
  const plain = { requests: 40_000, arrivals: { rate: 4 }, input: fixed(190), output: fixed(1), steps: { base_ms: 1, per_sequence_ms: 0, per_prefill_token_ms: 0.1 }, scheduler: { policy: 'fcfs-one-at-a-time', max_batched_tokens: 4000, prefix_cache: false } }
  const long_requests = { share: 0.1, tokens: 4000 }

  test('short and long ones wait alike in one line, as Pollaczek and Khinchine say of the mixture', () => {
    const { by_length: by } = run({ ...plain, long_requests })
    const mean = 0.9 * 20 + 0.1 * 401
    const square = 0.9 * 20 ** 2 + 0.1 * 401 ** 2
    const wait = (0.004 * square) / (2 * (1 - 0.004 * mean))
    expect(by!.short.wait_ms!.mean / wait).toBeCloseTo(1, 1)
    expect(by!.long.wait_ms!.mean / wait).toBeCloseTo(1, 1)
    expect(by!.short.ttft_ms!.mean - by!.short.wait_ms!.mean).toBeCloseTo(20, 6)
    expect(by!.long.ttft_ms!.mean - by!.long.wait_ms!.mean).toBeCloseTo(401, 6)
    expect(by!.long.completed / 40_000).toBeCloseTo(0.1, 2)
    expect(by!.short.completed + by!.long.completed).toBe(40_000)
  })

  test('a lane of their own: short ones as if there were no others, the lane as busy as its share of the work', () => {
    const lane = run({ ...plain, replicas: 2, router: 'shortest-queue', long_requests, scheduler: { ...plain.scheduler, long_request_pool: { threshold_tokens: 1000, replicas: 1 } } })
    const alone = run({ ...plain, arrivals: { rate: 3.6 } })
    expect(lane.by_length!.short.wait_ms!.mean / alone.wait_ms!.mean).toBeCloseTo(1, 1)
    expect(lane.long_pool_utilisation! / (0.4 * 0.401)).toBeCloseTo(1, 1)
  })

  test('the others are the same requests at any share; nobody is long at none', () => {
    const arrivals = (share: number) => {
      const seen: string[] = []
      simulate(parseScenario({ ...plain, requests: 300, input: { mean: 50, dist: 'exponential' }, long_requests: { share, tokens: 4000 } }), { onAnswer: (job) => { if (!job.long) seen[job.id] = `${job.arrival} ${job.promptTokens}` } })
      return seen
    }
    const [none, few, many] = [arrivals(0), arrivals(0.1), arrivals(0.3)]
    expect(none.filter(Boolean)).toHaveLength(300)
    expect(few.every((s, i) => s === none[i])).toBe(true)
    // Whoever is long at a small share is so at a larger one.
    expect(many.every((s, i) => s === few[i])).toBe(true)
    expect(many.filter(Boolean).length).toBeLessThan(few.filter(Boolean).length)
    expect(run({ ...plain, requests: 10 }).by_length).toBeNull()
  })
})

describe('cascade', () => {
  // Requests far apart: nobody waits. A prompt step and 10 more tokens: 100 ms large, 30 ms small.
  const alone = { requests: 20_000, arrivals: { process: 'deterministic', rate: 1 }, input: fixed(16), output: fixed(10), steps }
  const small = { escalation_rate: 0.25, decide_ms: 4, steps: { ...steps, base_ms: 3 } }
  test('after the answer: the small one’s time always, the large one’s for those that escalate', () => {
    const r = run({ ...alone, cascade: small })
    expect(r.escalated! / 20_000).toBeCloseTo(0.25, 1)
    const q = r.escalated! / 20_000
    expect(r.e2e_ms!.mean).toBeCloseTo(30 + 4 + q * 100, 6)
    // Kept answers appear at once, escalated ones after their first large step.
    expect(r.ttft_ms!.mean).toBeCloseTo(30 + 4 + q * 10, 6)
  })
  test('up front: one or the other, and the router’s own time', () => {
    const r = run({ ...alone, cascade: { ...small, mode: 'up-front' } })
    const q = r.escalated! / 20_000
    expect(r.e2e_ms!.mean).toBeCloseTo(4 + (1 - q) * 30 + q * 100, 6)
  })
  test('prompts that the small one cannot hold go to the large one', () => {
    expect(run({ ...alone, requests: 50, input: fixed(200), cascade: { ...small, escalation_rate: 0, kv_blocks: 4 } }).escalated).toBe(50)
  })
})

describe('regions', () => {
  const far = [{ name: 'west', load: 1, replicas: 1, rtt_to_ms: [10, 150] }, { name: 'east', load: 3, replicas: 1, rtt_to_ms: [150, 10] }]
  const calm = { requests: 20_000, arrivals: { rate: 0.2 }, input: fixed(16), output: fixed(10), steps, regions: far }
  test('clients live where the load is; the nearest replica costs the short way, chance the mean of both', () => {
    const r = run({ ...calm, router: 'nearest' })
    expect(r.regions.map((x) => x.served / 20_000)).toEqual([expect.closeTo(0.25, 1), expect.closeTo(0.75, 1)])
    for (const region of r.regions) {
      expect(region.completed).toBe(region.served)
      expect(region.e2e_ms!.p50).toBeCloseTo(110, 6)
    }
    const random = run({ ...calm, router: 'random' })
    expect(random.e2e_ms!.mean - 100).toBeGreaterThan(79)
    expect(random.e2e_ms!.mean - 100).toBeLessThan(83)
  })
  test('drive farther or wait here: least-latency stays near while it is calm, and beats both rules when home is full', () => {
    expect(run({ ...calm, router: 'least-latency' }).e2e_ms!.p50).toBeCloseTo(110, 6)
    // Service 0.8 s: 85 % of both servers' work comes from the east.
    const busy = { ...calm, arrivals: { rate: 1.8 }, output: fixed(80), scheduler: { policy: 'fcfs-one-at-a-time' }, regions: far.map((r, i) => ({ ...r, load: [15, 85][i] })) }
    const mean = (router: string) => run({ ...busy, router }).e2e_ms!.mean
    const clever = mean('least-latency')
    expect(clever).toBeLessThan(mean('nearest') / 5)
    expect(clever).toBeLessThan(mean('random') / 1.2)
  })
  test('a region’s day: its profile shifts load over time and between regions', () => {
    const r = run({
      ...calm, requests: 4000, router: 'nearest', arrivals: { rate: 2, profile_period_ms: 10_000 }, timeline_ms: 10_000,
      regions: [{ ...far[0]!, load: 1, profile: [3, 0] }, { ...far[1]!, load: 1, profile: [0, 1] }],
    })
    // The even periods have 3/2 of the rate, all from the west; the odd ones 1/2, all from the east.
    const periods = r.timeline!
    const arrivals = (odd: number) => periods.filter((p) => Math.round(p.start_ms / (p.end_ms - p.start_ms)) % 2 === odd).reduce((n, p) => n + p.arrivals, 0)
    expect(arrivals(0) / arrivals(1)).toBeCloseTo(3, 0)
    expect(r.regions[0]!.completed / r.regions[1]!.completed).toBeCloseTo(3, 0)
  })
  test('one line for all: who is served far away has the way there and back', () => {
    const r = run({ ...calm, requests: 500, regions: [{ name: 'far', rtt_ms: 60, replicas: 2 }], router: 'central-queue' })
    expect(r.e2e_ms!.p50).toBeCloseTo(160, 6)
    expect(r.ttft_ms!.p50).toBeCloseTo(70, 6)
  })
  test('loads that are never there together are an error, not an endless search', () => {
    expect(() => run({ ...calm, requests: 5, arrivals: { rate: 1, profile: [1, 0] }, regions: [{ ...far[0]!, profile: [0, 1] }, { ...far[1]!, load: 0 }] })).toThrow('no load at any time')
    expect(() => parseScenario({ ...calm, regions: [{ ...far[0]!, rtt_to_ms: [1] }, far[1]] })).toThrow('regions[0].rtt_to_ms must hold a round trip to each of the 2 regions')
  })
})

describe('contiguous memory', () => {
  test('the arena gives no place twice, finds a place when there is one, and becomes whole again', () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 40 }), fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 1, max: 12 })), { maxLength: 120 }), (size, moves) => {
      const arena = new Arena(size)
      const taken = new Array<boolean>(size).fill(false)
      const held: { at: number; size: number }[] = []
      const firstFit = (n: number) => {
        for (let at = 0; at + n <= size; at++) if (!taken.slice(at, at + n).includes(true)) return at
        return undefined
      }
      for (const [take, n] of moves) {
        if (take) {
          expect(arena.fits(n)).toBe(firstFit(n) !== undefined)
          const at = arena.allocate(n)
          expect(at).toBe(firstFit(n))
          if (at === undefined) continue
          taken.fill(true, at, at + n)
          held.push({ at, size: n })
        } else if (held.length > 0) {
          const [piece] = held.splice(n % held.length, 1)
          taken.fill(false, piece!.at, piece!.at + piece!.size)
          arena.release(piece!.at, piece!.size)
        }
      }
      for (const piece of held) arena.release(piece.at, piece.size)
      expect(arena.allocate(size)).toBe(0)
      arena.release(0, size)
      expect(() => arena.release(0, size)).toThrow('free already')
    }))
  })
  const tight = { requests: 3000, arrivals: { rate: 12 }, input: { dist: 'uniform', mean: 200 }, output: { dist: 'exponential', mean: 60, max: 400 }, steps: {}, scheduler: { kv_blocks: 400 } }
  const of = (kv_allocation: string) => run({ ...tight, scheduler: { ...tight.scheduler, kv_allocation } })
  test('shares sum to 1; paging wastes last blocks only, reserving what clients allowed, one piece the holes besides', () => {
    const [paged, reserved, contiguous] = ['paged', 'reserved', 'contiguous'].map(of)
    for (const r of [paged, reserved, contiguous]) expect(Object.values(r!.kv_memory!).reduce((a, b) => a + b)).toBeCloseTo(1, 9)
    expect(paged!.kv_memory).toMatchObject({ reserved: 0, external: 0 })
    expect(reserved!.kv_memory!.external).toBe(0)
    expect(contiguous!.kv_memory!.external).toBeGreaterThan(0)
    const waste = (r: SimulationResult) => (r.kv_memory!.reserved + r.kv_memory!.internal) / (r.kv_memory!.used + r.kv_memory!.reserved + r.kv_memory!.internal)
    expect(waste(paged!)).toBeLessThan(0.04)
    expect(waste(reserved!)).toBeGreaterThan(0.5)
    expect(contiguous!.wait_ms!.mean).toBeGreaterThan(reserved!.wait_ms!.mean)
    expect(contiguous!.preemptions).toBe(0)
  })
  test.each(['paged', 'reserved', 'contiguous'])('%s: the shares are what the Trace’s steps hold, added up one by one', (kv_allocation) => {
    const outputs = new Map<number, number>()
    const { result, trace } = simulate(parseScenario({ ...tight, requests: 120, scheduler: { ...tight.scheduler, kv_allocation, max_batched_tokens: 100_000 } }), { traceEvery: 1, onAnswer: (job) => void outputs.set(job.id, job.promptTokens + job.outputLength - 1) })
    let used = 0
    let held = 0
    let final = 0
    for (const s of trace!.steps) {
      // Nothing is cut: whoever holds memory is part of the step.
      for (const b of s.batch) {
        used += b.context + b.tokens
        final += outputs.get(b.request)!
      }
      held += s.kvBlocks * 16
    }
    const capacity = trace!.steps.length * 400 * 16
    expect(result.kv_memory!.used).toBeCloseTo(used / capacity, 9)
    const reserved = kv_allocation === 'paged' ? 0 : final - used
    expect(result.kv_memory!.reserved).toBeCloseTo(reserved / capacity, 9)
    expect(result.kv_memory!.internal).toBeCloseTo((held - used - reserved) / capacity, 9)
  })
})

describe('offload of keys and values, layer by layer', () => {
  // 16 blocks. The first request takes 6 for its prompt and keeps 10 in the end; the second needs 7 for its own.
  const two = (kv_offload: object | null, second = 100) => {
    const ends: number[][] = []
    const trace = { requests: [{ arrival: 0, inputTokens: 96, outputTokens: 61 }, { arrival: 5, inputTokens: second, outputTokens: 5 }] }
    const { result } = simulate(parseScenario({ requests: 2, arrivals: { process: 'trace', file: 'two' }, steps, scheduler: { kv_blocks: 12, kv_offload } }), { files: { trace }, onAnswer: (job) => void (ends[job.id] = [job.scheduled, job.firstToken, job.lastToken]) })
    return { ends, result }
  }
  test('without it the second waits for the first to end; with it the first token comes at once, and the others when there is room', () => {
    expect(two(null).ends).toEqual([[0, 10, 610], [610, 620, 660]])
    const { ends, result } = two({ layers: 8, keep_layers: 2, ms_per_block: 0.8 })
    // The prompt's step moves 6 of 8 layers of 7 blocks, 4.2 ms, all but the last layer's (an eighth) while others are computed.
    const out = (7 * 6 * 0.8) / 8
    expect(ends[1]!.slice(0, 2)).toEqual([10, expect.closeTo(20 + out / 8, 9)])
    expect(result.offloads).toBe(1)
    // It comes back when the first is over: the first was held up by that step alone.
    const free = 610 + out / 8
    expect(ends[0]![2]).toBeCloseTo(free, 9)
    expect(ends[1]![2]).toBeCloseTo(free + 4 * 10 + out / 8, 9)
  })
  test('a link slower than computing shows: the step takes as long as the move', () => {
    const { ends } = two({ layers: 8, keep_layers: 0, ms_per_block: 10 })
    expect(ends[1]![1]).toBeCloseTo(10 + 70 + 10 / 8, 9)
  })
  test('host memory that is too small: as without it', () => {
    expect(two({ layers: 8, keep_layers: 2, ms_per_block: 0, host_blocks: 6 }).ends).toEqual(two(null).ends)
  })
  test('in a crowd: everybody is served, first tokens come sooner, later ones no sooner', () => {
    const crowd = { requests: 2000, arrivals: { rate: 4 }, input: { dist: 'uniform', mean: 400 }, output: { dist: 'exponential', mean: 100, max: 500 }, steps: { ...steps, per_prefill_token_ms: 0.02 } }
    const plain = run({ ...crowd, scheduler: { kv_blocks: 110 } })
    const offload = run({ ...crowd, scheduler: { kv_blocks: 110, kv_offload: { keep_layers: 1, ms_per_block: 0.05 } } })
    expect(offload.completed).toBe(2000)
    expect(offload.offloads).toBeGreaterThan(100)
    expect(offload.ttft_ms!.mean).toBeLessThan(plain.ttft_ms!.mean / 2)
    expect(offload.tpot_ms!.mean).toBeGreaterThan(plain.tpot_ms!.mean)
  })
  test('needs a bounded, paged, continuous engine', () => {
    expect(() => parseScenario({ steps, scheduler: { kv_offload: {} } })).toThrow(ScenarioError)
    expect(() => parseScenario({ steps, scheduler: { kv_blocks: 9, policy: 'static', kv_offload: {} } })).toThrow('needs policy continuous')
    expect(() => parseScenario({ steps, scheduler: { kv_blocks: 9, kv_offload: { layers: 4, keep_layers: 4 } } })).toThrow('must be less than the 4 layers')
  })
})

describe('caches of answers', () => {
  test('the exact one is asked first and never wrong; the semantic one has its share of the rest', () => {
    const r = run({ requests: 40_000, arrivals: { rate: 1 }, output: fixed(10), steps, response_cache: { exact_hit_rate: 0.2, exact_latency_ms: 1, hit_rate: 0.5, false_positive_rate: 0.1, latency_ms: 9 } })
    expect(r.cache_hits.exact / 40_000).toBeCloseTo(0.2, 2)
    expect(r.cache_hits.semantic / 40_000).toBeCloseTo(0.4, 2)
    expect(r.wrong_answers / r.cache_hits.semantic).toBeCloseTo(0.1, 2)
    const misses = 40_000 - r.cache_hits.exact - r.cache_hits.semantic
    expect(r.e2e_ms!.mean).toBeGreaterThanOrEqual((r.cache_hits.exact + 9 * r.cache_hits.semantic + 100 * misses) / 40_000)
  })
})

describe('over time', () => {
  const day = { requests: 4000, arrivals: { rate: 20, profile: [0.2, 3, 0.5], profile_period_ms: 20_000 }, output: fixed(60), steps: {}, replicas: 6, router: 'shortest-queue', scheduler: { max_sequences: 8 }, timeline_ms: 5000 }
  test('every arrival is in an interval; requests and replicas over time add up to the run’s', () => {
    const simulation = new Simulation(parseScenario({ ...day, autoscaler: { min: 1, interval_ms: 1000, up_above: 8, down_below: 2, startup_ms: 4000 } }), {})
    while (simulation.advance(1000));
    const { timeline, replica_seconds, completed } = simulation.result()
    expect(timeline!.reduce((n, i) => n + i.arrivals, 0)).toBe(completed)
    const area = (key: 'in_system' | 'replicas') => timeline!.reduce((n, i) => n + i[key] * (i.end_ms - i.start_ms), 0)
    expect(area('in_system') / simulation.area).toBeCloseTo(1, 9)
    expect(Math.max(...timeline!.map((i) => i.replicas))).toBeGreaterThan(2)
    expect(timeline![0]!.replicas).toBeLessThan(1.5)
    // A cold first wave: who comes while replicas start waits longer than who comes when they are there.
    expect(Math.max(...timeline!.map((i) => i.p99_ttft_ms ?? 0))).toBeGreaterThan(5 * Math.min(...timeline!.map((i) => i.p99_ttft_ms ?? Infinity)))
    // Paid for from the first arrival on, up to the last change: fewer than if all had always run.
    expect(replica_seconds).toBeLessThan((6 * timeline![timeline!.length - 1]!.end_ms) / 1000)
    expect(Math.abs(replica_seconds * 1000 - area('replicas'))).toBeLessThan(area('replicas') * 0.02)
  })
  test('more intervals than 512 become longer ones, and nothing is lost', () => {
    const fine = run({ ...day, timeline_ms: 3 })
    expect(fine.timeline!.length).toBeLessThanOrEqual(512)
    expect(fine.timeline!.reduce((n, i) => n + i.arrivals, 0)).toBe(4000)
    const coarse = run({ ...day, timeline_ms: 1e9 }).timeline!
    expect(coarse.length).toBe(1)
    expect(coarse[0]!.mean_e2e_ms).toBeCloseTo(fine.e2e_ms!.mean, 6)
    expect(coarse[0]!.p99_e2e_ms! / fine.e2e_ms!.p99).toBeCloseTo(1, 1)
  })
})

describe('simulated Traces name their bottleneck', () => {
  const trace = (json: object) => simulate(parseScenario(json), { traceEvery: 1 }).trace!
  test('one request alone on a roofline: compute and memory are the formula’s, overhead what each step adds', () => {
    const t = trace({ requests: 1, input: fixed(1000), output: fixed(50), steps: { kind: 'roofline', mfu: 0.6, mbu: 0.8, overhead_ms: 2 }, scheduler: { max_batched_tokens: 4096 } })
    const a = bottleneck(t)
    const [prompt, ...decodes] = t.steps
    // A prompt of 1000 tokens is bound by compute, a single token by memory (REFERENCE §2, §4): H100 at MFU .6, MBU .8.
    expect(a.compute).toBeCloseTo((prompt!.flops / (989e12 * 0.6)) * 1000, 6)
    expect(a.memory).toBeCloseTo((decodes.reduce((n, s) => n + s.bytes, 0) / (3.35e12 * 0.8)) * 1000, 6)
    expect(a.overhead).toBeCloseTo(50 * 2, 3)
    expect([a.network, a.queue]).toEqual([0, expect.closeTo(0, 6)])
    // 8.03 B parameters less the input table, two bytes each.
    expect(decodes[0]!.bytes).toBeGreaterThan(14.9e9)
    expect(decodes[0]!.bytes).toBeLessThan(15.3e9)
  })
  test.each([
    ['one replica', {}], ['three, and a way to them', { replicas: 3, router: 'shortest-queue', regions: [{ name: 'a', rtt_ms: 40, replicas: 3 }] }],
    ['prompts here, decodes there', { replicas: 3, router: 'shortest-queue', disaggregation: { prefill_replicas: 1, transfer_ms_per_token: 0.1 } }],
    ['a full memory', { scheduler: { kv_blocks: 60 } }], ['offloading', { scheduler: { kv_blocks: 60, kv_offload: { ms_per_block: 0.1 } } }],
    ['a cascade', { cascade: { escalation_rate: 0.5, steps: { kind: 'roofline', model: 'pythia-2.8b' } } }],
  ])('the parts sum to E2E and none is negative: %s', (_, extra) => {
    const t = trace({ requests: 150, arrivals: { rate: 30 }, input: { dist: 'exponential', mean: 200, max: 600 }, output: { dist: 'exponential', mean: 30, max: 200 }, steps: { kind: 'roofline', hardware: 'l4' }, ...extra })
    const each = perRequest(t)
    expect(each.length).toBe(150)
    for (const r of each) {
      const a = bottleneck(t, r.request)
      expect(total(a)).toBeCloseTo(r.e2e, 6)
      for (const part of Object.values(a)) expect(part).toBeGreaterThanOrEqual(-1e-9)
    }
    const all = bottleneck(t)
    expect(all.memory).toBeGreaterThan(0)
    expect(all.queue).toBeGreaterThan(0)
    if ('disaggregation' in extra || 'regions' in extra) expect(all.network).toBeGreaterThan(0)
    for (let i = 1; i < t.events.length; i++) expect(t.events[i]!.t).toBeGreaterThanOrEqual(t.events[i - 1]!.t)
  })
})
