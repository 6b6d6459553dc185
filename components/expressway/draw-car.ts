import { boxFaces, close, Frame, n, open, Stamp, SUN, type Faces, type Point } from './frame'
import type { Layout } from './layout'
import { project, type Projection } from './project'
import type { Car, Scene } from './scene'
import { laneOffset, poseAt, STRAIGHT } from './world'

/** A car with its trailer, part by part, as paths around its front bumper. */
export interface CarShape {
  shadow: string
  penumbra: string
  bed: string
  /** KV blocks that are full, and the outline of the one being filled. */
  boxes: Faces
  ghost: string
  body: Faces
  glass: Faces
  roof: string
  wheels: string
  tail: string
  head: string
  /** Places what lies flat on the road before and behind the car. */
  front: string
  rear: string
  /** Around the whole: to mark it. */
  outline: string
}

export interface CarDrawing {
  /** Puts the shape where the car is. */
  at: string
  shape: CarShape
  /** As much of the last block as is filled. */
  filling: Faces
}

const NOTHING: Faces = { top: '', side: '', end: '' }

/** Front bumper on the picture, in whole units: what is drawn around it stays the same while the car drives straight on. */
function originOf(p: Projection, layout: Layout, car: Car): [x: number, y: number] {
  const [x, y] = project(p, poseAt(car.station, laneOffset(car.lane, layout.lanes, car.station)).position)
  return [n(x), n(y)]
}

/** The same projection with its origin at (x, y). */
const around = (p: Projection, [x, y]: [number, number]): Projection => ({
  ...p,
  x: [p.x[0], p.x[1], p.x[2], p.x[3] - x],
  y: [p.y[0], p.y[1], p.y[2], p.y[3] - y],
})

/** Boxes of the trailer: how many, the length of each, and where the first begins. */
function boxesOf(layout: Layout, car: Car) {
  const step = layout.blockLength * layout.blocksPerBox
  return {
    count: Math.ceil(car.trailerBlocks / layout.blocksPerBox),
    step,
    slit: Math.min(0.1 * layout.scale, 0.24 * step),
    from: car.station - layout.carLength - layout.hitch,
    /** Filled share of the last box. */
    filled: car.trailerBlocks === 0 ? 0 : (car.trailerBlocks - 1 + car.lastFill) / layout.blocksPerBox - Math.ceil(car.trailerBlocks / layout.blocksPerBox) + 1,
  }
}

const SIZE = [0.6, 0.3, 1.06] as const
const sized = (k: number): [wide: number, from: number, to: number] => [SIZE[0] * k, SIZE[1] * k, SIZE[2] * k]

function drawShape(p: Projection, layout: Layout, car: Car): CarShape {
  const k = layout.scale
  const offset = (s: number) => laneOffset(car.lane, layout.lanes, s)
  const m = new Frame(p, poseAt(car.station - layout.carLength / 2, offset(car.station)))
  const half = layout.carLength / 2
  /** Along the car, from −2.5 (rear) to 0 (front bumper) whatever its size. */
  const q = (f: number) => -half + (f + 2.5) * k

  const body = boxFaces(m, q(-2.5), q(0), -0.62 * k, 0.62 * k, 0.28 * k, 0.9 * k)
  const glass = boxFaces(m, q(-2.25), q(-0.75), -0.57 * k, 0.57 * k, 0.9 * k, 1.36 * k, 0.11 * k)
  const roof = boxFaces(m, q(-2.13), q(-0.9), -0.5 * k, 0.5 * k, 1.34 * k, 1.44 * k)
  const r = (m.seesRight ? 0.63 : -0.63) * k
  const wheel = (f: number) => close(Array.from({ length: 10 }, (_, i) => m.at(q(f) + 0.3 * k * Math.cos((i / 5) * Math.PI), r, 0.3 * k + 0.3 * k * Math.sin((i / 5) * Math.PI))))
  const lamp = (f: number, r0: number, r1: number) => close([m.at(q(f), r0 * k, 0.56 * k), m.at(q(f), r1 * k, 0.56 * k), m.at(q(f), r1 * k, 0.78 * k), m.at(q(f), r0 * k, 0.78 * k)])

  // The trailer follows the road: each box has its own heading, until the road is straight.
  const boxes: Faces = { ...NOTHING }
  const ghost: Faces = { ...NOTHING }
  const { count, step, slit, from, filled } = boxesOf(layout, car)
  let frame: Frame | undefined
  let stamp: Stamp | undefined
  for (let i = 0; i < count; i++) {
    const s = from - i * step
    if (frame && s - step > STRAIGHT) frame.move(-step)
    else {
      frame = new Frame(p, poseAt(s - step / 2, offset(s)))
      stamp = new Stamp(frame, -step / 2 + slit / 2, step / 2 - slit / 2, ...sized(k))
    }
    stamp!.print(frame, i === count - 1 && filled < 1 ? ghost : boxes)
  }
  const end = count > 0 ? from - count * step : car.station - layout.carLength
  const bed = count > 0 ? open([m.at(q(-2.4), 0, 0.34 * k), ...stations(from, end, 3).map((s) => new Frame(p, poseAt(s, offset(s))).at(0, 0.1 * k, 0.24 * k))]) : ''

  const outline = (grow: number): Point[] => {
    const row = stations(car.station + grow, end - grow, 2.5).map((s) => new Frame(p, poseAt(s, offset(s))))
    const shift = 0.5 * k
    return [...row.map((f) => f.at(0, -0.62 * k - grow, 0)), ...row.toReversed().map((f) => f.at(0, 0.62 * k + grow, 0))].map(([x, y]) =>
      [x + p.x[0] * SUN.x * shift + p.x[2] * SUN.z * shift, y + p.y[0] * SUN.x * shift + p.y[2] * SUN.z * shift])
  }
  return {
    shadow: close(outline(0.04 * k)),
    penumbra: close(outline(0.26 * k)),
    bed, boxes, ghost: ghost.end + ghost.side + ghost.top, body, glass,
    roof: roof.side + roof.end + roof.top,
    wheels: wheel(-0.55) + wheel(-1.95),
    tail: m.seesRear ? lamp(-2.52, -0.56, -0.28) + lamp(-2.52, 0.28, 0.56) : '',
    head: m.seesRear ? '' : lamp(0.02, -0.56, -0.28) + lamp(0.02, 0.28, 0.56),
    front: new Frame(p, poseAt(car.station, offset(car.station))).matrix,
    rear: new Frame(p, poseAt(car.station - layout.carLength, offset(car.station))).matrix,
    outline: close(outline(0.5 * k)),
  }
}

