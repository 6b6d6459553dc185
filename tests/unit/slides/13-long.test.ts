import { describe, expect, test } from 'vitest'
import { defaults } from '$components/controls/params'
import { perRequest } from '$engine/trace/metrics'
import { catalogueMachine } from '$engine/worker/lens'
import type { Engine, Machine } from '$engine/worker/protocol'
import { serveVirtually } from '$engine/worker/virtual'
import { BLOCKS, FEW, params, run, type LongReading } from '$slides/13_long_requests_cost/experiment'
import { byChunk, few, lane, pressure, smallest, tails, tailsByShare } from '$slides/13_long_requests_cost/findings'
import { FakeEngine } from '../../support/fake-engine'

type Values = Partial<ReturnType<typeof defaults<typeof params>>>
const H100 = catalogueMachine({ hardware: 'h100-sxm', model: 'llama-3.1-8b' })

/** The slide's experiment on a machine whose steps cost 1 ms and 0.05 ms a token, or through a lens. */
async function read(values: Values, on?: Machine): Promise<LongReading> {
  const fake = new FakeEngine()
  const engine: Engine = on ? Object.assign(fake, { machine: () => Promise.resolve(on), serve: ((workload, o) => serveVirtually(workload, o?.on ?? on)) satisfies Engine['serve'] }) : fake
  const profile = await fake.open({})
  let last: LongReading | undefined
  for await (const reading of run({ ...defaults(params), ...values }, { engine, profile, seed: 1, signal: new AbortController().signal, lens: on ? 'elsewhere' : 'here' })) last = reading
  return last!
}

const known = new Map<string, Promise<LongReading>>()
function at(values: Values = {}, on?: Machine): Promise<LongReading> {
  const key = JSON.stringify([values, on?.label])
  if (!known.has(key)) known.set(key, read(values, on))
  return known.get(key)!
}
const p99 = (r: LongReading, of: 'shared' | 'lane' = 'shared') => tails(r.set[of], r.without[of])!.tail.value

describe.each([['this device', undefined], ['datacentre', H100]] as const)('13: one truck blocks a lane, %s', (_, on) => {
  test('the default view shows it: a few long ones make the short tail many times longer, a lane takes that away', async () => {
    const r = await at({}, on)
    expect(r.complete).toBe(true)
    expect(tails(r.set.shared, r.without.shared)!.times.value).toBeGreaterThan(4)
    expect(p99(r, 'lane')).toBeLessThan(0.3 * p99(r))
    const { idle, full } = lane(r.set)
    expect(full).toBe(false)
    expect(idle.value).toBeGreaterThan(40)
    // Live and in the open: the slowest of the short ones waits nearly as long as the long one itself.
    const [alone, among] = [few(r.pair!.alone)!, few(r.pair!.among!)!]
    expect(among.slowest.value).toBeGreaterThan(4 * alone.slowest.value)
    expect(among.slowest.value).toBeGreaterThan(0.8 * among.long!.value)
    expect(alone.long).toBeUndefined()
  })

  test('more of them, or longer ones: a longer tail on the shared road, none on the other', async () => {
    const r = await at({}, on)
    const shared = tailsByShare(r, 'shared')
    expect(shared[0]!.x).toBe(0)
    const few = shared.filter((p) => p.x <= 10).map((p) => p.y)
    expect(few.every((y, i) => i === 0 || y > 0.9 * few[i - 1]!)).toBe(true)
    expect(few.at(-1)! / few[0]!).toBeGreaterThan(8)
    for (const p of tailsByShare(r, 'lane')) expect(p.y).toBeLessThan(1.5 * tailsByShare(r, 'lane')[0]!.y)
    expect(p99(await at({ long_length: 512 }, on))).toBeLessThan(0.5 * p99(r))
    expect(p99(await at({ long_length: 8192 }, on))).toBeGreaterThan(2 * p99(r))
  })

  test('a smaller chunk: shorter gaps for those who write', async () => {
    const { gap } = byChunk(await at({}, on))
    expect(gap.map((p) => p.x)).toEqual([64, 128, 256, 512, 1024, 2048, 4096])
    for (let i = 1; i < gap.length; i++) expect(gap[i]!.y).toBeGreaterThan(0.99 * gap[i - 1]!.y)
    expect(gap.at(-1)!.y).toBeGreaterThan(5 * gap[0]!.y)
  })

  test('it fills memory: a truck’s blocks are its tokens’, and more trucks make others give way', async () => {
    const [calm, crowded] = [await at({}, on), await at({ long_share: 20 }, on)]
    const share = pressure(calm.set.shared, 4096).share.value
    expect(share).toBeCloseTo((100 * Math.ceil((4096 + 32) / 16)) / BLOCKS, 9)
    expect(calm.without.shared.summary.preemptions).toBe(0)
    expect(pressure(crowded.set.shared, 4096).preempted.value).toBeGreaterThan(5 * pressure(calm.set.shared, 4096).preempted.value)
  })
})

describe('13: by arithmetic', () => {
  test('alone in the step the long one takes its chunks one after another, and nobody’s gap is longer than the longest step', async () => {
    const r = await at({ chunk: 256 })
    const trace = r.sweep.find((s) => s.chunk === 256)!.trace
    const gap = few(trace)!.gap.value
    expect(gap).toBeLessThanOrEqual(Math.max(...trace.steps.map((s) => s.duration)) + 1e-9)
    // 1 ms and 0.05 ms for each of 256 tokens.
    expect(gap).toBeCloseTo(1 + 0.05 * 256, 6)
    const truck = r.apart.requests.find((q) => q.id === FEW)!
    const own = perRequest(r.apart).find((q) => q.request === truck.id)!
    expect(own.ttft).toBeCloseTo((4096 / 256) * (1 + 0.05 * 256), 6)
    expect(new Set(r.apart.steps.map((s) => s.replica))).toEqual(new Set([0, 1]))
  })

  test('where a step has a price of its own the smallest chunk costs the long one time; the rate stays whatever is set', async () => {
    const r = await at({}, H100)
    expect(smallest(r, 512)!.long.value).toBeGreaterThan(3)
    expect(smallest(await at({ chunk: 64 }, H100), 64)).toBeUndefined()
    const [a, b] = [(await at({ long_share: 20 })).without.shared, (await at()).without.shared]
    expect(a.summary.digest).toBe(b.summary.digest)
  })

  test('more long ones than the lane can serve: theirs is the line that grows', async () => {
    const r = await at({ long_share: 30, long_length: 8192 })
    expect(lane(r.set).full).toBe(true)
    expect(tails(r.set.shared, r.without.shared)).toBeUndefined()
    expect(p99(r, 'lane')).toBeLessThan(2 * p99(await at(), 'lane'))
  })
})
