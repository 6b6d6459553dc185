import { describe, expect, test } from 'vitest'
import { defaults } from '$components/controls/params'
import { percentile, perRequest, summarize } from '$engine/trace/metrics'
import * as tailExperiment from '$slides/02_latency_metrics/experiment'
import { gamma, gammaArrivals, stream } from '$components/frame/arrivals'
import * as components from '$slides/05_latency_components/experiment'
import { byPhase, ofRequest, sums, tail, typical } from '$components/frame/measured'
import type { Engine, EngineInfo } from '$engine/worker/protocol'
import { FakeEngine } from '../support/fake-engine'

async function context(engine: Engine, seed = 1) {
  const profile: EngineInfo = await engine.open({ runner: 'auto', slow: 1 })
  return { engine, profile, seed, signal: new AbortController().signal }
}

async function last<T>(readings: AsyncIterable<T>): Promise<T> {
  let reading: T | undefined
  for await (const r of readings) reading = r
  return reading!
}

describe('gamma arrivals', () => {
  test.each([0.3, 1, 2, 4])('shape of cv %f: mean 1/shape-scale and coefficient of variation as asked', (cv) => {
    const n = 60_000
    const uniform = stream(7)
    const shape = 1 / cv ** 2
    const draws = Array.from({ length: n }, () => gamma(shape, uniform) / shape)
    const mean = draws.reduce((a, b) => a + b, 0) / n
    const sd = Math.sqrt(draws.reduce((a, b) => a + (b - mean) ** 2, 0) / n)
    // Standard error of the mean is cv/√n; the cv of a heavy tail settles more slowly.
    expect(Math.abs(mean - 1)).toBeLessThan((5 * cv) / Math.sqrt(n))
    expect(Math.abs(sd / mean / cv - 1)).toBeLessThan(0.06)
  })
  test('cv 1 is exponential: the median gap is ln 2 of the mean', () => {
    const times = gammaArrivals(40_001, 10, 1, 3)
    const gaps = times.slice(1).map((t, i) => t - times[i]!)
    expect(percentile(gaps, 50) / 100).toBeCloseTo(Math.LN2, 1)
  })
  test('the same seed gives the same times, another seed others; times ascend from 0', () => {
    const a = gammaArrivals(50, 20, 2, 1)
    expect(gammaArrivals(50, 20, 2, 1)).toEqual(a)
    expect(gammaArrivals(50, 20, 2, 2)).not.toEqual(a)
    expect(a[0]).toBe(0)
    expect(a).toEqual([...a].sort((x, y) => x - y))
  })
})

describe('02: averages hide the tail', () => {
  test('serves the requests at three quarters of what a burst sustained', async () => {
    const engine = new FakeEngine({ costs: { baseMs: 2, perTokenMs: 0.05 } })
    const r = await last(tailExperiment.run({ ...defaults(tailExperiment.params), requests: 200 }, await context(engine)))
    expect(engine.served).toBe(2)
    expect(r.rate / r.capacity).toBeCloseTo(0.75, 10)
    expect(perRequest(r.trace)).toHaveLength(200)
    const sent = r.trace.requests.map((q) => q.arrival)
    const spanS = (sent[sent.length - 1]! - sent[0]!) / 1000
    expect(199 / spanS / r.rate).toBeCloseTo(1, 9)
  })

  test('burstier arrivals at the same rate wait longer in the tail', async () => {
    const tailAt = async (cv: number) => {
      const r = await last(tailExperiment.run({ ...defaults(tailExperiment.params), requests: 400, cv }, await context(new FakeEngine({ costs: { baseMs: 2, perTokenMs: 0.05 } }))))
      return summarize(r.trace).ttft!
    }
    const [calm, bursty] = [await tailAt(0.2), await tailAt(4)]
    expect(bursty.p99).toBeGreaterThan(2 * calm.p99)
    expect(bursty.p99 - bursty.median).toBeGreaterThan(calm.p99 - calm.median)
  })

  test('the tail is the maximum below 300 requests, p99 from there on, and says which', async () => {
    const at = async (requests: number) =>
      tail((await last(tailExperiment.run({ ...defaults(tailExperiment.params), requests }, await context(new FakeEngine())))).trace)!
    const few = await at(60)
    const many = await at(300)
    expect(few.metric).toBe('max_ttft')
    expect(few.value).toBe(Math.max(...few.samples!))
    expect(many.metric).toBe('p99_ttft')
    expect(many.value).toBeLessThan(Math.max(...many.samples!))
  })
})

describe('05: prefill and decode', () => {
  // Step = 3 ms + 0.1 ms a token: prefill of 256 in one step is 28.6 ms, each decode of n sequences 3 + 0.1 n.
  const costs = { baseMs: 3, perTokenMs: 0.1 }

  test('TTFT and TPOT are what the step costs make them', async () => {
    const r = await last(components.run({ prompt: 256, output: 64, batch: 1 }, await context(new FakeEngine({ costs }))))
    const q = ofRequest(r.trace, 0)!
    expect(q.ttft.value).toBeCloseTo(28.6, 6)
    expect(q.tpot!.value).toBeCloseTo(3.1, 6)
    expect(q.rate!.value).toBeCloseTo(1000 / 3.1, 6)
    expect(q.e2e.value).toBeCloseTo(28.6 + 63 * 3.1, 6)
    expect(q.ttft.provenance.how).toBe('measured')
  })

  test('a batch shares its steps: TPOT rises by what the others add', async () => {
    const r = await last(components.run({ prompt: 16, output: 32, batch: 8 }, await context(new FakeEngine({ costs }))))
    expect(typical(r.trace).tpot!.value).toBeCloseTo(3.8, 6)
    expect(perRequest(r.trace)).toHaveLength(8)
  })

  test('steps fall into prefill and decode without remainder', async () => {
    const { trace } = await last(components.run({ prompt: 1024, output: 16, batch: 2 }, await context(new FakeEngine({ costs }))))
    const { prefill, decode } = byPhase(trace)
    expect(prefill.length + decode.length).toBe(trace.steps.length)
    expect(sums(prefill).ms + sums(decode).ms).toBeCloseTo(sums(trace.steps).ms, 6)
    const prompt = prefill.flatMap((s) => s.batch).filter((s) => s.tokens > 1).reduce((n, s) => n + s.tokens, 0)
    expect(prompt).toBe(2048)
    expect(decode.every((s) => s.batch.every((b) => b.tokens === 1))).toBe(true)
  })
})
