import type { Vec3 } from './project'

/**
 * One road from its entrance to the end of its deck: an approach on the ground, a toll, a ramp that climbs,
 * an elevated deck. Traffic runs along a centre line, measured in units of length from the toll's stop line:
 * approach < 0, ramp 0 … ramp, deck from there on. Right of the heading is the viewer's side.
 */

/** Gates of a toll; every lane of the road leads through one. 0 is the far one. */
export const GATES = 3
/** From the stop line to the barrier. */
export const BARRIER = 1.2
/** Length of deck on which output tokens are counted, and the road beyond it. */
export const DECK = 40
const BEYOND = 34

/** How a road is laid out. */
export interface RoadPlan {
  /** Where the deck's centre line begins: x, z. */
  merged: readonly [x: number, z: number]
  /** From there to the toll: so far back, and so far towards the viewer. A road that leads aside swings onto a deck that comes from afar. */
  back: number
  aside: number
  deckY: number
  /** Straight road before the stop line. */
  approach: number
  /** The way to the approach's beginning, as corners of the plan view; none: the approach comes from outside the picture. */
  route?: readonly (readonly [x: number, z: number])[]
  /** Of all widths: 1, less where many roads share the ground. */
  scale: number
}

/** Where a car stands: position, heading in the ground plane (unit), climb (rise per length). */
export interface Pose {
  position: Vec3
  hx: number
  hz: number
  climb: number
}

export const GROUND_Y = 0.4

/** Distance between lanes: at the toll, on the ramp, on the deck. */
const PITCH = { toll: 3.1, ramp: 1.75, deck: 2.7 }
/** From the outer lanes' middle to the edge of the road. */
const VERGE = { toll: 1.7, ramp: 1.15, deck: 1.7 }
const STEP = 0.25
/** The curve begins behind the toll's canopy. */
const STRAIGHT_AFTER_TOLL = 5

interface Sample {
  x: number
  y: number
  z: number
  /** Unit heading in the ground plane, and the climb. */
  hx: number
  hz: number
  hy: number
}

export const smooth = (t: number) => (t <= 0 ? 0 : t >= 1 ? 1 : t * t * (3 - 2 * t))

export class Road {
  /** Length of the ramp: the station at which the deck begins. */
  readonly ramp: number
  /** Stations of its two ends. */
  readonly from: number
  readonly to: number
  /** From here on the road runs straight and its lanes keep their distance. */
  readonly straight: number
  /** Where the ramp's left edge meets the deck's near one, for a road that leads aside. */
  readonly gore: number
  private readonly line: Sample[] = []

  constructor(readonly plan: RoadPlan) {
    const way = planView(plan)
    const length = [0]
    for (let i = 1; i < way.points.length; i++) length.push(length[i - 1]! + Math.hypot(way.points[i]![0] - way.points[i - 1]![0], way.points[i]![1] - way.points[i - 1]![1]))
    const stop = length[way.stop]!
    this.ramp = length[way.merged]! - stop
    this.from = -stop
    this.to = length[length.length - 1]! - stop
    this.straight = this.ramp + 3
    const at = (s: number): { i: number; f: number } => {
      let low = 0
      let high = length.length - 2
      while (low < high) {
        const middle = (low + high + 1) >> 1
        if (length[middle]! <= s + stop) low = middle
        else high = middle - 1
      }
      const d = length[low + 1]! - length[low]!
      return { i: low, f: d > 0 ? (s + stop - length[low]!) / d : 0 }
    }
    for (let s = this.from; s <= this.to; s += STEP) {
      const { i, f } = at(s)
      const [x0, z0] = way.points[i]!
      const [x1, z1] = way.points[i + 1]!
      const d = Math.hypot(x1 - x0, z1 - z0) || 1
      this.line.push({ x: x0 + (x1 - x0) * f, y: GROUND_Y, z: z0 + (z1 - z0) * f, hx: (x1 - x0) / d, hz: (z1 - z0) / d, hy: 0 })
    }
    this.gore = plan.aside > 0 ? this.findGore() : this.ramp
    // Level by the time it touches the deck.
    const top = plan.aside > 0 ? this.gore - 1.5 : this.ramp - 1
    const height = (s: number) => GROUND_Y + (plan.deckY - GROUND_Y) * smooth((s - 4) / (top - 4))
    for (const [k, sample] of this.line.entries()) {
      const s = this.from + k * STEP
      sample.y = height(s)
      sample.hy = (height(s + 0.2) - height(s - 0.2)) / 0.4
    }
  }

  private findGore(): number {
    const nearZ = this.plan.merged[1] + this.halfWidth(this.ramp + 4)
    for (let s = 0; s < this.ramp; s += STEP) if (this.poseAt(s, -this.halfWidth(s)).position[2] <= nearZ) return s
    return this.ramp
  }

  /** Pose at a station of the centre line, `offset` units to the right of it. */
  poseAt(station: number, offset = 0): Pose {
    const k = (Math.min(Math.max(station, this.from), this.to - STEP) - this.from) / STEP
    const i = Math.min(Math.floor(k), this.line.length - 2)
    const f = k - i
    const a = this.line[i]!
    const b = this.line[i + 1]!
    let hx = a.hx + (b.hx - a.hx) * f
    let hz = a.hz + (b.hz - a.hz) * f
    const unit = Math.hypot(hx, hz)
    hx /= unit
    hz /= unit
    // Right of the heading (hx, hz) is (−hz, hx): for +x that is +z, towards the viewer.
    return { position: [a.x + (b.x - a.x) * f - hz * offset, a.y + (b.y - a.y) * f, a.z + (b.z - a.z) * f + hx * offset], hx, hz, climb: a.hy + (b.hy - a.hy) * f }
  }

