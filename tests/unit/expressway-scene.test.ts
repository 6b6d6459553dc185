import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { scene, type Car, type Scene } from '$components/expressway/scene'
import type { Trace } from '$engine/trace/trace'
import { sampleTrace, type SampleOptions } from './expressway/sample'

/** Loads from an idle road to a jam, one or many at once, short and long prompts. */
const loads: fc.Arbitrary<SampleOptions> = fc.record({
  seed: fc.integer({ min: 1, max: 1e6 }),
  requests: fc.integer({ min: 1, max: 40 }),
  every: fc.constantFrom(0, 5, 40, 300),
  prompt: fc.constantFrom<[number, number]>([1, 8], [16, 16], [32, 512], [500, 2000]),
  output: fc.constantFrom<[number, number]>([1, 1], [2, 20], [16, 200]),
  maxSequences: fc.constantFrom(1, 4, 16, 40),
  maxBatchedTokens: fc.constantFrom(64, 512),
  network: fc.option(fc.constant({ out: 20, back: 15 }), { nil: undefined }),
})
const preempting: fc.Arbitrary<SampleOptions> = fc.record({
  seed: fc.integer({ min: 1, max: 1e6 }),
  requests: fc.integer({ min: 4, max: 16 }),
  every: fc.constantFrom(0, 20),
  prompt: fc.constant<[number, number]>([16, 200]),
  output: fc.constant<[number, number]>([16, 120]),
  maxSequences: fc.constantFrom(4, 16),
  blocks: fc.constantFrom(24, 40),
})

const endOf = (trace: Trace) => trace.events.reduce((t, e) => Math.max(t, e.t), 0)

/** Moments worth a look: on and around every tenth event or so, and evenly in between. */
function moments(trace: Trace, count = 60): number[] {
  const end = endOf(trace) * 1.1 + 1
  const at = Array.from({ length: count }, (_, i) => (end * i) / (count - 1))
  const every = Math.max(1, Math.floor(trace.events.length / count))
  for (let i = 0; i < trace.events.length; i += every) at.push(trace.events[i]!.t - 1e-4, trace.events[i]!.t, trace.events[i]!.t + 1e-4)
  return at.filter((t) => t >= 0).sort((a, b) => a - b)
}

const carOf = (s: Scene, request: number): Car | undefined => s.cars.find((c) => c.request === request)

