import { project, type Projection, type Vec3 } from './project'
import type { Car, Scene } from './scene'
import { laneOffset, poseAt, STRAIGHT, type Box, type Pose, type Tree, type World } from './world'

/** Where the sun puts a shadow: units aside for each unit of height. */
const SUN = { x: 0.42, z: 0.16 }

type Point = [x: number, y: number]

/**
 * Pictures are drawn in eighths of a pixel, so that paths are made of whole numbers: a third of the text and of
 * the time of decimals. Hand a viewport and a zoom of FINE times their size to projection().
 */
export const FINE = 8

const n = Math.round
const close = (points: Point[]) => (points.length ? `M${points.map(([x, y]) => `${n(x)} ${n(y)}`).join('L')}Z` : '')
const open = (points: Point[]) => (points.length ? `M${points.map(([x, y]) => `${n(x)} ${n(y)}`).join('L')}` : '')

const lift = ([x, y, z]: Vec3, by: number): Vec3 => [x, y + by, z]

/** A frame standing on the road: screen vectors of one unit forward, right and up, and its origin. */
export class Frame {
  readonly fx: number
  readonly fy: number
  readonly rx: number
  readonly ry: number
  readonly uy: number
  ox: number
  oy: number
  /** Is the right side, and is the rear, turned towards the camera? */
  readonly seesRight: boolean
  readonly seesRear: boolean

  constructor(p: Projection, { position, hx, hz, climb }: Pose) {
    ;[this.ox, this.oy] = project(p, position)
    const length = Math.hypot(1, climb)
    const f: Vec3 = [hx / length, climb / length, hz / length]
    this.fx = p.x[0] * f[0] + p.x[1] * f[1] + p.x[2] * f[2]
    this.fy = p.y[0] * f[0] + p.y[1] * f[1] + p.y[2] * f[2]
    this.rx = p.x[0] * -hz + p.x[2] * hx
    this.ry = p.y[0] * -hz + p.y[2] * hx
    this.uy = p.y[1]
    this.seesRight = p.back[0] * -hz + p.back[2] * hx > 0
    this.seesRear = p.back[0] * f[0] + p.back[1] * f[1] + p.back[2] * f[2] < 0
  }

  /** Forward, right, up → picture. */
  at(f: number, r: number, u: number): Point {
    return [this.ox + f * this.fx + r * this.rx, this.oy + f * this.fy + r * this.ry + u * this.uy]
  }

  /** Drives straight on (or, negative, back). */
  move(by: number): void {
    this.ox += by * this.fx
    this.oy += by * this.fy
  }

  /** Maps (forward, right) on the road to the picture: what lies flat is drawn in units of the world. */
  get matrix(): string {
    const k = (v: number) => Math.round(v * 100) / 100
    return `matrix(${k(this.fx)} ${k(this.fy)} ${k(this.rx)} ${k(this.ry)} ${n(this.ox)} ${n(this.oy)})`
  }
}

interface Faces {
  top: string
  side: string
  end: string
}

/** The three seen faces of a box in a frame, from f0 to f1, r0 to r1, u0 to u1; `taper` pulls its top in. */
function boxFaces(m: Frame, f0: number, f1: number, r0: number, r1: number, u0: number, u1: number, taper = 0): Faces {
  const r = m.seesRight ? r1 : r0
  const rTop = m.seesRight ? r1 - taper : r0 + taper
  const f = m.seesRear ? f0 : f1
  const fTop = m.seesRear ? f0 + taper * 1.4 : f1 - taper * 1.4
  const g0 = f0 + taper * 1.4
  const g1 = f1 - taper * 1.4
  return {
    top: close([m.at(g0, r0 + taper, u1), m.at(g1, r0 + taper, u1), m.at(g1, r1 - taper, u1), m.at(g0, r1 - taper, u1)]),
    side: close([m.at(f0, r, u0), m.at(f1, r, u0), m.at(g1, rTop, u1), m.at(g0, rTop, u1)]),
    end: close([m.at(f, r0, u0), m.at(f, r1, u0), m.at(fTop, r1 - taper, u1), m.at(fTop, r0 + taper, u1)]),
  }
}

/** A box as three paths that begin anywhere: many alike differ in their first point only. */
class Stamp {
  private readonly top: string
  private readonly side: string
  private readonly end: string
  private readonly dx: number
  private readonly dy: number
  private readonly ex: number
  private readonly ey: number

