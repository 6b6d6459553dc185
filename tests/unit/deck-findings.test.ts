import { describe, expect, test } from 'vitest'
import { aboveRoof, dots, findings } from '$slides/05_latency_components/findings'
import { findings as tailFindings } from '$slides/02_latency_metrics/findings'
import { run as runCover, type CoverReading } from '$slides/00_cover/experiment'
import { meets, perRequest } from '$engine/trace/metrics'
import type { Step, Trace } from '$engine/trace/trace'
import { FakeEngine } from '../support/fake-engine'

const PROVENANCE = { how: 'measured', device: { name: 'paper', runner: 'wasm', model: 'timing-1m' }, at: '2026-01-01T00:00:00.000Z' } as const

/** One request by hand: a prefill step of 100 tokens and four decode steps, with given work and durations. */
function byHand(prefill: Pick<Step, 'duration' | 'flops' | 'bytes'>, decode: Pick<Step, 'duration' | 'flops' | 'bytes'>): Trace {
  const share = (tokens: number, context: number) => ({ request: 0, tokens, context, sampled: true, soloFlops: 1, soloBytes: 1 })
  const steps: Step[] = [{ start: 0, ...prefill, workingSet: 1e8, kvBlocks: 7, batch: [share(100, 0)] }]
  const events: Trace['events'] = [{ t: 0, request: 0, kind: 'queued' }, { t: 0, request: 0, kind: 'scheduled' }, { t: prefill.duration, request: 0, kind: 'token' }]
  for (let i = 0; i < 4; i++) {
    const start = prefill.duration + i * decode.duration
    steps.push({ start, ...decode, workingSet: 1e8, kvBlocks: 7, batch: [share(1, 100 + i)] })
    events.push({ t: start + decode.duration, request: 0, kind: 'token' })
  }
  events.push({ t: events.at(-1)!.t, request: 0, kind: 'finished' })
  return {
    provenance: PROVENANCE, events, steps, resolution: 0.005,
    requests: [{ id: 0, arrival: 0, promptTokens: 100, maxTokens: 5 }],
    // Ridge: 40 GFLOP/s over 20 GB/s = 2 FLOP/byte.
    roofs: { flopsPerSecond: 40e9, read: [{ bytes: 1e6, bytesPerSecond: 60e9 }, { bytes: 1e8, bytesPerSecond: 20e9 }] },
  }
}