describe('a car stands where the Trace has its request', () => {
  test('nobody decodes before the first token, is in prefill before being scheduled, or drives after leaving', () => {
    fc.assert(fc.property(loads, (options) => {
      const trace = sampleTrace(options)
      for (const at of moments(trace)) {
        for (const car of scene(trace, at).cars) {
          const seen = trace.events.filter((e) => e.request === car.request && e.t <= at).map((e) => e.kind)
          const expected = seen.includes('finished') ? 'done' : seen.includes('token') ? 'decode' : seen.includes('scheduled') ? 'prefill' : seen.includes('gateway') ? 'waiting' : 'sent'
          expect(car.phase, `request ${car.request} at ${at}`).toBe(expected)
          expect(car.tokens).toBe(seen.filter((kind) => kind === 'token').length)
        }
      }
    }), { numRuns: 40 })
  })

  test('every request is in exactly one place', () => {
    fc.assert(fc.property(fc.oneof(loads, preempting), (options) => {
      const trace = sampleTrace(options)
      for (const at of moments(trace, 30)) {
        const { cars, counts, more } = scene(trace, at)
        expect(Object.values(counts).reduce((a, b) => a + b)).toBe(trace.requests.length)
        expect(new Set(cars.map((c) => c.request)).size).toBe(cars.length)
        expect(cars.length + more.waiting + more.road).toBe(trace.requests.length - counts.ahead - counts.gone)
      }
    }), { numRuns: 40 })
  })

  test('at the end of a step, all trailers together hold the blocks that the step says', () => {
    let checked = 0
    fc.assert(fc.property(fc.oneof(loads, preempting), (options) => {
      const trace = sampleTrace({ ...options, network: undefined })
      for (const [i, step] of trace.steps.entries()) {
        // Whoever ends or is sent back at that very moment has given its blocks away when the next step starts.
        const end = step.start + step.duration
        if (trace.events.some((e) => e.t === end && (e.kind === 'preempted' || e.kind === 'finished'))) continue
        checked++
        expect(scene(trace, end).kvBlocks, `step ${i}`).toBe(step.kvBlocks)
      }
    }), { numRuns: 40 })
    expect(checked).toBeGreaterThan(1000)
  })

  test('inside a step, the tokens in a trailer grow evenly with time', () => {
    const trace = sampleTrace({ requests: 3, prompt: [300, 500], maxBatchedTokens: 128 })
    for (const step of trace.steps) {
      for (const share of step.batch) {
        const car = carOf(scene(trace, step.start + step.duration * 0.25), share.request)!
        expect(car.kvTokens).toBeCloseTo(share.context + share.tokens * 0.25, 6)
        expect(car.trailerBlocks).toBe(Math.ceil(car.kvTokens / 16))
        expect((car.trailerBlocks - 1 + car.lastFill) * 16).toBeCloseTo(car.kvTokens, 6)
      }
    }
  })

  test('alone on the road, a car is as far up the ramp as its prompt is computed, and as far along the deck as its output', () => {
    const trace = sampleTrace({ requests: 1, prompt: [400, 400], output: [50, 50], maxBatchedTokens: 64 })
    const first = trace.events.find((e) => e.kind === 'token')!.t
    const finished = endOf(trace)
    const start = carOf(scene(trace, trace.steps[0]!.start), 0)!.station
    const merged = carOf(scene(trace, first), 0)!.station
    for (const at of moments(trace).filter((t) => t < first)) {
      const done = trace.steps.reduce((n, s) => n + Math.min(1, Math.max(0, (at - s.start) / s.duration)) * (s.batch[0]!.context < 400 ? s.batch[0]!.tokens : 0), 0) / 400
      expect(carOf(scene(trace, at), 0)!.station).toBeCloseTo(start + (merged - start) * done, 6)
    }
    // One token each step: the same way each.
    const tokens = trace.events.filter((e) => e.kind === 'token')
    const perToken = carOf(scene(trace, tokens[1]!.t), 0)!.station - merged
    expect(perToken).toBeGreaterThan(0)
    for (const [i, { t }] of tokens.entries()) if (t < finished) expect(carOf(scene(trace, t), 0)!.station).toBeCloseTo(merged + perToken * i, 6)
  })
})

describe('the road stays a road', () => {
  test('no two cars of a lane overlap, trailers included', () => {
    fc.assert(fc.property(fc.oneof(loads, preempting), (options) => {
      const trace = sampleTrace(options)
      for (const at of moments(trace)) {
        const { cars, layout } = scene(trace, at)
        for (let lane = 0; lane < layout.lanes; lane++) {
          const rearToFront = cars.filter((c) => c.lane === lane).sort((a, b) => a.station - b.station)
          for (let i = 1; i < rearToFront.length; i++) expect(rearToFront[i]!.tail - rearToFront[i - 1]!.station, `at ${at}`).toBeGreaterThan(0.1)
        }
      }
    }), { numRuns: 40 })
  })

  test('a car keeps its lane, and never rolls back while it is on the road', () => {
    fc.assert(fc.property(loads, (options) => {
      const trace = sampleTrace(options)
      const before = new Map<number, Car>()
      for (const at of moments(trace)) {
        for (const car of scene(trace, at).cars) {
          const last = before.get(car.request)
          // Who has finished gets out of the way of others as it can.
          if (last && car.phase !== 'done') {
            expect(car.lane).toBe(last.lane)
            // Tokens on their way back are in the trailer ahead before they move it: a follower may give way by that sliver.
            expect(car.station, `request ${car.request} at ${at}`).toBeGreaterThanOrEqual(last.station - (options.network ? 0.5 : 1e-6))
            expect(car.kvTokens).toBeGreaterThanOrEqual(last.kvTokens - 1e-6)
          }
          before.set(car.request, car)
        }
      }
    }), { numRuns: 40 })
  })

  test('the order of looking does not matter', () => {
    const trace = sampleTrace({ requests: 30, every: 12 })
    const times = moments(trace, 20)
    const forward = times.map((at) => scene(trace, at))
    const backward = times.toReversed().map((at) => scene(trace, at)).toReversed()
    expect(backward).toEqual(forward)
    expect(times.map((at) => scene(structuredClone(trace), at))).toEqual(forward)
  })

  test('a Trace that grows shows what the whole one shows, as far as it goes', () => {
    const whole = sampleTrace({ requests: 20, every: 15 })
    for (const share of [0.2, 0.5, 0.8, 1]) {
      const until = endOf(whole) * share
      const part: Trace = { ...whole, events: whole.events.filter((e) => e.t <= until), steps: whole.steps.filter((s) => s.start + s.duration <= until) }
      // A step that still runs is not in the part: its progress shows once it is done.
      const known = part.steps.at(-1)!.start + part.steps.at(-1)!.duration
      for (const at of [0.3, 0.6, 1].map((f) => known * f)) {
        const expected = scene(structuredClone(whole), at, { capacity: 8 })
        const { cars, counts } = scene(part, at, { capacity: 8 })
        expect(counts).toEqual(expected.counts)
        for (const car of cars) {
          const same = carOf(expected, car.request)!
          expect([car.lane, car.phase, car.trailerBlocks, car.tokens]).toEqual([same.lane, same.phase, same.trailerBlocks, same.tokens])
        }
      }
    }
  })

  test('an array that is appended to and a longer copy of it are the same Trace to the road', () => {
    const whole = sampleTrace({ requests: 10 })
    const growing: Trace = { ...whole, requests: [], events: [], steps: [] }
    growing.requests.push(...whole.requests)
    for (let i = 0; i < whole.events.length; i += 50) {
      growing.events.push(...whole.events.slice(i, i + 50))
      growing.steps.length = 0
      growing.steps.push(...whole.steps.filter((s) => s.start + s.duration <= growing.events.at(-1)!.t))
      const copy = structuredClone(growing)
      const at = growing.events.at(-1)!.t * 0.9
      expect(scene(growing, at)).toEqual(scene(copy, at))
      expect(scene({ ...growing, events: growing.events.slice() }, at)).toEqual(scene(copy, at))
    }
  })
})

