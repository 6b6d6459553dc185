import { describe, expect, test } from 'vitest'
import fc from 'fast-check'
import type { Trace } from '$engine/trace/trace'
import { placeCurveLabels } from '$components/charts/curves'
import { stackDots } from '$components/charts/dots'
import { roundLogRange, scaleFor, tickText, ticksFor, type AxisSpec } from '$components/charts/frame'
import { heightAt, overlap, touches } from '$components/charts/geometry'
import { placeOnSlope, placePointLabels } from '$components/charts/points'
import { timelineRows, traceEnd } from '$components/charts/timeline'
import { attainable, domains, slopes } from '$components/charts/roofline'

const log = (from: number, to: number): AxisSpec => ({ kind: 'log', domain: [from, to], label: '' })
const linear = (from: number, to: number): AxisSpec => ({ kind: 'linear', domain: [from, to], label: '' })

describe('axes', () => {
  test('a log scale puts equal ratios at equal distances', () => {
    const s = scaleFor(log(0.1, 1000), 0, 400)
    expect([0.1, 1, 10, 100, 1000].map((v) => Math.round(s(v)))).toEqual([0, 100, 200, 300, 400])
    expect(s(0)).toBe(0)
  })
  test('a linear scale may run downwards', () => expect(scaleFor(linear(0, 10), 300, 100)(5)).toBe(200))
  test('impossible domains are refused', () => {
    expect(() => scaleFor(linear(5, 5), 0, 1)).toThrow(/rises/)
    expect(() => scaleFor(log(0, 5), 0, 1)).toThrow(/log axis cannot start at 0/)
  })

  test('at most five ticks, rising, inside the domain', () => {
    fc.assert(
      fc.property(fc.double({ min: 1e-3, max: 1e6, noNaN: true }), fc.double({ min: 1.5, max: 1e8, noNaN: true }), fc.constantFrom('linear', 'log'), (from, ratio, kind) => {
        const to = from * ratio
        const t = ticksFor({ kind, domain: [from, to], label: '' })
        expect(t.length).toBeLessThanOrEqual(5)
        for (const [i, v] of t.entries()) {
          expect(v).toBeGreaterThanOrEqual(from * (1 - 1e-6))
          expect(v).toBeLessThanOrEqual(to * (1 + 1e-6))
          if (i > 0) expect(v).toBeGreaterThan(t[i - 1]!)
        }
      }),
    )
  })
  test('linear steps are 1, 2, 2.5 or 5 times a power of ten', () => {
    expect(ticksFor(linear(0, 1000))).toEqual([0, 250, 500, 750, 1000])
    expect(ticksFor(linear(0, 600))).toEqual([0, 200, 400, 600])
    expect(ticksFor(linear(0.3, 1.05))).toEqual([0.4, 0.6, 0.8, 1])
    expect(ticksFor(linear(-40, 40))).toEqual([-40, -20, 0, 20, 40])
  })
  test('decades where they fit, 1-3 or 1-2-5 where there is room', () => {
    expect(ticksFor(log(0.1, 1000))).toEqual([0.1, 1, 10, 100, 1000])
    expect(ticksFor(log(10, 300))).toEqual([10, 20, 50, 100, 200])
    expect(ticksFor(log(10, 1000))).toEqual([10, 30, 100, 300, 1000])
    expect(ticksFor(log(1e-4, 1e4))).toHaveLength(5)
  })
  test('tick texts have the digits they need', () => {
    const text = (v: number) => tickText(linear(0, 1), v)
    expect([0, 0.1, 0.25, 1, 30, 250, 1000, 1500].map(text)).toEqual(['0', '0.1', '0.25', '1', '30', '250', '1000', '1500'])
    expect(text(1.5e6)).toBe('1.5\u202fM')
  })
  test('a log range grows to 1 or 3 and holds what it was given', () => {
    expect(roundLogRange(0.4, 120)).toEqual([0.3, 300])
    expect(roundLogRange(1, 1)).toEqual([1, 3])
    fc.assert(
      fc.property(fc.double({ min: 1e-6, max: 1e12, noNaN: true }), fc.double({ min: 1, max: 1e6, noNaN: true }), (low, ratio) => {
        const [a, b] = roundLogRange(low, low * ratio)
        expect(a).toBeLessThanOrEqual(low * (1 + 1e-6))
        expect(b).toBeGreaterThanOrEqual(low * ratio * (1 - 1e-6))
        expect(b).toBeGreaterThan(a)
      }),
    )
  })
})

