import { describe, expect, test } from 'vitest'
import { defaults } from '$components/controls/params'
import { HOURS, params, PRICE, run, type CapacityReading } from '$slides/20_add_capacity/experiment'
import { atReplicas, costAtPeak, costOfDay, firstBuys, firstWave, tails } from '$slides/20_add_capacity/findings'
import { FakeEngine } from '../../support/fake-engine'

/** The slide's experiment on a slow machine of known costs, so that a day has few requests. */
async function on(values: Partial<ReturnType<typeof defaults<typeof params>>>, until: (r: CapacityReading) => boolean): Promise<CapacityReading> {
  const engine = new FakeEngine({ costs: { baseMs: 20, perTokenMs: 0.5 } })
  const profile = await engine.open({})
  const abort = new AbortController()
  for await (const reading of run({ ...defaults(params), ...values }, { engine, profile, seed: 1, signal: abort.signal })) {
    if (!until(reading)) continue
    abort.abort()
    return reading
  }
  throw new Error('no such reading came')
}
const wholeDay = (r: CapacityReading) => (r.fixed?.summary.timeline?.length ?? 0) >= 96

describe('20: replicas buy back the tail', () => {
  test('one replica sustains what its step costs say, and fewer replicas than the load needs serve nothing for long', async () => {
    const r = await on({ load: 1.6 }, () => true)
    // Four places, a step of 20 ms and half a millisecond for each of them, 512 tokens and a prompt of 256 once: the closed formula.
    const perRequest = (512 * (20 + 4 * 0.5)) / 4 + 256 * 0.5
    expect(r.capacity * perRequest).toBeGreaterThan(900)
    expect(r.capacity * perRequest).toBeLessThan(1100)
    expect(atReplicas(r, 1)).toBeUndefined()
    expect(costAtPeak(r, 2).value).toBeCloseTo((2 * PRICE * 1000) / (3600 * 1.6 * r.capacity), 9)
  })

  test('every replica more lowers the tail, the first one most', async () => {
    const r = await on({ load: 1.6 }, () => true)
    const points = tails(r)
    expect(points[0]!.x).toBe(2)
    for (let i = 1; i < 4; i++) expect(points[i]!.y).toBeLessThan(points[i - 1]!.y)
    expect(firstBuys(r)!.value).toBeGreaterThan(50)
  })

  test('the autoscaler is cheaper over the day, and its first wave waits for the start-up', async () => {
    const r = await on({ autoscale: true, startup: 120 }, wholeDay)
    expect(costOfDay(r.scaled!)!.value).toBeLessThan(0.8 * costOfDay(r.fixed!)!.value)
    const [cold, warm] = [firstWave(r.scaled!, 'x')!.value, firstWave(r.fixed!, 'x')!.value]
    expect(cold).toBeGreaterThan(2 * warm)
    const quick = await on({ autoscale: true, startup: 0 }, wholeDay)
    expect(firstWave(quick.scaled!, 'x')!.value).toBeLessThan(cold)
    // All replicas all day are paid for all day, whatever comes.
    expect(r.fixed!.summary.replica_seconds / (2 * 86_400)).toBeCloseTo(1, 1)
    expect(r.fixed!.summary.completed).toBe(Math.round(r.rate * 3600 * HOURS.reduce((a, b) => a + b, 0)))
  })
})