  constructor(m: Frame, private readonly f0: number, f1: number, private readonly wide: number, private readonly u0: number, private readonly u1: number) {
    const [lx, ly] = [n((f1 - f0) * m.fx), n((f1 - f0) * m.fy)]
    const [wx, wy] = [n(2 * wide * m.rx), n(2 * wide * m.ry)]
    const h = n((u1 - u0) * m.uy)
    this.top = `l${lx} ${ly}l${wx} ${wy}l${-lx} ${-ly}Z`
    this.side = `l${lx} ${ly}l0 ${h}l${-lx} ${-ly}Z`
    this.end = `l${wx} ${wy}l0 ${h}l${-wx} ${-wy}Z`
    ;[this.dx, this.dy] = m.seesRight ? [wx, wy] : [0, 0]
    ;[this.ex, this.ey] = m.seesRear ? [0, 0] : [lx, ly]
  }

  /** Adds the box to the paths, standing where the frame stands. */
  print(m: Frame, to: Faces): void {
    const x = n(m.ox + this.f0 * m.fx - this.wide * m.rx)
    const y = n(m.oy + this.f0 * m.fy - this.wide * m.ry + this.u1 * m.uy)
    const h = n((this.u1 - this.u0) * m.uy)
    to.top += `M${x} ${y}${this.top}`
    to.side += `M${x + this.dx} ${y + this.dy - h}${this.side}`
    to.end += `M${x + this.ex} ${y + this.ey - h}${this.end}`
  }
}

const frameOf = (p: Projection, box: Box) => new Frame(p, { position: box.foot, hx: box.hx, hz: box.hz, climb: 0 })
const standing = (p: Projection, box: Box): Faces => boxFaces(frameOf(p, box), -box.long, box.long, -box.wide, box.wide, 0, box.high)

function merge(all: Faces[]): Faces {
  return { top: all.map((f) => f.top).join(''), side: all.map((f) => f.side).join(''), end: all.map((f) => f.end).join('') }
}

const shadowOf = (p: Projection, [x, y, z]: Vec3): Point => project(p, [x + y * SUN.x, 0, z + y * SUN.z])

/** Facets of a tree turned to the camera, in three shades. */
function treeFaces(p: Projection, { foot, size }: Tree): [string, string, string] {
  const shades: [string, string, string] = ['', '', '']
  const apex = project(p, lift(foot, 3.1 * size))
  const rim = (k: number): Vec3 => {
    const a = (k / 7) * 2 * Math.PI + 0.3
    return [foot[0] + 1.15 * size * Math.cos(a), 0.5 * size, foot[2] + 1.15 * size * Math.sin(a)]
  }
  for (let k = 0; k < 7; k++) {
    const middle = ((k + 0.5) / 7) * 2 * Math.PI + 0.3
    const normal: Vec3 = [Math.cos(middle), 0.42, Math.sin(middle)]
    if (normal[0] * p.back[0] + normal[1] * p.back[1] + normal[2] * p.back[2] <= 0) continue
    const light = -normal[0] * 0.8 + normal[2] * 0.25
    shades[light > 0.35 ? 0 : light > -0.25 ? 1 : 2] += close([apex, project(p, rim(k)), project(p, rim(k + 1))])
  }
  return shades
}

/** Straight across the picture; `stops` are shares of the way. */
interface Gradient {
  from: Point
  to: Point
  stops: number[]
}

export interface WorldDrawing {
  shadow: string
  treesBehind: { trunk: string; shades: [string, string, string] }
  treesBefore: { trunk: string; shades: [string, string, string] }
  pillars: Faces
  rampPillars: Faces
  deck: { top: string; side: string }
  ramp: { top: string; side: string }
  marks: string
  /** Kerbs by the phase they lead; `join` runs from the ramp's into the deck's. */
  kerbs: { queue: string; prefill: string; decode: string; join: string }
  /** The surface's tint from the plaza to the ramp, and from the ramp to the deck; the kerb's colour where it becomes the deck's. */
  fade: Gradient
  blend: Gradient
  join: Gradient
  /** The deck's kerbs come out of the distance. */
  arrive: Gradient
  stopLines: string
  islands: (Faces & { booth: Faces; window: string })[]
  gantry: { posts: [Faces, Faces]; beam: Faces; signs: { panel: Faces; go: string; stop: string }[] }
}