describe('dot histogram', () => {
  const values = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 400 })

  test('one dot a value, in its column, inside the plot', () => {
    fc.assert(
      fc.property(values, (vs) => {
        const { dots, radius, columns } = stackDots(vs, (v) => v * 600, 600, 300)
        expect(dots).toHaveLength(vs.length)
        dots.forEach((d, i) => {
          expect(Math.abs(d.x - vs[i]! * 600)).toBeLessThanOrEqual(600 / columns / 2 + 1e-6)
          expect(d.y + radius).toBeLessThanOrEqual(300 + 1e-6)
          expect(d.y).toBeGreaterThanOrEqual(radius - 1e-9)
        })
      }),
    )
  })
  test('dots do not lie on each other', () => {
    fc.assert(
      fc.property(values, (vs) => {
        const { dots } = stackDots(vs, (v) => v * 600, 600, 300)
        expect(new Set(dots.map((d) => `${d.x.toFixed(3)},${d.y.toFixed(6)}`)).size).toBe(vs.length)
      }),
    )
  })
  test('what has landed stays where it is while others come in', () => {
    const all = [0.1, 0.5, 0.1, 0.9, 0.1]
    const place = (n: number) => stackDots(all.slice(0, n), (v) => v * 600, 600, 300, 60).dots
    expect(place(5).slice(0, 3)).toEqual(place(3))
  })
})

describe('roofline', () => {
  const roofs = {
    flopsPerSecond: 49e9,
    read: [
      { bytes: 1e6, bytesPerSecond: 63e9 },
      { bytes: 16e6, bytesPerSecond: 41e9 },
      { bytes: 256e6, bytesPerSecond: 23e9 },
    ],
  }
  test('below the ridge bandwidth limits, above it arithmetic', () => {
    expect(attainable(49e9, 23e9, 0.5)).toBe(11.5e9)
    expect(attainable(49e9, 23e9, 100)).toBe(49e9)
  })
  test('memory is the largest working set, cache the fastest, and only where it is faster', () => {
    expect(slopes(roofs)).toEqual([
      { label: 'memory', bytesPerSecond: 23e9 },
      { label: 'cache', bytesPerSecond: 63e9 },
    ])
    expect(slopes({ ...roofs, read: [{ bytes: 1e6, bytesPerSecond: 25e9 }, roofs.read[2]!] }).map((s) => s.label)).toEqual(['memory'])
    expect(slopes({ ...roofs, read: [] })).toEqual([])
  })
  test('axes hold every point and every ridge', () => {
    const point = fc.record({ intensity: fc.double({ min: 1e-3, max: 1e4, noNaN: true }), rate: fc.double({ min: 1e6, max: 1e13, noNaN: true }) })
    fc.assert(
      fc.property(fc.array(point, { maxLength: 4 }), (points) => {
        const { x, y } = domains(roofs, points)
        const ridge = 49 / 23
        for (const v of [ridge, ...points.map((p) => p.intensity)]) expect(v >= x[0] && v <= x[1]).toBe(true)
        for (const v of [49e9, ...points.map((p) => p.rate)]) expect(v >= y[0] && v <= y[1]).toBe(true)
      }),
    )
  })
})

test('labels of points that lie close keep clear of each other', () => {
  const bounds = { left: 0, right: 600, top: 0, bottom: 400 }
  const points = [
    { x: 300, y: 200, width: 80 },
    { x: 310, y: 206, width: 90 },
    { x: 590, y: 205, width: 70 },
  ]
  const boxes = placePointLabels(points, bounds).map((placed, i) => {
    const l = placed!
    const left = l.anchor === 'start' ? l.x : l.x - points[i]!.width
    return { left, right: left + points[i]!.width, top: l.y - 14, bottom: l.y + 4 }
  })
  for (const [i, a] of boxes.entries()) {
    expect(a.left).toBeGreaterThanOrEqual(0)
    expect(a.right).toBeLessThanOrEqual(600)
    for (const [j, b] of boxes.entries()) if (i !== j) expect(overlap(a, b)).toBe(false)
  }
})

