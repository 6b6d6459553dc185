import { describe, expect, test } from 'vitest'
import fc from 'fast-check'
import { binned } from '$components/charts/bins'
import { csv } from '$components/charts/copy'
import { fittingTicks, invertedScale, scaleFor, tickText, type AxisSpec } from '$components/charts/frame'
import { Guess } from '$components/charts/guess.svelte'
import { paretoEdge } from '$components/charts/pareto'
import { mg1Wait, mm1Quantile } from '$components/charts/queueing'
import { pointAt, sharedX, thinned, type Series } from '$components/charts/series'
import { corners, goodness, ternary } from '$components/charts/ternary'
import { labelWidth } from '$components/motif/labels'

test('ticks that would touch are left out, whatever the width', () => {
  const kinds = fc.constantFrom('linear', 'log')
  fc.assert(
    fc.property(kinds, fc.double({ min: 0.01, max: 1e5, noNaN: true }), fc.double({ min: 1.5, max: 1e6, noNaN: true }), fc.integer({ min: 120, max: 1600 }), (kind, from, ratio, width) => {
      const spec = { kind, domain: [from, from * ratio], label: '' } as AxisSpec
      const scale = scaleFor(spec, 0, width)
      const ticks = fittingTicks(spec, scale)
      // Two at least are tried for; they may touch only where not even two fit.
      if (ticks.length > 2) {
        for (let i = 1; i < ticks.length; i++) {
          const room = scale(ticks[i]!) - scale(ticks[i - 1]!)
          expect(room).toBeGreaterThanOrEqual((labelWidth(tickText(spec, ticks[i]!), 16) + labelWidth(tickText(spec, ticks[i - 1]!), 16)) / 2)
        }
      }
    }),
  )
})

test('a negative tick has the digits it needs', () => expect(tickText({ kind: 'linear', domain: [-1, 1], label: '' }, -0.2)).toBe('\u22120.2'))

test('a place on a scale leads back to its value', () => {
  for (const spec of [{ kind: 'linear', domain: [-3, 9], label: '' }, { kind: 'log', domain: [0.1, 1000], label: '' }] as AxisSpec[]) {
    const [there, back] = [scaleFor(spec, 400, 20), invertedScale(spec, 400, 20)]
    for (const v of [0.5, 2, 8]) expect(back(there(v))).toBeCloseTo(v, 9)
  }
})

test('the Pareto edge is what a search through all pairs leaves', () => {
  const point = fc.tuple(fc.integer({ min: 0, max: 6 }), fc.integer({ min: 0, max: 6 }))
  fc.assert(
    fc.property(fc.array(point, { maxLength: 12 }), (points) => {
      const edge = new Set(paretoEdge(points, ['low', 'high']))
      points.forEach(([x, y], i) => {
        const beaten = points.some(([a, b]) => (a < x && b >= y) || (a <= x && b > y))
        expect(edge.has(i)).toBe(!beaten)
      })
    }),
  )
  expect(paretoEdge([[1, NaN], [2, 2]], ['low', 'low'])).toEqual([1])
})

describe('the analytic overlay', () => {
  test('M/M/1: p99 is 6.64 times p50 at every load', () => {
    for (const load of [0.3, 0.7, 0.95]) expect(mm1Quantile(load, 11, 0.99) / mm1Quantile(load, 11, 0.5)).toBeCloseTo(6.644, 3)
    expect(mm1Quantile(0.5, 1, 1 - 1 / Math.E)).toBeCloseTo(2, 12) // the mean of an exponential
    expect(mm1Quantile(1, 1, 0.5)).toBe(Infinity)
  })
  test('M/G/1: a constant service time halves the wait of an exponential one', () => {
    expect(mg1Wait(0.8, 1, 0)).toBeCloseTo(mg1Wait(0.8, 1, 1) / 2, 12)
    expect(mg1Wait(0.8, 1, 1)).toBeCloseTo(4, 12)
  })
})

