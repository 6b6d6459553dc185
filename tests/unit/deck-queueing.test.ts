import { describe, expect, test } from 'vitest'
import { defaults } from '$components/controls/params'
import type { Engine } from '$engine/worker/protocol'
import * as batches from '$slides/10_batch_size_tradeoff/experiment'
import { findings as batchFindings, gains, goodputs, overStatic, peak, publishedGains, tpots } from '$slides/10_batch_size_tradeoff/findings'
import * as congestion from '$slides/11_highway_congestion/experiment'
import { busier, curves, findings, knee, lastTenth, liveCheck, liveDots } from '$slides/11_highway_congestion/findings'
import { FakeEngine } from '../support/fake-engine'

async function context(engine: Engine, lens: 'here' | 'elsewhere' = 'here') {
  const controller = new AbortController()
  return { context: { engine, profile: await engine.open({ runner: 'auto', slow: 1 }), seed: 1, lens, signal: controller.signal }, stop: () => controller.abort(new Error('seen enough')) }
}

describe('11: congestion', () => {
  /** The reading once everything but the refinement is there. */
  async function read(over: Partial<Parameters<typeof congestion.run>[0]> = {}, lens: 'here' | 'elsewhere' = 'here', least = 600) {
    const { context: c, stop } = await context(new FakeEngine({ costs: { baseMs: 1, perTokenMs: 0.1 } }), lens)
    try {
      for await (const reading of congestion.run({ ...defaults(congestion.params), ...over }, c)) if (reading.live.length === reading.expected && reading.curve.points.every((p) => p.settled || p.requests >= least)) return reading
    } finally {
      stop()
    }
    throw new Error('it ended without a reading')
  }

  test('p99 − p50 grows with the load, convexly, and the last tenth costs most of it', async () => {
    const reading = await read({}, 'elsewhere', 36_000)
    const gap = (load: number) => findings(reading, load)!.gap.value
    const [a, b, c, d] = [gap(0.36), gap(0.56), gap(0.76), gap(0.96)]
    expect(a).toBeGreaterThan(0)
    expect(c - b).toBeGreaterThan(b - a)
    expect(d - c).toBeGreaterThan(c - b)
    expect(lastTenth(reading)!.value).toBeGreaterThan(50)
    const { p50, p99 } = curves(reading)
    expect(p99.map((p) => p.y)).toEqual(p99.map((p) => p.y).sort((x, y) => x - y))
    expect(p50).toHaveLength(congestion.LOADS.length)
    expect(findings(reading, 1.02)).toBeUndefined()
    expect(findings(reading, 0.85)!.tail.provenance).toMatchObject({ how: 'simulated', costs: { how: 'measured' } })
  })

  test('bursts, and unlike requests, move the knee to the left and the tail up', async () => {
    const [calm, bursty, unlike] = [await read({ cv: 0.3, service_cv: 0 }), await read({ cv: 3, service_cv: 0 }), await read({ cv: 0.3, service_cv: 2.5 })]
    for (const worse of [bursty, unlike]) {
      expect(findings(worse, 0.85)!.tail.value).toBeGreaterThan(1.5 * findings(calm, 0.85)!.tail.value)
      expect(knee(worse)!.value).toBeLessThan(knee(calm)?.value ?? 100)
    }
  })

  test('the live engine, served the same requests, does what the simulator said of it', async () => {
    const reading = await read()
    expect(liveDots(reading).p50.map((p) => p.x)).toEqual([50, 70, 85])
    // The fake's costs are the machine's: nothing but the borders of the runs could differ.
    expect(Math.abs(liveCheck(reading)!.value)).toBeLessThan(1)
    expect(liveCheck(reading)!.provenance.how).toBe('measured')
    expect(busier(reading)!.value).toBeCloseTo(1, 2)
    expect(liveDots(reading).p99.length).toBe(3)
  })

  test('the toll fills with the load', async () => {
    const { roads } = await read({}, 'elsewhere')
    const waiting = roads.map((t) => {
      const sent = new Map(t.events.filter((e) => e.kind === 'sent').map((e) => [e.request, e.t]))
      const waits = t.events.filter((e) => e.kind === 'scheduled').map((e) => e.t - sent.get(e.request)!)
      return waits.reduce((a, b) => a + b, 0) / waits.length
    })
    expect(waiting.at(-1)!).toBeGreaterThan(10 * waiting[0]!)
  })
})

describe('10: batches', () => {
  async function read(over: Partial<Parameters<typeof batches.run>[0]> = {}, lens: 'here' | 'elsewhere' = 'here') {
    const { context: c } = await context(new FakeEngine({ costs: { baseMs: 10, perTokenMs: 0.5 } }), lens)
    let last: batches.BatchReading | undefined
    for await (const reading of batches.run({ ...defaults(batches.params), ...over }, c)) last = reading
    return last!
  }

  test('throughput and time per token rise with the batch; live and simulated agree', async () => {
    const reading = await read()
    const [gain, slow] = [gains(reading.sweep).map((p) => p.y), tpots(reading.sweep).map((p) => p.y)]
    expect(gain).toEqual([...gain].sort((a, b) => a - b))
    expect(slow).toEqual([...slow].sort((a, b) => a - b))
    expect(gain.at(-1)!).toBeGreaterThan(4)
    expect(gains(reading.simulated).map((p) => p.y / gain[Math.log2(p.x)]!).every((r) => Math.abs(r - 1) < 0.02)).toBe(true)
    expect(batchFindings(reading, 1)!.tpot.value).toBeCloseTo(10.5, 6)
    expect(batchFindings(reading, 1)!.throughput.provenance.how).toBe('measured')
  })

  test('a stricter limit moves the goodput’s peak to smaller batches; one that nothing keeps leaves none', async () => {
    const reading = await read()
    const at = (limit: number) => peak(reading, limit)?.batch.value
    expect(at(500)!).toBeGreaterThan(at(15)!)
    expect(at(5)).toBeUndefined()
    const within = goodputs(reading, 15)
    expect(within.at(-1)!.y).toBeLessThan(Math.max(...within.map((p) => p.y)))
  })

  test('continuous batching gains by the spread of the outputs; the policy is the one served', async () => {
    const [unlike, alike] = [await read({ spread: 2 }), await read({ spread: 0 })]
    expect(overStatic(unlike, 16)!.value).toBeGreaterThan(1.4)
    expect(overStatic(alike, 16)!.value).toBeLessThan(1.1)
    const fixed = await read({ spread: 2, policy: 'static' })
    expect(batchFindings(fixed, 8)!.throughput.value).toBeLessThan(batchFindings(unlike, 8)!.throughput.value)
  })

  test('the published curve, and a roofline within 5 % of it', async () => {
    const { roofline } = await read({}, 'elsewhere')
    const ours = new Map(gains(roofline).map((p) => [p.x, p.y]))
    for (const { x, y } of publishedGains()) expect(Math.abs(ours.get(x)! / y - 1)).toBeLessThan(0.05)
  })
})