  /** Place beside or on the road. */
  at(station: number, offset = 0, up = 0): Vec3 {
    const [x, y, z] = this.poseAt(station, offset).position
    return [x, y + up, z]
  }

  /** Distance between gates' middles at a station. */
  pitch(station: number): number {
    return this.along(PITCH, station) * (0.5 + 0.5 * this.opened(station))
  }

  /** Offset to the right of lane `lane` of `lanes` (a multiple of GATES; 0 is the far one). */
  laneOffset(lane: number, lanes: number, station: number): number {
    const perGate = lanes / GATES
    const gate = Math.floor(lane / perGate)
    const pitch = this.pitch(station)
    return (gate - (GATES - 1) / 2) * pitch + ((lane % perGate) - (perGate - 1) / 2) * (pitch / perGate) * 0.96
  }

  /** Half the road's width. */
  halfWidth(station: number): number {
    return ((GATES - 1) / 2) * this.pitch(station) + this.along(VERGE, station) * (0.7 + 0.3 * this.opened(station))
  }

  /** 0 on the narrow road before the plaza, 1 from the plaza on. */
  private opened(station: number): number {
    return smooth((station + Math.min(22, this.plan.approach)) / 11)
  }

  /** A value that is one thing at the toll, another on the ramp, a third on the deck. */
  private along(v: { toll: number; ramp: number; deck: number }, s: number): number {
    const length = Math.min(16, this.ramp * 0.5)
    return this.plan.scale * (v.toll + (v.ramp - v.toll) * smooth((s - 4) / (length * 0.7)) + (v.deck - v.ramp) * smooth((s - this.ramp + length * 0.9) / length))
  }
}

/** Corners of the way, close enough for straight lines between them; which of them is the stop line, which the deck's beginning. */
function planView({ merged: [mx, mz], back, aside, approach, route }: RoadPlan): { points: [number, number][]; stop: number; merged: number } {
  const [tx, tz] = [mx - back, mz + aside]
  const points: [number, number][] = route ? rounded([...route, [tx - approach, tz], [tx - approach + 6, tz]], 5) : []
  const start = points.length ? points[points.length - 1]![0] + 1 : tx - approach
  for (let x = start; x < tx; x += 1) points.push([x, tz])
  const stop = points.length
  points.push([tx, tz])
  for (let x = tx + 1; x <= tx + STRAIGHT_AFTER_TOLL; x += 1) points.push([x, tz])
  if (aside > 0) {
    const from = tx + STRAIGHT_AFTER_TOLL
    const reach = mx - from
    for (let i = 1; i <= 400; i++) {
      const t = i / 400
      const u = 1 - t
      const b = [u * u * u, 3 * u * u * t, 3 * u * t * t, t * t * t] as const
      points.push([b[0] * from + b[1] * (from + reach * 0.52) + b[2] * (mx - reach * 0.56) + b[3] * mx, (b[0] + b[1]) * tz + (b[2] + b[3]) * mz])
    }
  } else for (let x = tx + STRAIGHT_AFTER_TOLL + 1; x < mx; x += 1) points.push([x, tz])
  const joined = points.length
  for (let x = mx; x < mx + DECK + BEYOND; x += 1) points.push([x, mz])
  return { points, stop, merged: joined }
}

/** A line of corners, each replaced by an arc. */
function rounded(corners: readonly (readonly [number, number])[], radius: number): [number, number][] {
  const out: [number, number][] = [[...corners[0]!]]
  const push = (x: number, z: number) => {
    const [lx, lz] = out[out.length - 1]!
    if (Math.hypot(x - lx, z - lz) > 1e-6) out.push([x, z])
  }
  const walk = (to: readonly [number, number]) => {
    const [lx, lz] = out[out.length - 1]!
    const d = Math.hypot(to[0] - lx, to[1] - lz)
    for (let k = 1; k <= Math.ceil(d); k++) push(lx + ((to[0] - lx) * k) / Math.ceil(d), lz + ((to[1] - lz) * k) / Math.ceil(d))
  }
  for (let i = 1; i < corners.length; i++) {
    const [a, b, c] = [corners[i - 1]!, corners[i]!, corners[i + 1]]
    const into = Math.hypot(b[0] - a[0], b[1] - a[1])
    if (!c) {
      walk(b)
      continue
    }
    const on = Math.hypot(c[0] - b[0], c[1] - b[1])
    const turn = Math.abs((b[0] - a[0]) * (c[1] - b[1]) - (b[1] - a[1]) * (c[0] - b[0]))
    if (turn < 1e-6) {
      walk(b)
      continue
    }
    const r = Math.min(radius, into / 2, on / 2)
    const p: [number, number] = [b[0] + ((a[0] - b[0]) * r) / into, b[1] + ((a[1] - b[1]) * r) / into]
    const q: [number, number] = [b[0] + ((c[0] - b[0]) * r) / on, b[1] + ((c[1] - b[1]) * r) / on]
    walk(p)
    for (let k = 1; k <= 12; k++) {
      const t = k / 12
      const u = 1 - t
      push(u * u * p[0] + 2 * u * t * b[0] + t * t * q[0], u * u * p[1] + 2 * u * t * b[1] + t * t * q[1])
    }
  }
  return out
}