describe('triangle', () => {
  const box = { left: 0, right: 400, top: 0, bottom: 300 }
  test('a corner has all of one, the middle equal shares', () => {
    const tri = corners(box)
    expect(ternary([1, 0, 0], tri)).toEqual(tri[0])
    const middle = ternary([2, 2, 2], tri)
    expect(middle.x).toBeCloseTo((tri[0].x + tri[1].x + tri[2].x) / 3, 9)
    expect(middle.y).toBeCloseTo((tri[0].y + tri[1].y + tri[2].y) / 3, 9)
    expect(() => ternary([0, 0, 0], tri)).toThrow(/no shares/)
  })
  test('it is equilateral and inside its box', () => {
    const [a, b, c] = corners(box)
    const far = (p: typeof a, q: typeof a) => Math.hypot(p.x - q.x, p.y - q.y)
    expect(far(a, b)).toBeCloseTo(far(b, c), 6)
    expect(far(a, c)).toBeCloseTo(far(b, c), 6)
    for (const p of [a, b, c]) expect(p.x >= 0 && p.x <= 400 && p.y >= -1e-9 && p.y <= 300).toBe(true)
  })
  test('best is 1, worst 0, the geometric middle a half', () => {
    expect(goodness([[1, 5, 1], [10, 5, 100], [100, 5, 10]], ['low', 'low', 'high'])).toEqual([[1, 0.5, 0], [0.5, 0.5, 1], [0, 0.5, 0.5]])
  })
})

test('binned values are all there, the outliers at the ends', () => {
  expect(binned([-5, 0, 0.4, 0.5, 0.99, 1, 7], 0, 1, 2)).toEqual({ from: 0, to: 1, counts: [3, 4] })
  expect(() => binned([], 1, 1, 4)).toThrow(/hold nothing/)
})

test('CSV by RFC 4180: numbers in full, quotes doubled, no thin spaces', () => {
  expect(csv({ columns: ['a', 'b, c'], rows: [[1 / 3, 'say "x"'], ['10\u202fms', 2]] })).toBe('a,"b, c"\r\n0.3333333333333333,"say ""x"""\r\n10 ms,2\r\n')
})

describe('series', () => {
  const line: Series = { label: 'l', tone: 'queue', how: 'simulated', points: [{ x: 0, y: 0, low: -1, high: 1 }, { x: 10, y: 20, low: 18, high: 24 }] }
  const dots: Series = { label: 'd', tone: 'queue', how: 'measured', points: [{ x: 5, y: 9 }, { x: 10, y: 21 }] }
  test('a line is read between its points, dots are not', () => {
    expect(sharedX([line, dots])).toEqual([0, 5, 10])
    expect(pointAt(line, 5)).toEqual({ x: 5, y: 10, low: 8.5, high: 12.5 })
    expect(pointAt(dots, 7)).toBeUndefined()
    expect(pointAt(dots, 10)).toEqual({ x: 10, y: 21 })
    expect(pointAt(line, 11)).toBeUndefined()
  })
  test('a thinned curve keeps its ends', () => {
    const points = Array.from({ length: 2000 }, (_, i) => ({ x: i, y: i * i }))
    const thin = thinned(points, 50)
    expect(thin).toHaveLength(50)
    expect([thin[0], thin.at(-1)]).toEqual([points[0], points.at(-1)])
  })
})

describe('a guess', () => {
  const straight = (a: number, b: number, way: number) => a + (b - a) * way
  test('a stroke fills every column on its way, in both directions, and nothing else', () => {
    for (const [from, to] of [[1.2, 4.6], [4.6, 1.2]] as const) {
      const g = new Guess(7)
      g.draw({ column: from, value: from * 10 }, { column: to, value: to * 10 }, straight)
      expect(g.values.map((v) => (Number.isNaN(v) ? null : Math.round(v)))).toEqual([null, null, 20, 30, 40, null, null])
      expect([g.started, g.complete]).toEqual([true, false])
    }
  })
  test('a tap sets the nearest column', () => {
    const g = new Guess(5)
    g.draw({ column: 2.4, value: 7 }, { column: 2.4, value: 7 }, straight)
    expect(g.values.map((v) => (Number.isNaN(v) ? 0 : v))).toEqual([0, 0, 7, 0, 0])
  })
  test('it is compared with the truth where it was drawn', () => {
    const g = new Guess(3)
    g.columns = [0, 50, 100]
    for (const [i, v] of [10, 20, 40].entries()) g.set(i, v)
    expect(g.ratioAt(75, 60)).toBe(0.5)
    expect(g.ratioAt(120, 60)).toBeUndefined()
    g.reveal()
    g.again()
    expect([g.revealed, g.started]).toEqual([false, false])
  })
})