describe('05', () => {
  test('numbers on a case worked out on paper', () => {
    // Prefill: 2 GFLOP and 0.1 GB in 100 ms: 50 ms of arithmetic, 5 of reading. Decode: 0.1 GB and 20 MFLOP in 8 ms: 5 of reading, 0.5 of arithmetic.
    const f = findings(byHand({ duration: 100, flops: 2e9, bytes: 1e8 }, { duration: 8, flops: 2e7, bytes: 1e8 }))!
    expect(f.prefill.bound).toBe('compute')
    expect(f.decode.bound).toBe('memory')
    expect(f.prefill.ms.value).toBeCloseTo(100, 9)
    expect(f.prefill.mfu.value).toBeCloseTo(50, 9)
    expect(f.decode.mbu.value).toBeCloseTo(62.5, 9)
    expect(f.prefill.intensity.value).toBeCloseTo(20, 9)
    expect(f.decode.intensity.value).toBeCloseTo(0.2, 9)
    expect(f.ridge.value).toBeCloseTo(2, 9)
    expect(f.tpot!.value).toBeCloseTo(8, 9)
    expect(f.rate!.value).toBeCloseTo(125, 9)
    // One token out (8 ms) against one token in (100 ms / 100).
    expect(f.exchange!.value).toBeCloseTo(8, 9)
    expect([f.ttft!, f.tpot!, f.exchange!, f.prefill.mfu].map((q) => q.provenance)).toEqual(Array(4).fill(PROVENANCE))
  })

  test('where decode is not bound by memory, it says compute; where neither explains the time, overhead', () => {
    const cache = findings(byHand({ duration: 100, flops: 2e9, bytes: 1e8 }, { duration: 8, flops: 2e8, bytes: 2e7 }))!
    expect(cache.decode.bound).toBe('compute')
    const slow = findings(byHand({ duration: 100, flops: 2e9, bytes: 1e8 }, { duration: 50, flops: 2e7, bytes: 1e8 }))!
    expect(slow.decode.bound).toBe('overhead')
  })

  test('dots stand where the steps taken so far put them', () => {
    const trace = byHand({ duration: 100, flops: 2e9, bytes: 1e8 }, { duration: 8, flops: 2e7, bytes: 1e8 })
    expect(dots(trace)).toMatchObject([
      { label: 'prefill', intensity: 20, rate: 20e9 },
      { label: 'decode', intensity: 0.2, rate: 2.5e9 },
    ])
    expect(dots({ ...trace, steps: trace.steps.slice(0, 1) }).map((d) => d.label)).toEqual(['prefill'])
    expect(dots({ ...trace, steps: [] })).toEqual([])
  })

  test('a run faster than the calibrated roof allows is told from one at the roof', () => {
    // Prefill: 50 ms at the least by arithmetic; decode: 5 ms by reading.
    const taking = (prefill: number, decode: number) => byHand({ duration: prefill, flops: 2e9, bytes: 1e8 }, { duration: decode, flops: 2e7, bytes: 1e8 })
    expect(aboveRoof(taking(50, 5))).toBe(false)
    expect(aboveRoof(taking(40, 5))).toBe(true)
    expect(aboveRoof(taking(50, 4))).toBe(true)
  })

  test('without roofs, or before a phase has run, nothing is claimed', () => {
    const trace = byHand({ duration: 100, flops: 2e9, bytes: 1e8 }, { duration: 8, flops: 2e7, bytes: 1e8 })
    expect(findings({ ...trace, roofs: undefined })).toBeUndefined()
    expect(findings({ ...trace, steps: trace.steps.slice(0, 1) })).toBeUndefined()
  })
})

test('02: goodput counts the requests within the limit, whatever the limit', async () => {
  const engine = new FakeEngine({ costs: { baseMs: 2, perTokenMs: 0.05 } })
  const { run, params } = await import('$slides/02_latency_metrics/experiment')
  const profile = await engine.open({})
  let last
  for await (const r of run({ requests: params.requests.default, cv: 1, slo_ttft: 500 }, { engine, profile, seed: 1, signal: new AbortController().signal })) last = r
  const ttfts = perRequest(last!.trace)
  for (const limit of [20, 100, 2000]) {
    const f = tailFindings(last!, limit)!
    expect(f.good.value).toBe(ttfts.filter((r) => meets(r, { ttftMs: limit })).length)
    expect(f.goodput.value).toBeLessThanOrEqual(f.rate.value / 0.75)
  }
  expect(tailFindings({ ...last!, trace: { ...last!.trace, events: [] } }, 500)).toBeUndefined()
})

describe('00', () => {
  async function all(options: ConstructorParameters<typeof FakeEngine>[0]) {
    const engine = new FakeEngine(options)
    const readings: CoverReading[] = []
    for await (const r of runCover({}, { engine, profile: await engine.open({}), seed: 1, signal: new AbortController().signal })) readings.push(r)
    return readings
  }

  test('a quick machine serves enough for a p99, and the crowd is handed over only when it is whole', async () => {
    const readings = await all({ costs: { baseMs: 0.5, perTokenMs: 0.02 } })
    const last = readings.at(-1)!
    expect(perRequest(last.crowd!)).toHaveLength(300)
    expect(last.trace).toBe(last.crowd)
    expect(readings.slice(0, -1).every((r) => r.crowd === undefined)).toBe(true)
    expect(perRequest(last.solo)).toHaveLength(1)
  })

  test('a slow machine serves fewer, so that the opening does not take minutes', async () => {
    const last = (await all({ costs: { baseMs: 20, perTokenMs: 0.5 } })).at(-1)!
    expect(last.sent).toBe(24)
    expect(perRequest(last.crowd!)).toHaveLength(24)
  })
})
