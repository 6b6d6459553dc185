import { describe, expect, test } from 'vitest'
import { defaults } from '$components/controls/params'
import { poolAt, poolCounts } from '$components/motif/kv-blocks'
import { perRequest } from '$engine/trace/metrics'
import { catalogueMachine } from '$engine/worker/lens'
import { withInt8Cache, type Machine } from '$engine/cost/machine'
import type { Engine } from '$engine/worker/protocol'
import { serveVirtually } from '$engine/worker/virtual'
import { BURST, FULL, params, POLICIES, run, type CacheReading, type Policy } from '$slides/19_kv_cache/experiment'
import { against, all, burst, kept, positions, tails } from '$slides/19_kv_cache/findings'
import { FakeEngine } from '../../support/fake-engine'

type Values = Partial<ReturnType<typeof defaults<typeof params>>>
const H100 = catalogueMachine({ hardware: 'h100-sxm', model: 'llama-3.1-8b' })

async function read(values: Values, on?: Machine): Promise<CacheReading> {
  const fake = new FakeEngine()
  const engine: Engine = on ? Object.assign(fake, {
    machine: ((of) => Promise.resolve(typeof of === 'object' ? withInt8Cache(on) : on)) satisfies Engine['machine'],
    serve: ((workload, o) => serveVirtually(workload, o?.on ?? on)) satisfies Engine['serve'],
  }) : fake
  const profile = await fake.open({})
  let last: CacheReading | undefined
  for await (const reading of run({ ...defaults(params), ...values }, { engine, profile, seed: 1, signal: new AbortController().signal, lens: on ? 'elsewhere' : 'here' })) last = reading
  return last!
}

const known = new Map<string, Promise<CacheReading>>()
function at(values: Values = {}, on?: Machine): Promise<CacheReading> {
  const key = JSON.stringify([values, on?.label])
  if (!known.has(key)) known.set(key, read(values, on))
  return known.get(key)!
}
const rowOf = (r: CacheReading, policy: Policy) => kept(policy, r.set[policy])!

describe.each([['this device', undefined], ['datacentre', H100]] as const)('19: memory you manage is latency you keep, %s', (_, on) => {
  test('the default view shows it: in one piece, in pages, with a host, with fewer bits, each a shorter tail than the one before', async () => {
    const r = await at({}, on)
    expect(r.complete).toBe(true)
    const tail = POLICIES.map((policy) => rowOf(r, policy).tail.value)
    expect(tail).toEqual([...tail].sort((a, b) => b - a))
    expect(against(rowOf(r, 'contiguous'), rowOf(r, 'paged')).value).toBeGreaterThan(2)
    expect(rowOf(r, 'paged').preempted.value).toBeGreaterThan(0)
    expect(rowOf(r, 'int8').preempted.value).toBe(0)
    expect(rowOf(r, 'contiguous').throughput.value).toBeLessThan(rowOf(r, 'paged').throughput.value)
    // Offloading sells later tokens for the first.
    expect(rowOf(r, 'offload').offloaded!.value).toBeGreaterThan(0)
    expect(rowOf(r, 'offload').tpot.value).toBeGreaterThan(rowOf(r, 'paged').tpot.value)
  })

  test('pages waste next to nothing, pieces half; the shares of the pool are no more than all of it', async () => {
    const r = await at({}, on)
    expect(rowOf(r, 'contiguous').waste.value).toBeGreaterThan(35)
    for (const policy of ['paged', 'offload', 'int8'] as const) expect(rowOf(r, policy).waste.value).toBeLessThan(4)
    for (const { shares } of all(r.set)) expect(shares.used + shares.empty + shares.holes).toBeLessThanOrEqual(100 + 1e-9)
    expect(rowOf(r, 'contiguous').shares.holes).toBeGreaterThan(1)
    expect(rowOf(r, 'paged').shares.holes).toBe(0)
  })

  test('less memory: a longer tail, and more who give way', async () => {
    const r = await at({}, on)
    for (const policy of POLICIES) {
      const line = tails(r, policy)
      expect(line[0]!.y, policy).toBeGreaterThan(1.5 * line.at(-1)!.y)
    }
    const paged = r.curve.map((c) => kept('paged', c.by.paged)!.preempted.value)
    expect(paged[0]!).toBeGreaterThan(200)
    expect(paged.at(-1)!).toBe(0)
  })

  test('larger blocks: more of each last one empty, about half a block a request', async () => {
    const waste = async (block: number) => rowOf(await at({ block }, on), 'paged').waste.value
    const [one, usual, large] = [await waste(1), await waste(16), await waste(64)]
    expect(one).toBe(0)
    expect(large).toBeGreaterThan(2 * usual)
    // Requests of about 256 + 64 positions on average.
    expect(usual / 100).toBeGreaterThan(0.5 * (7.5 / 320))
    expect(usual / 100).toBeLessThan(1.5 * (7.5 / 320))
  })
})

