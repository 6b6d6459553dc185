import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { binding, bottleneck, readRate, roofline, stepAttribution, total, utilisation } from '$engine/trace/bottleneck'
import { meets, percentile, perRequest, spread, summarize, toVllmJson } from '$engine/trace/metrics'
import { phaseTimes, segments } from '$engine/trace/phases'
import type { Event, Roofs, Step, Trace } from '$engine/trace/trace'

const device = { name: 'test', runner: 'reference', model: 'none' } as const
const provenance = { how: 'measured', device, at: '2026-01-01T00:00:00Z' } as const

/** Two requests of three and one tokens; every figure below is worked out by hand. */
function small(): Trace {
  const token = (t: number, request: number): Event => ({ t, request, kind: 'token', token: 7 })
  return {
    provenance,
    requests: [
      { id: 0, arrival: 10, promptTokens: 4, maxTokens: 3, network: { out: 2, back: 1 } },
      { id: 1, arrival: 20, promptTokens: 2, maxTokens: 1 },
    ],
    events: [
      { t: 10, request: 0, kind: 'sent' }, { t: 12, request: 0, kind: 'gateway' }, { t: 13, request: 0, kind: 'queued' },
      { t: 15, request: 0, kind: 'scheduled' }, token(41, 0),
      { t: 20, request: 1, kind: 'sent' }, { t: 20, request: 1, kind: 'queued' }, { t: 40, request: 1, kind: 'scheduled' },
      token(51, 0), token(50, 1), { t: 50, request: 1, kind: 'finished' },
      token(65, 0), { t: 65, request: 0, kind: 'finished' },
    ],
    steps: [
      step(15, 25, [0]), step(40, 10, [0, 1]), step(52, 12, [0]),
    ],
    roofs: { flopsPerSecond: 1e9, read: [{ bytes: 1e6, bytesPerSecond: 1e9 }] },
  }
}

function step(start: number, duration: number, requests: number[], flops = 1e6, bytes = 4e6): Step {
  return {
    start, duration, flops: flops * requests.length, bytes, workingSet: 1e6, kvBlocks: requests.length,
    batch: requests.map((request) => ({ request, tokens: 1, context: 4, sampled: true, soloFlops: flops, soloBytes: bytes / requests.length })),
  }
}

describe('percentiles', () => {
  // numpy.percentile(values, [0, 10, 50, 90, 99, 100]) of a fixed sample.
  test('equal numpy', () => {
    const values = [3.2, 1.5, 9.9, 4.4, 2.1, 8.7, 5.5]
    const numpy = [1.5, 1.86, 4.4, 9.18, 9.828, 9.9]
    for (const [i, p] of [0, 10, 50, 90, 99, 100].entries()) expect(percentile(values, p)).toBeCloseTo(numpy[i]!, 12)
  })
  test('of nothing or out of range are errors', () => {
    expect(() => percentile([], 50)).toThrow('percentile of nothing')
    expect(() => percentile([1], 101)).toThrow('101')
    expect(spread([])).toBeUndefined()
  })
  test('lie between the sample’s ends and rise with p', () => {
    fc.assert(fc.property(fc.array(fc.double({ min: -1e6, max: 1e6, noNaN: true }), { minLength: 1 }), fc.double({ min: 0, max: 100, noNaN: true }), fc.double({ min: 0, max: 100, noNaN: true }), (values, a, b) => {
      const [low, high] = a < b ? [a, b] : [b, a]
      expect(percentile(values, low)).toBeLessThanOrEqual(percentile(values, high) + 1e-9)
      expect(percentile(values, low)).toBeGreaterThanOrEqual(Math.min(...values) - 1e-9)
      expect(percentile(values, high)).toBeLessThanOrEqual(Math.max(...values) + 1e-9)
    }))
  })
})

describe('metrics', () => {
  test('TTFT, TPOT, ITL and E2E count from the scheduled arrival', () => {
    const [a, b] = perRequest(small())
    expect(a).toMatchObject({ ttft: 31, tpot: 12, itl: [10, 14], e2e: 55, outputTokens: 3 })
    expect(a!.ttft + a!.tpot! * (a!.outputTokens - 1)).toBe(a!.e2e)
    expect(b).toMatchObject({ ttft: 30, tpot: undefined, itl: [], e2e: 30, outputTokens: 1 })
  })
  test('a request of one token has no TPOT, is left out of its percentiles and passes its SLO', () => {
    const m = summarize(small(), { ttftMs: 30, tpotMs: 0.001 })
    expect(m.tpot!.mean).toBe(12)
    expect(meets(m.requests[1]!, { tpotMs: 0 })).toBe(true)
    expect(m.requestGoodput).toBeCloseTo(1 / 0.055, 9)
    expect(m.outputThroughput).toBeCloseTo(4 / 0.055, 9)
  })
  test('a request that failed is counted, not measured', () => {
    const trace = small()
    trace.requests.push({ id: 2, arrival: 0, promptTokens: 1, maxTokens: 1 })
    trace.events.push({ t: 1, request: 2, kind: 'failed', reason: 'lost' })
    expect(summarize(trace)).toMatchObject({ completed: 2, failed: 1 })
    expect(toVllmJson(trace)['errors']).toEqual(['', '', 'lost'])
  })
  test('export has the keys of vllm bench serve', () => {
    const json = toVllmJson(small())
    for (const key of 'duration completed failed total_input_tokens total_output_tokens request_throughput request_goodput output_throughput total_token_throughput input_lens output_lens ttfts itls start_times errors mean_ttft_ms median_ttft_ms std_ttft_ms p99_ttft_ms mean_tpot_ms mean_itl_ms mean_e2el_ms p99_e2el_ms'.split(' ')) {
      expect(json, key).toHaveProperty(key)
    }
    expect(json['ttfts']).toEqual([0.031, 0.03])
  })
})

