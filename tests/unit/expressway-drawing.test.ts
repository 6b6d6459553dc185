import { OrthographicCamera, Vector3 } from 'three'
import { describe, expect, test } from 'vitest'
import { carPainter, drawCar } from '$components/expressway/draw-car'
import { drawWorld } from '$components/expressway/draw-world'
import { between, cameraAt, project, projection, type Camera, type Vec3, type Viewport } from '$components/expressway/project'
import { scene } from '$components/expressway/scene'
import { STOPS, type StopName } from '$components/expressway/stops'
import { sentence, sublines } from '$components/expressway/words'
import { DECK, halfWidth, laneOffset, poseAt, RAMP, WORLD } from '$components/expressway/world'
import type { Trace } from '$engine/trace/trace'
import { sampleTrace } from './expressway/sample'

const HERO: Viewport = { width: 1140, height: 560 }
const SIZES: Record<StopName, Viewport> = { 'two-stage': HERO, cover: { width: 1600, height: 900 }, toll: HERO, phone: { width: 390, height: 390 } }
const names = Object.keys(STOPS) as StopName[]

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
    for (const name of names) {
      const view = SIZES[name]
      const camera = cameraAt(STOPS[name], view)
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
    const [a, b] = [STOPS['two-stage'], STOPS.toll]
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
  test('the centre line is smooth: no corner, no step, and as long as it says', () => {
    for (let s = -30; s < RAMP + DECK; s += 0.25) {
      const a = poseAt(s)
      const b = poseAt(s + 0.25)
      const level = Math.hypot(b.position[0] - a.position[0], b.position[2] - a.position[2])
      expect(level).toBeGreaterThan(0.24)
      expect(level).toBeLessThan(0.2505)
      expect(a.hx * b.hx + a.hz * b.hz).toBeGreaterThan(Math.cos(0.06))
      expect(Math.abs(b.position[1] - a.position[1])).toBeLessThan(0.25 * 0.5)
    }
  })

  test('both edges of the ramp end on the deck’s near edge, at its height', () => {
    const { ramp, deck, gore, merged } = WORLD
    for (const [edge, x] of [[ramp.left, gore], [ramp.right, merged]] as const) {
      const [ex, ey, ez] = edge[edge.length - 1]!
      expect(ex).toBe(x)
      expect(ey).toBeCloseTo(deck.near[0]![1], 6)
      expect(ez).toBeCloseTo(deck.near[0]![2], 6)
      // And come in level, without a jump in height.
      expect(edge[edge.length - 2]![1]).toBeCloseTo(ey, 1)
    }
    expect(gore).toBeLessThan(merged)
  })

  test('lanes are on the road, in order, and wide enough for their cars, all along', () => {
    for (const lanes of [3, 6, 9]) {
      const car = lanes === 3 ? 1.24 * 1.25 : lanes === 6 ? 1.24 * 0.64 : 1.24 * 0.44
      for (let s = -12; s < RAMP + DECK; s += 1) {
        const offsets = Array.from({ length: lanes }, (_, lane) => laneOffset(lane, lanes, s))
        for (let i = 1; i < lanes; i++) expect(offsets[i]! - offsets[i - 1]!, `${lanes} lanes at ${s}`).toBeGreaterThan(car * 0.98)
        expect(Math.max(...offsets.map(Math.abs)) + car / 2).toBeLessThan(halfWidth(s))
      }
    }
  })
})

describe('the drawing', () => {
  const trace = sampleTrace({ requests: 40, every: 8, maxSequences: 16 })

  test('every path is made of numbers and stands in or near the picture', () => {
    for (const name of names) {
      const view = projection(cameraAt(STOPS[name], SIZES[name]), SIZES[name])
      const world = JSON.stringify(drawWorld(view, WORLD))
      expect(world).not.toMatch(/NaN|Infinity|undefined|null/)
      for (let at = 0; at < 1500; at += 130) {
        const s = scene(trace, at)
        for (const car of s.cars) expect(JSON.stringify(drawCar(view, s, car))).not.toMatch(/NaN|Infinity|undefined|null/)
      }
    }
  })

  test('a trailer has a box for each block while blocks can be told apart', () => {
    const view = projection(cameraAt(STOPS['two-stage'], HERO), HERO)
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
    const view = projection(cameraAt(STOPS['two-stage'], HERO), HERO)
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
      const { width, height } = SIZES[name]
      const view = projection(cameraAt(STOPS[name], SIZES[name]), SIZES[name])
      for (const station of [-6, 0, RAMP / 2, RAMP, RAMP + 18]) {
        const [x, y] = project(view, poseAt(station).position)
        expect(x, `${name} at ${station}`).toBeGreaterThan(width * 0.04)
        expect(x).toBeLessThan(width * 0.96)
        expect(y).toBeGreaterThan(10)
        expect(y).toBeLessThan(height - 10)
      }
    }
  })

  test('labels keep clear of the roads, of the trees and of each other', () => {
    for (const name of ['two-stage', 'cover', 'phone'] as const) {
      const size = SIZES[name]
      const view = projection(cameraAt(STOPS[name], size), size)
      const narrow = name === 'phone'
      const world = WORLD
      const obstacles: [number, number][] = []
      for (let s = -20; s < RAMP + DECK; s += 0.5) for (const side of [-1, -0.5, 0, 0.5, 1]) obstacles.push(project(view, poseAt(s, side * halfWidth(s)).position))
      for (let x = -60; x < 5; x += 0.5) for (const edge of [world.deck.far, world.deck.near]) obstacles.push(project(view, [x, edge[0]![1], edge[0]![2]]))
      for (const { foot, size: tall } of world.trees) for (const up of [0, 1.5 * tall, 3 * tall]) obstacles.push(project(view, [foot[0], up, foot[2]]))
      const boxes = Object.values(STOPS[name].labels).map(({ at, dx, dy, text }) => {
        const [px, py] = project(view, at)
        // As wide and high as the longest of our sublines comes out.
        const [w, h] = narrow ? [140, 62] : [215, 46]
        const x = px + dx - (text === 'above' ? w : 0)
        const y = py + dy - (text === 'above' ? h : 0)
        return { x, y, w, h }
      })
      for (const [i, a] of boxes.entries()) {
        expect(a.x, `${name} label ${i}`).toBeGreaterThanOrEqual(0)
        expect(a.x + a.w).toBeLessThanOrEqual(size.width)
        expect(a.y + a.h, `${name} label ${i} bottom`).toBeLessThanOrEqual(size.height)
        expect(a.y).toBeGreaterThanOrEqual(0)
        for (const [x, y] of obstacles) expect(x > a.x && x < a.x + a.w && y > a.y && y < a.y + a.h, `${name} label ${i} at ${x}, ${y}`).toBe(false)
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