export function drawWorld(p: Projection, world: World): WorldDrawing {
  const P = (v: Vec3) => project(p, v)
  const { ramp, deck, gore, merged } = world
  const [deckFrom, deckTo] = [deck.near[0]!, deck.near[1]!]
  const lowered = (v: Vec3, by: number): Vec3 => [v[0], Math.max(0, v[1] - by), v[2]]
  const y = deckFrom[1]
  const nearZ = deckFrom[2]

  const shadow = [
    close([...deck.far, ...deck.near.toReversed()].map((v) => shadowOf(p, v))),
    close([...ramp.left, ...ramp.right.toReversed()].map((v) => shadowOf(p, v))),
    ...world.booths.map((b) => close([P(b.foot), P([b.foot[0] + 0.5, 0, b.foot[2]]), shadowOf(p, [b.foot[0] + 0.5, b.high, b.foot[2]]), shadowOf(p, lift(b.foot, b.high))])),
    ...world.trees.map(({ foot, size }) => close([P([foot[0] - size, 0, foot[2] - 0.5 * size]), P([foot[0] + size * 0.4, 0, foot[2] + size]), shadowOf(p, lift(foot, 3.6 * size))])),
  ].join('')

  const trees = (some: Tree[]) => ({
    trunk: open([]) + some.map(({ foot }) => open([P(foot), P(lift(foot, 0.8))])).join(''),
    shades: [0, 1, 2].map((k) => some.map((t) => treeFaces(p, t)[k]).join('')) as [string, string, string],
  })

  const kerb = (points: Vec3[]) => open(points.map((v) => P(lift(v, 0.14))))
  const plaza = (v: Vec3) => (v[0] - gateFoot[0]) * gate.hx + (v[2] - gateFoot[2]) * gate.hz < 3.4
  const gate = poseAt(0)
  const gateFoot = gate.position
  const split = (points: Vec3[]) => {
    const i = points.findIndex((v) => !plaza(v))
    return [points.slice(0, i + 1), points.slice(i)] as const
  }
  const [queueLeft, rampLeft] = split(ramp.left)
  const [queueRight, rampRight] = split(ramp.right)

  const posts = [world.gantry.far, world.gantry.near].map((foot) =>
    standing(p, { foot, hx: world.gantry.hx, hz: world.gantry.hz, long: 0.16, wide: 0.16, high: world.gantry.height })) as [Faces, Faces]
  const { far, near, hx, hz, height } = world.gantry
  const middle: Pose = { position: [(far[0] + near[0]) / 2, (far[1] + near[1]) / 2 + height, (far[2] + near[2]) / 2], hx, hz, climb: 0 }
  const half = Math.hypot(near[0] - far[0], near[2] - far[2]) / 2 + 0.5
  const beamFrame = new Frame(p, middle)
  const pitch = (half - 0.5) / 1.5
  const at = ({ position: [x, y, z], hx, hz }: Pose, right: number): Vec3 => [x - hz * right, y, z + hx * right]

  return {
    shadow,
    treesBehind: trees(world.trees.filter((t) => behind(t.foot))),
    treesBefore: trees(world.trees.filter((t) => !behind(t.foot))),
    pillars: merge(world.pillars.filter((b) => b.hx === 1).map((b) => standing(p, b))),
    rampPillars: merge(world.pillars.filter((b) => b.hx !== 1).map((b) => standing(p, b))),
    deck: {
      top: close([...deck.far, ...deck.near.toReversed()].map(P)),
      side: close([...deck.near.map(P), ...deck.near.toReversed().map((v) => P(lowered(v, deck.slab)))]),
    },
    ramp: {
      // Overlaps the deck by a strip, so that no seam shows where the two are one surface.
      top: close([...ramp.left.map(P), P([gore + 2, y, nearZ - 1.2]), P([merged - 1, y, nearZ - 1.2]), ...ramp.right.toReversed().map(P)]),
      side: close([...ramp.right.map(P), ...ramp.right.toReversed().map((v) => P(lowered(v, ramp.slab)))]),
    },
    marks: world.marks.map((m) => open(m.map(P))).join(''),
    kerbs: {
      queue: kerb(queueLeft) + kerb(queueRight),
      prefill: kerb(rampLeft),
      decode: kerb(deck.far) + kerb([deckFrom, [gore, y, nearZ]]),
      join: kerb([...rampRight, deckTo]),
    },
    fade: gradient([-3, 6].map((s) => P(poseAt(s).position))),
    blend: across(nearZ + 6, nearZ + 0.2),
    join: gradient([P([merged - 7, y, nearZ]), P([merged + 7, y, nearZ])]),
    arrive: gradient([P([gore - 34, y, nearZ]), P([gore, y, nearZ])]),
    stopLines: world.stopLines.map(([a, b]) => open([P(a), P(b)])).join(''),
    islands: world.islands.map((box, i) => {
      const booth = world.booths[i]!
      const m = frameOf(p, booth)
      return {
        ...standing(p, box),
        booth: standing(p, booth),
        window: close([m.at(-booth.long, -booth.wide * 0.7, booth.high * 0.5), m.at(-booth.long, booth.wide * 0.7, booth.high * 0.5), m.at(-booth.long, booth.wide * 0.7, booth.high * 0.86), m.at(-booth.long, -booth.wide * 0.7, booth.high * 0.86)])
          + close([m.at(-booth.long * 0.8, booth.wide, booth.high * 0.5), m.at(booth.long * 0.8, booth.wide, booth.high * 0.5), m.at(booth.long * 0.8, booth.wide, booth.high * 0.86), m.at(-booth.long * 0.8, booth.wide, booth.high * 0.86)]),
      }
    }),
    gantry: {
      posts,
      beam: boxFaces(beamFrame, -0.35, 0.35, -half, half, 0, 0.5),
      signs: [-1, 0, 1].map((g) => {
        const on = (r: number, u: number) => beamFrame.at(-0.5, g * pitch + r, u - 0.15)
        return {
          panel: boxFaces(new Frame(p, { ...middle, position: lift(at(middle, g * pitch), -0.62) }), -0.48, -0.32, -0.6, 0.6, 0, 1),
          go: open([on(0, 0.3), on(0, -0.25)]) + open([on(-0.26, 0), on(0, -0.28), on(0.26, 0)]),
          stop: open([on(-0.24, 0.26), on(0.24, -0.26)]) + open([on(-0.24, -0.26), on(0.24, 0.26)]),
        }
      }),
    },
  }

  /** From one line along the deck to another, whose picture it runs square to. */
  function across(fromZ: number, toZ: number): Gradient {
    const [a, b, along] = [P([0, y, fromZ]), P([0, y, toZ]), P([1, y, fromZ])]
    const [ex, ey] = [along[0] - a[0], along[1] - a[1]]
    const d = ((b[0] - a[0]) * -ey + (b[1] - a[1]) * ex) / (ex * ex + ey * ey)
    return { from: a, to: [a[0] - ey * d, a[1] + ex * d], stops: [0, 1] }
  }

  function gradient(points: Point[]): Gradient {
    const from = points[0]!
    const to = points[points.length - 1]!
    const [dx, dy] = [to[0] - from[0], to[1] - from[1]]
    return { from, to, stops: points.map(([x, y]) => ((x - from[0]) * dx + (y - from[1]) * dy) / (dx * dx + dy * dy)) }
  }

  function behind(foot: Vec3): boolean {
    return foot[2] < -14 || (foot[2] < 4 && foot[0] < -10)
  }
}

