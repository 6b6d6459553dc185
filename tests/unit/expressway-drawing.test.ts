import { OrthographicCamera, Vector3 } from 'three'
import { describe, expect, test } from 'vitest'
import { carPainter, drawCar } from '$components/expressway/draw-car'
import { drawWorld } from '$components/expressway/draw-world'
import { between, cameraAt, project, projection, type Camera, type Vec3, type Viewport } from '$components/expressway/project'
import { paletteOf } from '$components/expressway/palette'
import { DECK } from '$components/expressway/road'
import { scene } from '$components/expressway/scene'
import { siteOf, type SiteOptions } from '$components/expressway/site'
import { STOP_NAMES, stopOf, type StopName } from '$components/expressway/stops'
import { sentence, sublines } from '$components/expressway/words'
import { worldOf } from '$components/expressway/world'
import type { Trace } from '$engine/trace/trace'
import { sampleTrace } from './expressway/sample'

const HERO: Viewport = { width: 1140, height: 560 }
const sizeOf = (name: StopName): Viewport => (name === 'cover' ? { width: 1600, height: 900 } : name === 'phone' ? { width: 390, height: 351 } : HERO)
const SINGLE = siteOf()
const ROAD = SINGLE.roads[0]!
const stop = (name: StopName) => stopOf(name, SINGLE)
/** One of everything that a site can be. */
const SITES: SiteOptions[] = [{}, { roads: 2 }, { roads: 4, longLane: 500 }, { roads: 16 }, { regions: [{ name: 'here', roads: 2 }, { name: 'there', roads: 1 }] }, { experts: 8, longLane: 900 }]

/** three.js's own camera, set from the same numbers. */
function threeCamera(camera: Camera, { width, height }: Viewport): OrthographicCamera {
  const three = new OrthographicCamera(-width / 2, width / 2, height / 2, -height / 2, -500, 500)
  const [yaw, pitch] = [camera.yaw, camera.pitch].map((d) => (d * Math.PI) / 180) as [number, number]
  const target = new Vector3(...camera.target)
  three.position.set(Math.sin(yaw) * Math.cos(pitch), Math.sin(pitch), Math.cos(yaw) * Math.cos(pitch)).multiplyScalar(50).add(target)
  three.lookAt(target)
  three.zoom = camera.zoom
  three.updateProjectionMatrix()
  three.updateMatrixWorld()
  return three
}

describe('projection', () => {
  test('puts every point where three.js puts it, from every stop', () => {
    for (const name of STOP_NAMES) {
      const view = sizeOf(name)
      const camera = cameraAt(stop(name), view)
      const ours = projection(camera, view)
      const theirs = threeCamera(camera, view)
      for (const point of [[0, 0, 0], [-40, 0, 20], [30, 5, -9], [3, 17, 44]] as Vec3[]) {
        const v = new Vector3(...point).project(theirs)
        const [x, y] = project(ours, point)
        expect(x).toBeCloseTo(((v.x + 1) / 2) * view.width, 3)
        expect(y).toBeCloseTo(((1 - v.y) / 2) * view.height, 3)
      }
    }
  })

  test('a way between two stops begins at the one, ends at the other, and zooms evenly', () => {
    const [a, b] = [stop('two-stage'), stop('toll')]
    expect(between(a, b, 0)).toEqual({ target: a.target, yaw: a.yaw, pitch: a.pitch, span: a.span })
    const end = between(a, b, 1)
    expect(end.target).toEqual(b.target)
    expect(end.span[0]).toBeCloseTo(b.span[0], 9)
    const widths = [0, 0.25, 0.5, 0.75, 1].map((t) => between(a, b, t).span[0])
    const ratios = widths.slice(1).map((w, i) => w / widths[i]!)
    for (const ratio of ratios) expect(ratio).toBeCloseTo(ratios[0]!, 9)
  })
})