function drawFilling(p: Projection, layout: Layout, car: Car): Faces {
  const { count, step, slit, from, filled } = boxesOf(layout, car)
  if (count === 0 || filled === 1) return NOTHING
  const s = from - (count - 1) * step
  const frame = new Frame(p, poseAt(s - step / 2, laneOffset(car.lane, layout.lanes, s)))
  const faces: Faces = { ...NOTHING }
  new Stamp(frame, step / 2 - step * Math.max(0.08, filled) + slit / 2, step / 2 - slit / 2, ...sized(layout.scale)).print(frame, faces)
  return faces
}

/** Draws one car. */
export function drawCar(p: Projection, { layout }: Scene, car: Car): CarDrawing {
  const origin = originOf(p, layout, car)
  const near = around(p, origin)
  return { at: `translate(${origin[0]} ${origin[1]})`, shape: drawShape(near, layout, car), filling: drawFilling(near, layout, car) }
}

export interface DrawnCar {
  car: Car
  d: CarDrawing
}

/** All of a car that its drawing shows. */
const LOOKS = ['station', 'kvTokens', 'lane', 'phase', 'presence'] as const

/**
 * Draws cars and remembers them. One that looks as it did is handed out as it was, so that a line that stands
 * still costs nothing; one that drives straight on keeps its shape and is only put elsewhere.
 */
export function carPainter(): (p: Projection, scene: Scene, car: Car) => DrawnCar {
  const last = new Map<number, DrawnCar & { p: Projection; layout: Layout; straight: boolean }>()
  return (p, { layout }, car) => {
    const known = last.get(car.request)
    const alike = known !== undefined && known.p === p && known.layout === layout
    if (alike && LOOKS.every((key) => known.car[key] === car[key])) return known
    const { count, step, from, filled } = boxesOf(layout, car)
    const straight = from - count * step > STRAIGHT
    const origin = originOf(p, layout, car)
    const near = around(p, origin)
    const keeps = alike && straight && known.straight && known.car.lane === car.lane && known.car.trailerBlocks === car.trailerBlocks
      && (filled === 1) === (boxesOf(layout, known.car).filled === 1)
    const fresh = {
      p, layout, straight, car,
      d: {
        at: `translate(${origin[0]} ${origin[1]})`,
        shape: keeps ? known.d.shape : drawShape(near, layout, car),
        filling: drawFilling(near, layout, car),
      },
    }
    last.set(car.request, fresh)
    return fresh
  }
}

/** From a down to b, both included, at most `apart` from each other. */
function stations(a: number, b: number, apart: number): number[] {
  const count = Math.max(1, Math.ceil((a - b) / apart))
  return Array.from({ length: count + 1 }, (_, i) => a + ((b - a) * i) / count)
}