describe('gates and crowds', () => {
  test('an empty road stands open; a gate with a line and nobody passing is shut, and its cars brake', () => {
    const trace = sampleTrace({ requests: 12, every: 0, maxSequences: 1, output: [40, 60] })
    expect(scene(trace, endOf(trace) + 1e5).gates.map((g) => g.open)).toEqual([1, 1, 1])
    // Long after the first has gone through, everybody else still waits.
    const served = trace.events.filter((e) => e.kind === 'token' && e.request === 0).at(-1)!.t - 1
    const { gates, cars, counts } = scene(trace, served)
    expect(counts.waiting).toBe(11)
    expect(gates.map((g) => g.open)).toEqual([0, 0, 0])
    expect(gates.reduce((n, g) => n + g.waiting, 0)).toBe(11)
    for (const car of cars) expect(car.brake).toBe(car.phase === 'waiting')
  })

  test('a line longer than the approach, and more than 200 on the road, become numbers', () => {
    const jam = sampleTrace({ requests: 120, every: 0, maxSequences: 2, prompt: [16, 32], output: [30, 60] })
    const { cars, counts, more } = scene(jam, 300)
    expect(more.waiting).toBeGreaterThan(0)
    expect(cars.filter((c) => c.phase === 'waiting').length + more.waiting).toBe(counts.waiting)

    const crowd = sampleTrace({ requests: 230, every: 0, maxSequences: 230, prompt: [16, 16], output: [40, 40], maxBatchedTokens: 4096 })
    const busy = scene(crowd, crowd.steps[10]!.start)
    expect(busy.counts.decode).toBe(230)
    expect(busy.cars.length).toBe(200)
    expect(busy.more.road).toBe(30)
    // The eldest are the ones shown.
    expect(busy.cars.map((c) => c.request).sort((a, b) => a - b)).toEqual(Array.from({ length: 200 }, (_, i) => i))
  })

  test('a log of events without steps is drawn too', () => {
    const trace = { ...sampleTrace({ requests: 6 }), steps: [] }
    const first = trace.events.find((e) => e.kind === 'scheduled')!
    const token = trace.events.find((e) => e.kind === 'token' && e.request === first.request)!
    const car = carOf(scene(trace, (first.t + token.t) / 2), first.request)!
    expect(car.phase).toBe('prefill')
    expect(car.along).toBeCloseTo(0.5, 6)
    expect(car.trailerBlocks).toBe(Math.ceil(trace.requests[first.request]!.promptTokens / 2 / 16))
  })
})