describe('19: bytes and blocks', () => {
  test('int8 has twice the positions of 16 bits; of 32, four times less the scales', async () => {
    expect(positions(await at({}, H100)).value).toBeCloseTo(2, 9)
    // The fake machine's heads have 64 values and one scale of 4 bytes.
    expect(positions(await at()).value).toBeCloseTo(4 / (1 + 4 / 64), 9)
    const r = await at({}, H100)
    expect(r.bursts.int8.kvBlocksTotal! / r.bursts.paged.kvBlocksTotal!).toBeCloseTo(2, 1)
    expect(r.bursts.paged.kvBlocksTotal).toBe(Math.floor((FULL * 0.6) / 16))
  })

  test('the map is the allocator’s own: a piece is one run of blocks, pages lie where there was room, the host has what was offloaded', async () => {
    const r = await at({}, H100)
    let scattered = 0
    let hosted = 0
    for (const policy of POLICIES) {
      const trace = r.bursts[policy]
      for (const step of trace.steps.filter((_, i) => i % 40 === 20)) {
        const moment = step.start + step.duration / 2
        const pool = poolAt(trace, moment)
        if (policy === 'offload') hosted = Math.max(hosted, pool.host.length)
        else {
          expect(poolCounts(pool).shared).toBe(0)
          expect(poolCounts(pool).used + poolCounts(pool).waste).toBe(step.kvBlocks)
        }
        for (const owner of new Set(pool.blocks.flatMap((b) => b.owner ?? []))) {
          const own = pool.blocks.flatMap((b, i) => (b.owner === owner ? [i] : []))
          const record = trace.requests.find((q) => q.id === owner)!
          const run = own.at(-1)! - own[0]! + 1 === own.length
          if (policy === 'contiguous') {
            expect(run).toBe(true)
            expect(own).toHaveLength(Math.ceil((record.promptTokens + record.maxTokens) / 16))
          } else if (!run) scattered++
        }
      }
    }
    expect(scattered).toBeGreaterThan(0)
    expect(hosted).toBeGreaterThan(0)
  })

  test('live and simulated are the same requests by the same scheduler: as many give way, and all are answered', async () => {
    const r = await at()
    const live = r.live.paged!
    const length = (trace: typeof live) => perRequest(trace).map((q) => [q.promptTokens, q.outputTokens])
    expect(length(live)).toEqual(length(r.bursts.paged))
    expect(live.requests).toHaveLength(BURST)
    const { preempted, simulated } = burst(live, r.bursts.paged)!
    expect(preempted.provenance.how).toBe('measured')
    expect(preempted.value).toBe(simulated.value)
    expect(simulated.value).toBeGreaterThan(0)
    // Block by block: the live pool's numbers, no block in two hands.
    const middle = live.steps[Math.floor(live.steps.length / 2)]!
    expect(poolCounts(poolAt(live, middle.start + middle.duration / 2)).shared).toBe(0)
    expect(burst(r.live.int8, r.bursts.int8)!.preempted.value).toBe(0)
    expect(Object.keys((await at({ block: 64 })).live)).toEqual([])
  })
})
