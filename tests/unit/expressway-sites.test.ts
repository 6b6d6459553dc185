import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { carAt, anchorOf } from '$components/expressway/pick'
import { between, cameraAt, project, projection, type CameraStop } from '$components/expressway/project'
import { drawingFor, imitated } from '$components/expressway/drawing'
import { scene, type Car } from '$components/expressway/scene'
import { siteOf } from '$components/expressway/site'
import { stopOf } from '$components/expressway/stops'
import { lookedFrom, lookFrom, ownPixels } from '$components/expressway/travel'
import type { Event, Trace } from '$engine/trace/trace'
import { sampleTrace } from './expressway/sample'

const endOf = (trace: Trace) => trace.events.reduce((t, e) => Math.max(t, e.t), 0)
const evenly = (trace: Trace, count: number) => Array.from({ length: count }, (_, i) => (endOf(trace) * (i + 0.5)) / count)

/** The same Trace, its requests dealt out to replicas in turn. */
function dealt(trace: Trace, replicas: number): Trace {
  return { ...trace, events: trace.events.map((e) => ({ ...e, replica: e.request % replicas })) }
}

/** The same Trace with a draft of `k` tokens before each verification that lets `held` of them stand. */
function drafted(trace: Trace, k: number, held: number): Trace {
  const extra: Event[] = []
  for (const { id } of trace.requests) {
    const tokens = trace.events.filter((e) => e.request === id && e.kind === 'token').map((e) => e.t)
    for (let i = 0; i + 1 < tokens.length; i += held + 1) {
      extra.push({ t: tokens[i]! + 1e-3, request: id, kind: 'draft', count: k })
      extra.push({ t: tokens[Math.min(i + held, tokens.length - 1)]!, request: id, kind: 'verify', count: held })
    }
  }
  return { ...trace, events: [...trace.events, ...extra].sort((a, b) => a.t - b.t) }
}

describe('several roads', () => {
  test('a request drives on the road of its replica, and every road counts its own', () => {
    const trace = dealt(sampleTrace({ requests: 40, every: 8, maxSequences: 12 }), 3)
    for (const at of evenly(trace, 30)) {
      const s = scene(trace, at)
      expect(s.site.roads).toHaveLength(3)
      for (const car of s.cars) expect(car.road).toBe(car.request % 3)
      for (const place of ['sent', 'waiting', 'prefill', 'decode'] as const) expect(s.roads.reduce((n, r) => n + r.counts[place], 0)).toBe(s.counts[place])
      expect(s.gates).toHaveLength(9)
    }
  })

  test('no two cars of a lane of a road overlap, and none rolls back, with any number of roads and a lane for long ones', () => {
    fc.assert(fc.property(fc.record({ seed: fc.integer({ min: 1, max: 1e6 }), roads: fc.integer({ min: 1, max: 6 }), longLane: fc.option(fc.integer({ min: 100, max: 600 }), { nil: undefined }), drafts: fc.boolean() }), ({ seed, roads, longLane, drafts }) => {
      const plain = dealt(sampleTrace({ seed, requests: 30, every: 10, maxSequences: 16 }), roads)
      const trace = drafts ? drafted(plain, 5, 2) : plain
      const before = new Map<number, Car>()
      for (const at of evenly(trace, 25)) {
        const { cars, layout } = scene(trace, at, { longLane })
        for (const car of cars) {
          const last = before.get(car.request)
          if (last && car.phase !== 'done') expect(car.station).toBeGreaterThanOrEqual(last.station - 1e-6)
          before.set(car.request, car)
        }
        const lanes = group(cars)
        for (const lane of lanes.values()) {
          const rearToFront = [...lane].sort((a, b) => a.station - b.station)
          for (let i = 1; i < rearToFront.length; i++) {
            const [rear, front] = [rearToFront[i - 1]!, rearToFront[i]!]
            const nose = rear.draft ? rear.draft.station + layout.draftLength : rear.station
            expect(front.tail - nose, `requests ${rear.request} and ${front.request} at ${at}`).toBeGreaterThan(0)
          }
        }
      }
    }), { numRuns: 25 })
  })

  test('the lane for long vehicles has the long ones and no others', () => {
    const trace = sampleTrace({ requests: 30, every: 10, prompt: [32, 800] })
    let long = 0
    for (const at of evenly(trace, 20)) {
      const { cars, layout } = scene(trace, at, { longLane: 600 })
      for (const car of cars) {
        const { promptTokens, maxTokens } = trace.requests[car.request]!
        const own = car.lane >= (layout.lanes * 2) / 3
        expect(own).toBe(promptTokens + maxTokens >= 600)
        if (own) long++
      }
    }
    expect(long).toBeGreaterThan(0)
  })

  test('who comes over a network drives along the whole connector meanwhile', () => {
    const trace = dealt(sampleTrace({ requests: 2, every: 0, network: { out: 100, back: 10 } }), 2)
    const regions = [{ name: 'here', roads: 1 }, { name: 'far', roads: 1 }]
    for (const share of [0.1, 0.5, 0.9]) {
      const { cars, site } = scene(trace, 100 * share, { regions })
      for (const car of cars) expect(car.station / site.roads[car.road]!.from).toBeCloseTo(1 - share, 6)
    }
  })
})

