import { project, type Projection, type Vec3 } from './project'
import type { Pose } from './road'

/** Where the sun puts a shadow: units aside for each unit of height. */
export const SUN = { x: 22 / 46, z: -18 / 46 }

export type Point = [x: number, y: number]

/**
 * Pictures are drawn in eighths of a pixel, so that paths are made of whole numbers: a third of the text and of
 * the time of decimals. Hand a viewport and a zoom of FINE times their size to projection().
 */
export const FINE = 8

export const n = Math.round
export const close = (points: Point[]) => (points.length ? `M${points.map(([x, y]) => `${n(x)} ${n(y)}`).join('L')}Z` : '')
export const open = (points: Point[]) => (points.length ? `M${points.map(([x, y]) => `${n(x)} ${n(y)}`).join('L')}` : '')

export const lift = ([x, y, z]: Vec3, by: number): Vec3 => [x, y + by, z]

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

export interface Faces {
  top: string
  side: string
  end: string
}

/** The three seen faces of a box in a frame, from f0 to f1, r0 to r1, u0 to u1; `taper` pulls its top in. */
export function boxFaces(m: Frame, f0: number, f1: number, r0: number, r1: number, u0: number, u1: number, taper = 0): Faces {
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
export class Stamp {
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