test('a timeline has a row a request in order of arrival, cut at the playhead', () => {
  const device = { name: 'test', runner: 'recorded', model: 'none' } as const
  const record = (id: number, arrival: number) => ({ id, arrival, promptTokens: 4, maxTokens: 2 })
  const trace: Trace = {
    provenance: { how: 'recorded', device, at: '2026-01-01T00:00:00Z' },
    requests: [record(3, 50), record(1, 0)],
    events: [
      { t: 0, request: 1, kind: 'queued' },
      { t: 10, request: 1, kind: 'scheduled' },
      { t: 40, request: 1, kind: 'token' },
      { t: 50, request: 3, kind: 'queued' },
      { t: 60, request: 1, kind: 'token' },
      { t: 60, request: 1, kind: 'finished' },
      { t: 70, request: 3, kind: 'scheduled' },
      { t: 90, request: 3, kind: 'token' },
    ],
    steps: [],
  }
  expect(traceEnd(trace)).toBe(90)
  expect(timelineRows(trace, 55)).toEqual([
    {
      request: 1,
      finished: false,
      stages: [
        { kind: 'queue', start: 0, end: 10 },
        { kind: 'prefill', start: 10, end: 40 },
        { kind: 'decode', start: 40, end: 55 },
      ],
    },
    { request: 3, finished: false, stages: [{ kind: 'queue', start: 50, end: 55 }] },
  ])
  expect(timelineRows(trace, 60)[0]!.finished).toBe(true)
})

test('the label of a point on a roof stands off the roof', () => {
  const bounds = { left: 0, right: 600, top: 0, bottom: 400 }
  const roof = [{ x: 0, y: 300 }, { x: 200, y: 80 }, { x: 600, y: 80 }]
  const width = 70
  for (const point of [{ x: 560, y: 80 }, { x: 100, y: 190 }, { x: 200, y: 80 }]) {
    const [label] = placePointLabels([{ ...point, width }], bounds, [roof])
    const left = label!.anchor === 'start' ? label!.x : label!.x - width
    for (let x = Math.ceil(left); x <= left + width; x++) {
      const y = heightAt(roof, x)!
      expect(y < label!.y - 14 || y > label!.y + 4, `at ${x}`).toBe(true)
    }
  }
})

test('a text along a slope makes way for a point on it', () => {
  const [from, to] = [{ x: 0, y: 300 }, { x: 400, y: 0 }]
  expect(placeOnSlope(from, to, 150, [])).toBe(0.5)
  expect(placeOnSlope(from, to, 150, [{ x: 220, y: 135 }])).toBeCloseTo(81 / 500)
  expect(placeOnSlope(from, to, 150, [{ x: 100, y: 225 }, { x: 180, y: 165 }])).toBeCloseTo(1 - 81 / 500)
  expect(placeOnSlope(from, to, 600, [])).toBeUndefined()
  expect(placeOnSlope(from, to, 400, [{ x: 200, y: 150 }])).toBeUndefined()
})

describe('names on curves', () => {
  const bounds = { left: 0, right: 1000, top: 0, bottom: 500 }
  const curve = (f: (x: number) => number) => Array.from({ length: 101 }, (_, i) => ({ x: i * 10, y: f(i * 10) }))

  test('a polyline is found in a box it crosses between two of its points', () => {
    const line = [{ x: 0, y: 0 }, { x: 100, y: 100 }]
    expect(touches(line, { left: 40, right: 60, top: 45, bottom: 55 })).toBe(true)
    expect(touches(line, { left: 40, right: 60, top: 70, bottom: 90 })).toBe(false)
    expect(touches(line, { left: 120, right: 160, top: 100, bottom: 140 })).toBe(false)
    expect(heightAt(line, 25)).toBe(25)
    expect(heightAt(line, 101)).toBeUndefined()
  })

  test('where there is no room there is no name', () => {
    expect(placeCurveLabels([{ points: curve(() => 250), width: 1200 }], bounds)).toEqual([undefined])
  })

  test('each name stands clear of all curves, of other names and of the edges', () => {
    const curves = [
      { points: curve((x) => 480 - 40000 / (1080 - x)), width: 130 },
      { points: curve((x) => 480 - 20000 / (1080 - x)), width: 120 },
      { points: curve((x) => 450 - 0.1 * x), width: 100 },
      { points: curve((x) => 100 + 30 * Math.sin(x / 90)), width: 90 },
    ]
    const labels = placeCurveLabels(curves, bounds).map((l) => l!)
    const boxes = labels.map((l, i) => ({ left: l.x - curves[i]!.width / 2, right: l.x + curves[i]!.width / 2, top: l.y - 14, bottom: l.y + 4 }))
    for (const [i, box] of boxes.entries()) {
      expect(box.left >= 0 && box.right <= 1000 && box.top >= 0 && box.bottom <= 500).toBe(true)
      // Independent of the placing: the curve is walked pixel by pixel.
      for (const c of curves)
        for (let x = Math.ceil(box.left); x <= box.right; x++) {
          const y = heightAt(c.points, x)
          expect(y === undefined || y < box.top || y > box.bottom).toBe(true)
        }
      for (const [j, other] of boxes.entries()) if (i !== j) expect(overlap(box, other)).toBe(false)
    }
  })
})
