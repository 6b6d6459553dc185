import { CAR, trailerOf } from './carplan'
import { boxFaces, close, Frame, n, open, Stamp, SUN, type Faces, type Point } from './frame'
import type { Layout } from './layout'
import { project, type Projection } from './project'
import type { Road } from './road'
import type { Car, Scene } from './scene'

/** A car with its trailer, part by part, as paths around its front bumper. */
export interface CarShape extends CarParts {
  shadow: string
  penumbra: string
  bed: string
  /** KV blocks that are full, and the outline of the one being filled. */
  boxes: Faces
  ghost: string
  tail: string
  head: string
  /** Places what lies flat on the road before and behind the car. */
  front: string
  rear: string
  /** Around the whole: to mark it. */
  outline: string
}

interface CarParts {
  body: Faces
  glass: Faces
  roof: string
  wheels: string
}

export interface CarDrawing {
  /** Puts the shape where the car is. */
  at: string
  shape: CarShape
  /** As much of the last block as is filled. */
  filling: Faces
  /** The small car ahead, where there is one. */
  draft?: CarParts
}

const NOTHING: Faces = { top: '', side: '', end: '' }

/** Front bumper on the picture, in whole units: what is drawn around it stays the same while the car drives straight on. */
function originOf(p: Projection, road: Road, layout: Layout, car: Car): [x: number, y: number] {
  const [x, y] = project(p, road.at(car.station, road.laneOffset(car.lane, layout.lanes, car.station)))
  return [n(x), n(y)]
}

/** The same projection with its origin at (x, y). */
const around = (p: Projection, [x, y]: [number, number]): Projection => ({
  ...p,
  x: [p.x[0], p.x[1], p.x[2], p.x[3] - x],
  y: [p.y[0], p.y[1], p.y[2], p.y[3] - y],
})

/** Body, cabin and wheels in a frame; `q` turns measures of a car of size 1 into places in the frame. */
function carParts(m: Frame, q: (f: number) => number, k: number): CarParts {
  const wide = CAR.bodyWide * k
  const roof = boxFaces(m, q(CAR.roof.from), q(CAR.roof.to), -CAR.roof.wide * k, CAR.roof.wide * k, CAR.roof.low * k, CAR.roof.high * k)
  const r = (m.seesRight ? CAR.bodyWide + 0.02 : -CAR.bodyWide - 0.02) * k
  const { radius } = CAR.wheels
  const wheel = (f: number) => close(Array.from({ length: 10 }, (_, i) => m.at(q(f) + radius * k * Math.cos((i / 5) * Math.PI), r, radius * k * (1 + Math.sin((i / 5) * Math.PI)))))
  return {
    body: boxFaces(m, q(-2.5), q(0), -wide, wide, 0.27 * k, 0.86 * k),
    glass: boxFaces(m, q(-2.3), q(-0.72), -CAR.glassWide * k, CAR.glassWide * k, 0.86 * k, CAR.roof.low * k, 0.1 * k),
    roof: roof.side + roof.end + roof.top,
    wheels: CAR.wheels.at.map(wheel).join(''),
  }
}

function drawShape(p: Projection, road: Road, layout: Layout, car: Car): CarShape {
  const k = layout.scale
  const offset = (s: number) => road.laneOffset(car.lane, layout.lanes, s)
  const frameAt = (s: number) => new Frame(p, road.poseAt(s, offset(s)))
  const half = layout.carLength / 2
  const m = frameAt(car.station - half)
  /** Along the car, from −2.5 (rear) to 0 (front bumper) whatever its size. */
  const q = (f: number) => -half + (f + 2.5) * k
  const { low, high, inner, outer } = CAR.lamps
  const lamp = (f: number, r0: number, r1: number) => close([m.at(q(f), r0 * k, low * k), m.at(q(f), r1 * k, low * k), m.at(q(f), r1 * k, high * k), m.at(q(f), r0 * k, high * k)])

  // The trailer follows the road: each box has its own heading, until the road is straight.
  const boxes: Faces = { ...NOTHING }
  const ghost: Faces = { ...NOTHING }
  const { count, step, slit, from, filled } = trailerOf(layout, car)
  let frame: Frame | undefined
  let stamp: Stamp | undefined
  for (let i = 0; i < count; i++) {
    const s = from - i * step
    if (frame && s - step > road.straight) frame.move(-step)
    else {
      frame = frameAt(s - step / 2)
      stamp = new Stamp(frame, -step / 2 + slit / 2, step / 2 - slit / 2, CAR.block.wide * k, CAR.block.low * k, CAR.block.high * k)
    }
    stamp!.print(frame, i === count - 1 && filled < 1 ? ghost : boxes)
  }
  const end = count > 0 ? from - count * step : car.station - layout.carLength
  const bed = count > 0 ? open([m.at(q(-2.4), 0, 0.34 * k), ...stations(from, end, 3).map((s) => frameAt(s).at(0, 0.1 * k, 0.24 * k))]) : ''

  const outline = (grow: number): Point[] => {
    const row = stations(car.station + grow, end - grow, 2.5).map(frameAt)
    const shift = 0.5 * k
    return [...row.map((f) => f.at(0, -0.62 * k - grow, 0)), ...row.toReversed().map((f) => f.at(0, 0.62 * k + grow, 0))].map(([x, y]) =>
      [x + p.x[0] * SUN.x * shift + p.x[2] * SUN.z * shift, y + p.y[0] * SUN.x * shift + p.y[2] * SUN.z * shift])
  }
  return {
    ...carParts(m, q, k),
    shadow: close(outline(0.04 * k)),
    penumbra: close(outline(0.26 * k)),
    bed, boxes, ghost: ghost.end + ghost.side + ghost.top,
    tail: m.seesRear ? lamp(-2.52, -outer, -inner) + lamp(-2.52, inner, outer) : '',
    head: m.seesRear ? '' : lamp(0.02, -outer, -inner) + lamp(0.02, inner, outer),
    front: frameAt(car.station).matrix,
    rear: frameAt(car.station - layout.carLength).matrix,
    outline: close(outline(0.5 * k)),
  }
}