describe('phases', () => {
  test('cover the client’s time without gaps', () => {
    const s = segments(small(), 0)
    expect(s.map((x) => [x.kind, x.start, x.end])).toEqual([
      ['network', 10, 12], ['queue', 12, 15], ['prefill', 15, 41], ['decode', 41, 65],
    ])
    expect(phaseTimes(small(), 1)).toEqual({ network: 0, queue: 20, prefill: 10, decode: 0 })
  })
  test('a preempted request queues again', () => {
    const trace = small()
    trace.events.splice(5, 0, { t: 42, request: 0, kind: 'preempted' }, { t: 48, request: 0, kind: 'scheduled' })
    expect(segments(trace, 0).map((x) => x.kind)).toEqual(['network', 'queue', 'prefill', 'decode', 'queue', 'decode'])
  })
})

describe('bottleneck', () => {
  const roofs: Roofs = { flopsPerSecond: 1e9, read: [{ bytes: 1e6, bytesPerSecond: 4e9 }, { bytes: 1e8, bytesPerSecond: 1e9 }] }

  test('the read rate follows the working set, flat beyond the ends', () => {
    expect(readRate(roofs, 10)).toBe(4e9)
    expect(readRate(roofs, 1e7)).toBeCloseTo(2.5e9, 0) // half-way in log(bytes)
    expect(readRate(roofs, 1e12)).toBe(1e9)
  })
  test('the larger of the two roofs binds', () => {
    expect(roofline(roofs, 2e6, 1e6, 1e6)).toEqual({ ms: 2, bound: 'compute' })
    expect(roofline(roofs, 2e6, 4e8, 1e9)).toEqual({ ms: 400, bound: 'memory' })
  })
  test('by hand: one request alone, then shared, then a gap', () => {
    // Step 1: 25 ms, memory 4 ms, own; step 2: 10 ms, memory 4 of which 2 own; gap 2 ms; step 3: 12 ms, memory 4.
    const a = bottleneck(small(), 0)
    expect(a.network).toBe(3)
    expect(a.memory).toBeCloseTo(4 + 2 + 4, 9)
    expect(a.queue).toBeCloseTo(2, 9)
    expect(a.compute).toBe(0)
    expect(a.overhead).toBeCloseTo(1 + 2 + 21 + 6 + 2 + 8, 9)
    expect(total(a)).toBeCloseTo(55, 9)
    expect(binding(a)).toBe('overhead')
  })
  test('time in line behind others is queue', () => {
    const a = bottleneck(small(), 1)
    expect(a.queue).toBeCloseTo(20 + 2, 9)
    expect(total(a)).toBeCloseTo(30, 9)
  })

  const trace = fc.record({
    gaps: fc.array(fc.record({ gap: fc.double({ min: 0, max: 5, noNaN: true }), duration: fc.double({ min: 0, max: 30, noNaN: true }), flops: fc.double({ min: 0, max: 1e8, noNaN: true }), bytes: fc.double({ min: 1, max: 1e8, noNaN: true }), who: fc.subarray([0, 1, 2]) }), { minLength: 1, maxLength: 30 }),
    arrivals: fc.tuple(fc.double({ min: 0, max: 40, noNaN: true }), fc.double({ min: 0, max: 40, noNaN: true }), fc.double({ min: 0, max: 40, noNaN: true })),
    out: fc.double({ min: 0, max: 3, noNaN: true }),
  }).map(({ gaps, arrivals, out }): Trace => {
    let t = 50
    const steps: Step[] = gaps.map((g) => {
      t += g.gap
      const s = { ...step(t, g.duration, g.who), flops: g.flops * 2, bytes: g.bytes * 2 }
      s.batch = g.who.map((request) => ({ request, tokens: 1, context: 1, sampled: true, soloFlops: g.flops, soloBytes: g.bytes }))
      t += g.duration
      return s
    })
    const events: Event[] = [0, 1, 2].flatMap((request): Event[] => [
      { t: arrivals[request]!, request, kind: 'sent' }, { t: arrivals[request]! + out, request, kind: 'gateway' }, { t: arrivals[request]! + out + 1, request, kind: 'queued' },
      { t: t + out, request, kind: 'token', token: 1 }, { t: t + out, request, kind: 'finished' },
    ])
    return { provenance, roofs, steps, events, requests: [0, 1, 2].map((id) => ({ id, arrival: arrivals[id]!, promptTokens: 1, maxTokens: 1, network: { out, back: out } })) }
  })

  test('the parts sum to E2E and none is negative, whatever happened', () => {
    fc.assert(fc.property(trace, (t) => {
      for (const m of perRequest(t)) {
        const a = bottleneck(t, m.request)
        expect(total(a)).toBeCloseTo(m.e2e, 6)
        for (const part of Object.values(a)) expect(part).toBeGreaterThanOrEqual(-1e-9)
      }
    }))
  })
  test('MBU and MFU never exceed 100 %', () => {
    fc.assert(fc.property(trace, (t) => {
      const { mbu, mfu } = utilisation(t.steps, roofs)
      expect(mbu).toBeLessThanOrEqual(1 + 1e-12)
      expect(mfu).toBeLessThanOrEqual(1 + 1e-12)
      for (const s of t.steps) expect(stepAttribution(s, roofs).overheadMs).toBeGreaterThanOrEqual(0)
    }))
  })
})