describe('the world', () => {
  test('every centre line is smooth: no corner, no step, and as long as it says', () => {
    for (const options of SITES) {
      for (const road of siteOf(options).roads) {
        for (let s = road.from + 1; s < road.ramp + DECK; s += 0.25) {
          const a = road.poseAt(s)
          const b = road.poseAt(s + 0.25)
          const level = Math.hypot(b.position[0] - a.position[0], b.position[2] - a.position[2])
          expect(level).toBeGreaterThan(0.23)
          expect(level).toBeLessThan(0.2505)
          expect(a.hx * b.hx + a.hz * b.hz).toBeGreaterThan(Math.cos(options.roads === 16 ? 0.4 : 0.17))
          expect(Math.abs(b.position[1] - a.position[1])).toBeLessThan(0.25 * 0.5)
        }
      }
    }
  })

  test('both edges of the ramp end on the deck’s near edge, at its height', () => {
    const [deck, ramp] = worldOf(SINGLE).slabs
    const nearZ = deck!.right[0]![2]
    const y = deck!.right[0]![1]
    for (const edge of [ramp!.left, ramp!.right]) {
      const last = edge[edge.length - 1]!
      expect(last[1]).toBeCloseTo(y, 6)
      expect(last[2]).toBeCloseTo(nearZ, 6)
      // And come in level, without a jump in height.
      const before = edge.findLast((v) => v[0] !== last[0])!
      expect(before[1]).toBeCloseTo(y, 1)
    }
    expect(ramp!.left.at(-1)![0]).toBeLessThan(ramp!.right.at(-1)![0])
  })

  test('lanes are on the road, in order, and wide enough for their cars, all along', () => {
    for (const options of SITES) {
      const site = siteOf(options)
      for (const [concurrent, lanes] of [[2, 3], [9, 3], [18, 6], [60, 9], [200, 15]] as const) {
        const { layout } = scene(sampleTrace({ requests: 3 }), 0, { ...options, roads: site.roads.length, capacity: concurrent })
        expect(layout.lanes).toBe(lanes)
        const car = 1.24 * layout.scale
        for (const road of site.roads) {
          for (let s = -12; s < road.ramp + DECK; s += 1) {
            const offsets = Array.from({ length: lanes }, (_, lane) => road.laneOffset(lane, lanes, s))
            for (let i = 1; i < lanes; i++) expect(offsets[i]! - offsets[i - 1]!, `${lanes} lanes at ${s}`).toBeGreaterThan(car * 0.98)
            expect(Math.max(...offsets.map(Math.abs)) + car / 2).toBeLessThan(road.halfWidth(s))
          }
        }
      }
    }
  })

  test('parallel roads leave ground between them', () => {
    for (const options of SITES.slice(1, 5)) {
      const { roads } = siteOf(options)
      const edges = roads.map((r) => [r.at(0, -r.halfWidth(0))[2], r.at(0, r.halfWidth(0))[2]] as const).sort((a, b) => a[0] - b[0])
      for (let i = 1; i < edges.length; i++) expect(edges[i]![0]).toBeGreaterThan(edges[i - 1]![1] + 0.3)
    }
  })

  test('a number of roads that is none is named', () => {
    expect(() => siteOf({ roads: 0 })).toThrow(/roads: 0/)
    expect(() => siteOf({ regions: [{ name: 'far', roads: 1.5 }] })).toThrow(/region far: 1.5/)
  })
})