/** A barrier's arm, from its hinge: 0 lies across the lane, 1 stands up. */
export function drawBarrier(p: Projection, { hinge, across, length }: World['barriers'][number], openness: number): { arm: string; stripes: string; post: string } {
  const a = openness * 1.35
  const tip = (l: number): Vec3 => [hinge[0] + across[0] * l * Math.cos(a), hinge[1] + 1 + l * Math.sin(a), hinge[2] + across[2] * l * Math.cos(a)]
  const P = (v: Vec3) => project(p, v)
  const stripes = [0.25, 0.5, 0.75].map((k) => open([P(tip(length * k - 0.16)), P(tip(length * k + 0.16))])).join('')
  return { arm: open([P(tip(0)), P(tip(length))]), stripes, post: open([P(hinge), P(lift(hinge, 1.05))]) }
}

export interface CarDrawing {
  shadow: string
  penumbra: string
  bed: string
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
  /** Around the whole, for the pointer. */
  hit: string
}

/** A car with its trailer, part by part. */
export function drawCar(p: Projection, scene: Scene, car: Car): CarDrawing {
  const { layout } = scene
  const k = layout.scale
  const offset = (s: number) => laneOffset(car.lane, layout.lanes, s)
  const m = new Frame(p, poseAt(car.station - layout.carLength / 2, offset(car.station)))
  const half = layout.carLength / 2
  const q = (f: number) => -half + (f + 2.5) * k

  const body = boxFaces(m, q(-2.5), q(0), -0.62 * k, 0.62 * k, 0.28 * k, 0.9 * k)
  const glass = boxFaces(m, q(-2.25), q(-0.75), -0.57 * k, 0.57 * k, 0.9 * k, 1.36 * k, 0.11 * k)
  const roof = boxFaces(m, q(-2.13), q(-0.9), -0.5 * k, 0.5 * k, 1.34 * k, 1.44 * k)
  const r = (m.seesRight ? 0.63 : -0.63) * k
  const wheel = (f: number) => close(Array.from({ length: 10 }, (_, i) => m.at(q(f) + 0.3 * k * Math.cos((i / 5) * Math.PI), r, 0.3 * k + 0.3 * k * Math.sin((i / 5) * Math.PI))))
  const lamp = (f: number, r0: number, r1: number) => close([m.at(q(f), r0 * k, 0.56 * k), m.at(q(f), r1 * k, 0.56 * k), m.at(q(f), r1 * k, 0.78 * k), m.at(q(f), r0 * k, 0.78 * k)])

  // The trailer follows the road: each box has its own heading, until the road is straight.
  const boxes: Faces = { top: '', side: '', end: '' }
  const ghost: Faces = { top: '', side: '', end: '' }
  const exact = car.trailerBlocks - 1 + car.lastFill
  const step = layout.blockLength * layout.blocksPerBox
  const slit = Math.min(0.1 * k, 0.24 * step)
  const from = car.station - layout.carLength - layout.hitch
  const count = Math.ceil(car.trailerBlocks / layout.blocksPerBox)
  const size = [0.6 * k, 0.3 * k, 1.06 * k] as const
  let frame: Frame | undefined
  let stamp: Stamp | undefined
  for (let i = 0; i < count; i++) {
    const s = from - i * step
    const straight = s - step > STRAIGHT && frame !== undefined && stamp !== undefined
    if (straight) frame!.move(-step)
    else {
      frame = new Frame(p, poseAt(s - step / 2, offset(s)))
      stamp = new Stamp(frame, -step / 2 + slit / 2, step / 2 - slit / 2, ...size)
    }
    const whole = Math.min(1, exact / layout.blocksPerBox - i)
    if (whole === 1) stamp!.print(frame!, boxes)
    else {
      stamp!.print(frame!, ghost)
      new Stamp(frame!, step / 2 - step * Math.max(0.08, whole) + slit / 2, step / 2 - slit / 2, ...size).print(frame!, boxes)
    }
  }
  const end = count > 0 ? from - count * step : car.station - layout.carLength
  const bed = count > 0 ? open([m.at(q(-2.4), 0, 0.34 * k), ...stations(from, end, 3).map((s) => new Frame(p, poseAt(s, offset(s))).at(0, 0.1 * k, 0.24 * k))]) : ''

  const outline = (grow: number): Point[] => {
    const row = stations(car.station + grow, end - grow, 2.5).map((s) => new Frame(p, poseAt(s, offset(s))))
    const shift = 0.5 * k
    return [...row.map((f) => f.at(0, (-0.62 * k - grow), 0)), ...row.toReversed().map((f) => f.at(0, 0.62 * k + grow, 0))].map(([x, y]) =>
      [x + p.x[0] * SUN.x * shift + p.x[2] * SUN.z * shift, y + p.y[0] * SUN.x * shift + p.y[2] * SUN.z * shift] as Point)
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
    hit: close(outline(0.5 * k)),
  }
}

/** All of a car that its drawing shows. */
const LOOKS = ['station', 'kvTokens', 'lane', 'phase', 'presence'] as const

export interface DrawnCar {
  car: Car
  d: CarDrawing
}

/** Draws cars; one that looks as it did is handed out as it was, so that a line that stands still costs nothing. */
export function carPainter(): (p: Projection, scene: Scene, car: Car) => DrawnCar {
  const last = new Map<number, DrawnCar & { p: Projection; layout: Scene['layout'] }>()
  return (p, scene, car) => {
    const known = last.get(car.request)
    if (known && known.p === p && known.layout === scene.layout && LOOKS.every((key) => known.car[key] === car[key])) return known
    const fresh = { p, layout: scene.layout, car, d: drawCar(p, scene, car) }
    last.set(car.request, fresh)
    return fresh
  }
}

/** From a down to b, both included, at most `apart` from each other. */
function stations(a: number, b: number, apart: number): number[] {
  const count = Math.max(1, Math.ceil((a - b) / apart))
  return Array.from({ length: count + 1 }, (_, i) => a + ((b - a) * i) / count)
}
