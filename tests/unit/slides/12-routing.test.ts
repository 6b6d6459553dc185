import { describe, expect, test } from 'vitest'
import { defaults } from '$components/controls/params'
import { params, run, type RoutingReading } from '$slides/12_global_routing_vs_queue/experiment'
import { against, breakEven, ofRouter, waitHere } from '$slides/12_global_routing_vs_queue/findings'
import { FakeEngine } from '../../support/fake-engine'

const known = new Map<string, Promise<RoutingReading>>()
const on: typeof read = (values = {}) => {
  const key = JSON.stringify(values)
  if (!known.has(key)) known.set(key, read(values))
  return known.get(key)!
}

/** The slide's experiment on a machine whose steps cost 1 ms and 0.05 ms a token. */
async function read(values: Partial<ReturnType<typeof defaults<typeof params>>> = {}): Promise<RoutingReading> {
  const engine = new FakeEngine()
  const profile = await engine.open({})
  for await (const reading of run({ ...defaults(params), ...values }, { engine, profile, seed: 1, signal: new AbortController().signal })) {
    // The first reading has all that is compared; the rest only narrows the curve's band.
    return reading
  }
  throw new Error('no reading came')
}

describe('12: drive farther or wait here', () => {
  test('all routers get the same arrivals, and whoever is sent far pays the round trip in full', async () => {
    const r = await on({ load: 0.3, rtt: 200 })
    const arrivals = (router: keyof RoutingReading['roads']) => r.roads[router].requests.map((q) => q.arrival)
    for (const router of ['random', 'affinity', 'estimate'] as const) expect(arrivals(router)).toEqual(arrivals('nearest'))
    const [near, far] = r.many.random.summary.regions
    // Both are idle at a third of one region's load spread over two: what is between them is the way.
    expect(far!.ttft_ms!.p50 - near!.ttft_ms!.p50).toBeGreaterThan(190)
    expect(far!.ttft_ms!.p50 - near!.ttft_ms!.p50).toBeLessThan(215)
    expect(ofRouter(r.many.nearest)!.away.value).toBe(0)
    expect(ofRouter(r.many.random)!.away.value).toBeGreaterThan(45)
  })

  test('the break-even is where the curve of waits crosses the round trip, and moves right with it', async () => {
    const r = await on()
    const [near, far] = [breakEven(r, 5)!, breakEven(r, 20)!]
    expect(waitHere(r, near.value / 100)!.value).toBeCloseTo(5, 6)
    expect(far.value).toBeGreaterThan(near.value)
    expect(breakEven(r, 1e6)).toBeUndefined()
    expect(waitHere(r, 1.05)).toBeUndefined()
    expect(waitHere(r, 0.95)!.value).toBeGreaterThan(3 * waitHere(r, 0.7)!.value)
  })

  test('the estimate stays at home when that is nearer and leaves when it is full', async () => {
    const away = async (values: { load: number; rtt: number }) => ofRouter((await on(values)).many.estimate)!.away.value
    expect(await away({ load: 0.3, rtt: 300 })).toBeLessThan(5)
    expect(await away({ load: 1.05, rtt: 10 })).toBeGreaterThan(20)
  })

  test('affinity is worse than the shortest queue when everybody has the same prefix', async () => {
    const r = await on({ rtt: 10 })
    const [one, many] = [against(r.one.affinity, r.one.shortest, 'x')!, against(r.many.affinity, r.many.shortest, 'x')!]
    expect(one.value).toBeGreaterThan(1.5)
    expect(many.value).toBeLessThan(one.value)
  })

  test('old news make the shortest queue worse, and chance reads none', async () => {
    const r = await on({ rtt: 10, staleness: 2000 })
    expect(against(r.many.shortest, r.fresh, 'x')!.value).toBeGreaterThan(1.5)
    const fresh = await on({ rtt: 10 })
    expect(r.fresh.summary.digest).toBe(fresh.many.shortest.summary.digest)
    expect(r.many.random.summary.digest).toBe(fresh.many.random.summary.digest)
  })
})