function drawFilling(p: Projection, road: Road, layout: Layout, car: Car): Faces {
  const { count, step, slit, from, filled } = trailerOf(layout, car)
  if (count === 0 || filled === 1) return NOTHING
  const k = layout.scale
  const s = from - (count - 1) * step
  const frame = new Frame(p, road.poseAt(s - step / 2, road.laneOffset(car.lane, layout.lanes, s)))
  const faces: Faces = { ...NOTHING }
  new Stamp(frame, step / 2 - step * Math.max(0.08, filled) + slit / 2, step / 2 - slit / 2, CAR.block.wide * k, CAR.block.low * k, CAR.block.high * k).print(frame, faces)
  return faces
}

function drawDraft(p: Projection, road: Road, layout: Layout, car: Car): CarParts | undefined {
  if (!car.draft) return undefined
  const s = car.draft.station + layout.draftLength
  const k = 0.62 * layout.scale
  const m = new Frame(p, road.poseAt(s, road.laneOffset(car.lane, layout.lanes, s)))
  return carParts(m, (f) => f * k, k)
}

/** Draws one car. */
export function drawCar(p: Projection, { layout, site }: Scene, car: Car): CarDrawing {
  const road = site.roads[car.road]!
  const origin = originOf(p, road, layout, car)
  const near = around(p, origin)
  return { at: `translate(${origin[0]} ${origin[1]})`, shape: drawShape(near, road, layout, car), filling: drawFilling(near, road, layout, car), draft: drawDraft(near, road, layout, car) }
}

export interface DrawnCar {
  car: Car
  d: CarDrawing
}

/** All of a car that its drawing shows. */
const LOOKS = ['station', 'kvTokens', 'road', 'lane', 'phase', 'presence'] as const

/**
 * Draws cars and remembers them. One that looks as it did is handed out as it was, so that a line that stands
 * still costs nothing; one that drives straight on keeps its shape and is only put elsewhere.
 */
export function carPainter(): (p: Projection, scene: Scene, car: Car) => DrawnCar {
  const last = new Map<number, DrawnCar & { p: Projection; layout: Layout; straight: boolean }>()
  return (p, { layout, site }, car) => {
    const road = site.roads[car.road]!
    const known = last.get(car.request)
    const alike = known !== undefined && known.p === p && known.layout === layout && known.car.road === car.road
    if (alike && LOOKS.every((key) => known.car[key] === car[key]) && known.car.draft?.station === car.draft?.station) return known
    const { count, step, from, filled } = trailerOf(layout, car)
    const straight = from - count * step > road.straight
    const origin = originOf(p, road, layout, car)
    const near = around(p, origin)
    const keeps = alike && straight && known.straight && known.car.lane === car.lane && known.car.trailerBlocks === car.trailerBlocks
      && (filled === 1) === (trailerOf(layout, known.car).filled === 1)
    const fresh = {
      p, layout, straight, car,
      d: {
        at: `translate(${origin[0]} ${origin[1]})`,
        shape: keeps ? known.d.shape : drawShape(near, road, layout, car),
        filling: drawFilling(near, road, layout, car),
        draft: drawDraft(near, road, layout, car),
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