describe('a draft car', () => {
  const trace = drafted(sampleTrace({ requests: 1, output: [60, 60], prompt: [64, 64] }), 6, 2)

  test('is ahead of its verifier by the tokens that it proposes, and never behind it', () => {
    let led = 0
    for (const at of evenly(trace, 80)) {
      const { cars: [car], layout } = scene(trace, at)
      if (car?.phase !== 'decode') {
        expect(car?.draft).toBeUndefined()
        continue
      }
      expect(car.draft!.station).toBeGreaterThanOrEqual(car.station)
      const events = trace.events.filter((e) => e.t <= at && (e.kind === 'draft' || e.kind === 'verify'))
      const open = events.at(-1)?.kind === 'draft'
      expect(car.draft!.proposed).toBe(open ? 6 : 0)
      if (open && car.draft!.station - car.station > 2 * layout.tokenLength) led++
    }
    expect(led).toBeGreaterThan(10)
  })

  test('is not there where nothing is drafted', () => {
    const plain = sampleTrace({ requests: 6 })
    for (const at of evenly(plain, 10)) for (const car of scene(plain, at).cars) expect(car.draft).toBeUndefined()
  })
})

describe('picking', () => {
  test('the middle of a car is that car, also where cars are many; empty ground is nobody', () => {
    const size = { width: 1140, height: 560 }
    for (const [requests, replicas] of [[6, 1], [24, 4]] as const) {
      const trace = dealt(sampleTrace({ requests, every: 12, maxSequences: 12 }), replicas)
      const s = scene(trace, endOf(trace) / 2)
      const view = projection(cameraAt(stopOf('two-stage', s.site), size), size)
      expect(s.cars.length).toBeGreaterThan(2)
      for (const car of s.cars) expect(carAt(view, s, project(view, anchorOf(s, car)))?.request).toBe(car.request)
      expect(carAt(view, s, [size.width - 5, size.height - 5])).toBeUndefined()
    }
  })

  test('a pointer on a scaled stage is found in the stage’s own pixels', () => {
    const element = { getBoundingClientRect: () => ({ left: 100, top: 50, width: 570, height: 280 }) as DOMRect, clientWidth: 1140, clientHeight: 560 }
    expect(ownPixels({ clientX: 100 + 57, clientY: 50 + 28 }, element)).toEqual([114, 56])
  })
})

describe('travel between slides', () => {
  const [from, to] = [stopOf('two-stage', siteOf({})), stopOf('toll', siteOf({}))] as [CameraStop, CameraStop]
  test('begins and ends at the stops, and its zoom grows by equal ratios in equal times', () => {
    const size = { width: 1092, height: 560 }
    expect(cameraAt(between(from, to, 0), size)).toEqual(cameraAt(from, size))
    expect(cameraAt(between(from, to, 1), size).zoom).toBeCloseTo(cameraAt(to, size).zoom, 9)
    const zoom = (t: number) => between(from, to, t).span[0]
    expect(zoom(0.5) / zoom(0)).toBeCloseTo(zoom(1) / zoom(0.5), 9)
    expect(zoom(1)).not.toBeCloseTo(zoom(0), 1)
  })
  test('sets out from where the talk looked last, but not after a break', () => {
    lookFrom(from, 1000)
    expect(lookedFrom(61_000)).toEqual({ target: from.target, yaw: from.yaw, pitch: from.pitch, span: from.span })
    expect(lookedFrom(1000 + 31 * 60_000)).toBeUndefined()
    lookFrom(to, 2000)
    expect(lookedFrom(2001)?.target).toEqual(to.target)
  })
})

test('paper, reduced motion and a processor that imitates a graphics card get SVG; the address may force either, but not on paper', () => {
  const screen = { still: false, printing: false }
  expect(drawingFor(screen, () => true)).toBe('webgl')
  expect(drawingFor(screen, () => false)).toBe('svg')
  expect(drawingFor({ ...screen, still: true }, () => true)).toBe('svg')
  expect(drawingFor({ ...screen, forced: 'webgl' }, () => false)).toBe('webgl')
  expect(drawingFor({ ...screen, forced: 'svg' }, () => true)).toBe('svg')
  expect(drawingFor({ ...screen, printing: true, forced: 'webgl' }, () => true)).toBe('svg')
})

test.each([
  ['ANGLE (Google, Vulkan 1.3.0 (SwiftShader Device (Subzero) (0x0000C0DE)), SwiftShader driver)', true],
  ['llvmpipe (LLVM 15.0.6, 256 bits)', true],
  ['ANGLE (Microsoft, Microsoft Basic Render Driver (0x0000008C) Direct3D11)', true],
  ['ANGLE (Intel, Mesa Intel(R) UHD Graphics 620 (KBL GT2), OpenGL 4.6)', false],
  ['ANGLE (Apple, ANGLE Metal Renderer: Apple M3, Unspecified Version)', false],
])('%s is the processor: %s', (name, is) => expect(imitated(name)).toBe(is))

function group(cars: Car[]): Map<string, Car[]> {
  const lanes = new Map<string, Car[]>()
  for (const car of cars) lanes.set(`${car.road} ${car.lane}`, [...(lanes.get(`${car.road} ${car.lane}`) ?? []), car])
  return lanes
}