describe('the drawing', () => {
  const trace = sampleTrace({ requests: 40, every: 8, maxSequences: 16 })

  test('every path is made of numbers', () => {
    for (const options of SITES) {
      const site = siteOf(options)
      for (const name of STOP_NAMES) {
        const view = projection(cameraAt(stopOf(name, site), sizeOf(name)), sizeOf(name))
        expect(JSON.stringify(drawWorld(view, worldOf(site), paletteOf(name === 'cover'), name === 'cover', [1, 0.5]))).not.toMatch(/NaN|Infinity|null/)
        for (let at = 0; at < 1500; at += 430) {
          const s = scene(trace, at, { ...options, roads: site.roads.length })
          for (const car of s.cars) expect(JSON.stringify(drawCar(view, s, car))).not.toMatch(/NaN|Infinity|null/)
        }
      }
    }
  })

  test('a trailer has a box for each block while blocks can be told apart', () => {
    const view = projection(cameraAt(stop('two-stage'), HERO), HERO)
    const count = (d: string) => d.split('Z').length - 1
    let checked = 0
    for (let at = 0; at < 1500; at += 50) {
      const s = scene(trace, at)
      for (const car of s.cars) {
        const { shape, filling } = drawCar(view, s, car)
        expect(count(shape.boxes.top) + count(filling.top)).toBe(Math.ceil(car.trailerBlocks / s.layout.blocksPerBox))
        if (car.trailerBlocks > 0) checked++
      }
    }
    expect(checked).toBeGreaterThan(50)
  })

  test('a painter that remembers draws what one that does not draws', () => {
    const view = projection(cameraAt(stop('two-stage'), HERO), HERO)
    const paint = carPainter()
    // On straight road a kept shape may differ by the rounding of its first point: half a unit of the picture.
    const numbers = (x: unknown) => (JSON.stringify(x).match(/-?\d+(\.\d+)?/g) ?? []).map(Number)
    for (let at = 300; at < 900; at += 15) {
      const s = scene(trace, at)
      for (const car of s.cars) {
        const [kept, fresh] = [numbers(paint(view, s, car).d), numbers(drawCar(view, s, car))]
        const worst = kept.reduce((most, x, i) => Math.max(most, Math.abs(x - fresh[i]!)), kept.length === fresh.length ? 0 : Infinity)
        expect(worst, `request ${car.request} at ${at}`).toBeLessThanOrEqual(1)
      }
    }
  })

  test('toll, ramp and the beginning of the cruise are in every picture of the whole road', () => {
    for (const name of ['two-stage', 'cover', 'phone'] as const) {
      const { width, height } = sizeOf(name)
      const view = projection(cameraAt(stop(name), sizeOf(name)), sizeOf(name))
      for (const station of [-4, 0, ROAD.ramp / 2, ROAD.ramp, ROAD.ramp + (name === 'phone' ? 14 : 18)]) {
        const [x, y] = project(view, ROAD.at(station))
        expect(x, `${name} at ${station}`).toBeGreaterThan(width * 0.04)
        expect(x).toBeLessThan(width * 0.96)
        expect(y).toBeGreaterThan(10)
        expect(y).toBeLessThan(height - 10)
      }
    }
  })

  test('a picture of a whole site has all its tolls and decks in it', () => {
    for (const options of SITES.slice(1, 5)) {
      const site = siteOf(options)
      const view = projection(cameraAt(stopOf('two-stage', site), HERO), HERO)
      for (const road of site.roads) {
        for (const station of [-road.plan.approach, 0, road.ramp, road.ramp + 24]) {
          const [x, y] = project(view, road.at(station))
          expect(x, JSON.stringify(options)).toBeGreaterThan(HERO.width * 0.02)
          expect(x).toBeLessThan(HERO.width * 0.98)
          expect(y).toBeGreaterThan(0)
          expect(y).toBeLessThan(HERO.height)
        }
      }
    }
  })

  test('labels keep clear of the roads, of the trees and of each other', () => {
    for (const name of ['two-stage', 'phone'] as const) {
      const size = sizeOf(name)
      const view = projection(cameraAt(stop(name), size), size)
      const narrow = name === 'phone'
      const world = worldOf(SINGLE)
      const obstacles: [number, number][] = []
      for (let s = -20; s < ROAD.ramp + DECK; s += 0.5) for (const side of [-1, -0.5, 0, 0.5, 1]) obstacles.push(project(view, ROAD.at(s, side * ROAD.halfWidth(s))))
      for (let x = -60; x < 5; x += 0.5) for (const edge of [world.slabs[0]!.left, world.slabs[0]!.right]) obstacles.push(project(view, [x, edge[0]![1], edge[0]![2]]))
      for (const { foot, size: tall } of world.trees) for (const up of [0, 1.5 * tall, 3 * tall]) obstacles.push(project(view, [foot[0], up, foot[2]]))
      for (const box of world.boxes.over) obstacles.push(project(view, [box.foot[0], box.foot[1] + box.high, box.foot[2]]), project(view, [box.foot[0] - box.long, box.foot[1] + box.high, box.foot[2] - box.wide]))
      const boxes = Object.values(stop(name).labels).map(({ at, dx, dy, side, text }) => {
        const [px, py] = project(view, at)
        // As wide and high as the longest of our sublines comes out.
        const [w, h] = narrow ? [136, 42] : [205, 46]
        return { x: px + dx - (side === 'end' ? w : side === 'middle' ? w / 2 : 0), y: py + dy - (text === 'above' ? h : 0), w, h }
      })
      for (const [i, a] of boxes.entries()) {
        expect(a.x, `${name} label ${i}`).toBeGreaterThanOrEqual(0)
        expect(a.x + a.w, `${name} label ${i}`).toBeLessThanOrEqual(size.width)
        expect(a.y + a.h, `${name} label ${i} bottom`).toBeLessThanOrEqual(size.height)
        expect(a.y, `${name} label ${i}`).toBeGreaterThanOrEqual(0)
        for (const [x, y] of obstacles) expect(x > a.x && x < a.x + a.w && y > a.y && y < a.y + a.h, `${name} label ${i} at ${Math.round(x)}, ${Math.round(y)}`).toBe(false)
        for (const b of boxes.slice(i + 1)) expect(a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h).toBe(false)
      }
    }
  })
})

describe('in words', () => {
  test('the sentence counts what the Trace counts', () => {
    const trace = sampleTrace({ requests: 20, every: 10, maxSequences: 4 })
    for (let at = 1; at < 900; at += 37) {
      const text = sentence(scene(trace, at))
      const kinds = (id: number) => trace.events.filter((e) => e.request === id && e.t <= at).map((e) => e.kind)
      const all = trace.requests.map((r) => kinds(r.id))
      const waiting = all.filter((k) => k.includes('queued') && !k.includes('scheduled')).length
      const decoding = all.filter((k) => k.includes('token') && !k.includes('finished')).length
      if (waiting > 1) expect(text).toMatch(new RegExp(`\\b${waiting} (requests )?wait\\b`))
      else expect(text).not.toMatch(/\bwait\b/)
      if (decoding > 1) expect(text).toMatch(new RegExp(`\\b${decoding} (requests )?decode\\b`))
    }
    expect(sentence(undefined)).toMatch(/empty/i)
  })

  test('the time a token takes is the gap between the tokens', () => {
    const trace: Trace = sampleTrace({ requests: 1, prompt: [100, 100], output: [20, 20], maxBatchedTokens: 512 })
    const tokens = trace.events.filter((e) => e.kind === 'token').map((e) => e.t)
    const at = (tokens[4]! + tokens[5]!) / 2
    const { decode, prefill } = sublines(scene(trace, at), trace.provenance)
    expect(decode.text).toBe('1 request,')
    expect([tokens[4]! - tokens[3]!, tokens[5]! - tokens[4]!].some((gap) => Math.abs(gap - decode.quantity!.value) < 1e-9)).toBe(true)
    expect(prefill).toMatchObject({ text: '100 tokens in', quantity: { value: tokens[0]! - trace.steps[0]!.start, unit: 'ms', provenance: trace.provenance } })
  })
})
