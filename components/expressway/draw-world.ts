import { boxFaces, close, Frame, lift, open, SUN, type Faces, type Point } from './frame'
import { blend, hex, mixOf, rgb, type Palette, type Rgb } from './palette'
import { project, type Projection, type Vec3 } from './project'
import type { Box, GatePlace, Kerb, Material, Slab, Tree, World } from './world'

/** One path of the drawing, filled or stroked. */
export interface Shape {
  d: string
  fill?: string
  stroke?: string
  /** World units; the drawing turns them into its own. */
  width?: number
}

/** How much of its colour a face keeps: turned up, to the viewer, and along the road. As the model's lights have it. */
export interface Shading {
  top: number
  side: number
  end: number
}
export const shadingOf = (dark: boolean): Shading => (dark ? { top: 0.86, side: 0.66, end: 0.55 } : { top: 1, side: 0.87, end: 0.78 })

export const shade = ([r, g, b]: Rgb, k: number): string => hex([r * k, g * k, b * k])

export interface WorldDrawing {
  shadow: string
  /** In the order they are to be painted. */
  ground: Shape[]
  kerbs: Shape[]
  before: Shape[]
  /** Islands and booths of the tolls, and halls: each to be painted after the cars behind it. */
  standing: { depth: number; shapes: Shape[] }[]
  over: Shape[]
}

const frameOf = (p: Projection, box: Box) => new Frame(p, { position: box.foot, hx: box.hx, hz: box.hz, climb: 0 })

function faces(p: Projection, box: Box): Faces {
  return boxFaces(frameOf(p, box), -box.long, box.long, -box.wide, box.wide, 0, box.high, box.taper ?? 0)
}

/** Nearer to the viewer is more: what is painted later. */
export const depthOf = ({ back }: Projection, [x, , z]: Vec3): number => back[0] * x + back[2] * z

const shadowOf = (p: Projection, [x, y, z]: Vec3): Point => project(p, [x + y * SUN.x, 0, z + y * SUN.z])

export function drawWorld(p: Projection, world: World, palette: Palette, dark: boolean, experts: readonly number[] = []): WorldDrawing {
  const light = shadingOf(dark)
  const colourOf = (box: Box): Rgb => {
    const own = rgb(palette.materials[box.material])
    return box.expert === undefined ? own : blend(own, rgb(palette.decode), Math.min(1, experts[box.expert] ?? 0))
  }
  /** Boxes of one material as three paths. */
  const boxes = (some: readonly Box[]): Shape[] => {
    const bright: readonly Material[] = ['window']
    return some.flatMap((box) => {
      const f = faces(p, box)
      const c = colourOf(box)
      const k = bright.includes(box.material) ? { top: 1, side: 0.95, end: 0.9 } : light
      return [{ d: f.end, fill: shade(c, k.end) }, { d: f.side, fill: shade(c, k.side) }, { d: f.top, fill: shade(c, k.top) }]
    })
  }
  const trees = (some: readonly Tree[]): Shape[] => some.flatMap((t) => treeShapes(p, t, palette, light))

  const near = (z: Box) => z.foot[2]
  return {
    shadow: shadows(p, world),
    ground: [
      ...trees(world.trees.filter((t) => t.behind)),
      ...boxes([...world.boxes.below].sort((a, b) => near(a) - near(b))),
      ...world.slabs.flatMap((slab) => slabShapes(p, slab, palette, light)),
      ...stripes(p, world, palette, light),
    ],
    kerbs: world.kerbs.flatMap((kerb) => kerbShapes(p, kerb, palette)),
    before: trees(world.trees.filter((t) => !t.behind)),
    standing: world.boxes.toll.map((box) => ({ depth: depthOf(p, box.foot), shapes: boxes([box]) })),
    over: boxes(world.boxes.over),
  }
}

function slabShapes(p: Projection, { left, right, thick, tint }: Slab, palette: Palette, light: Shading): Shape[] {
  const down = (v: Vec3): Vec3 => [v[0], Math.max(0, v[1] - thick), v[2]]
  const P = (v: Vec3) => project(p, v)
  const level = (i: number) => Math.round(tint[i]! * 12) / 12
  const out: Shape[] = []
  const tops: Shape[] = []
  // Runs of one tint; each reaches under the next, so that no seam shows.
  for (let i = 0; i < left.length - 1;) {
    let j = i + 1
    while (j < left.length - 1 && level(j) === level(i)) j++
    const over = Math.min(left.length - 1, j + 1)
    const run = (edge: Vec3[]) => edge.slice(i, over + 1).map(P)
    const side = right.slice(i, over + 1)
    const c = blend(rgb(palette.roadSide), rgb(palette.rampSide), level(i))
    out.push({ d: close([...side.map(P), ...side.toReversed().map((v) => P(down(v)))]), fill: shade(c, light.side) })
    tops.push({ d: close([...run(left), ...run(right).toReversed()]), fill: shade(blend(rgb(palette.road), rgb(palette.ramp), level(i)), light.top) })
    i = j
  }
  return [...out, ...tops]
}

function stripes(p: Projection, world: World, palette: Palette, light: Shading): Shape[] {
  const byWidth = new Map<number, string>()
  for (const { points, width } of world.stripes) byWidth.set(width, (byWidth.get(width) ?? '') + open(points.map((v) => project(p, v))))
  return [...byWidth].map(([width, d]) => ({ d, stroke: shade(rgb(palette.mark), light.top), width }))
}

function kerbShapes(p: Projection, { points, mix }: Kerb, palette: Palette): Shape[] {
  const key = (i: number) => mix[i]!.map((v) => Math.round(v * 28) / 28).join()
  const out: Shape[] = []
  for (let i = 0; i < points.length - 1;) {
    let j = i + 1
    while (j < points.length - 1 && key(j) === key(i)) j++
    const run = points.slice(i, j + 1)
    out.push({ d: open(run.map((v) => project(p, lift(v, 0.12)))), stroke: hex(mixOf(palette, mix[i]!)), width: 0.25 })
    i = j
  }
  return out
}

function shadows(p: Projection, world: World): string {
  const outline = (slab: Slab) => close([...slab.left, ...slab.right.toReversed()].map((v) => shadowOf(p, v)))
  const box = ({ foot: [x, y, z], long, wide, high }: Box) => {
    const corners = [[-long, -wide], [long, -wide], [long, wide], [-long, wide]] as const
    const low = corners.map(([f, r]) => shadowOf(p, [x + f, y, z + r]))
    const top = corners.map(([f, r]) => shadowOf(p, [x + f, y + high, z + r]))
    return close(hull([...low, ...top]))
  }
  return [
    ...world.slabs.map(outline),
    ...[...world.boxes.below, ...world.boxes.toll.filter((b) => b.material !== 'island'), ...world.boxes.over].map(box),
    ...world.trees.map(({ foot: [x, , z], size }) => close(hull([...[0, 1, 2, 3, 4, 5].map((k) => shadowOf(p, [x + size * Math.cos(k), 0.4 * size, z + size * Math.sin(k)])), shadowOf(p, [x, 3.1 * size, z])]))),
  ].join('')
}

/** Convex hull (Andrew's monotone chain). */
function hull(points: Point[]): Point[] {
  const sorted = [...points].sort((a, b) => a[0] - b[0] || a[1] - b[1])
  const turn = (o: Point, a: Point, b: Point) => (a[0] - o[0]) * (b[1] - o[1]) - (a[1] - o[1]) * (b[0] - o[0])
  const half = (list: Point[]) => {
    const out: Point[] = []
    for (const q of list) {
      while (out.length >= 2 && turn(out[out.length - 2]!, out[out.length - 1]!, q) <= 0) out.pop()
      out.push(q)
    }
    return out.slice(0, -1)
  }
  return [...half(sorted), ...half(sorted.toReversed())]
}

/** Facets of a tree turned to the camera, in three shades. */
function treeShapes(p: Projection, { foot, size }: Tree, palette: Palette, light: Shading): Shape[] {
  const shades = ['', '', '']
  const apex = project(p, lift(foot, 3.1 * size))
  const rim = (k: number): Vec3 => {
    const a = (k / 7) * 2 * Math.PI + 0.3
    return [foot[0] + 1.12 * size * Math.cos(a), 0.5 * size, foot[2] + 1.12 * size * Math.sin(a)]
  }
  for (let k = 0; k < 7; k++) {
    const middle = ((k + 0.5) / 7) * 2 * Math.PI + 0.3
    const normal: Vec3 = [Math.cos(middle), 0.42, Math.sin(middle)]
    if (normal[0] * p.back[0] + normal[1] * p.back[1] + normal[2] * p.back[2] <= 0) continue
    const lit = -normal[0] * 0.8 + normal[2] * 0.4
    shades[lit > 0.35 ? 0 : lit > -0.3 ? 1 : 2] += close([apex, project(p, rim(k)), project(p, rim(k + 1))])
  }
  const c = rgb(palette.materials.tree)
  return [
    { d: open([project(p, foot), project(p, lift(foot, 0.8))]), stroke: shade(rgb(palette.materials.trunk), light.side), width: 0.28 },
    ...[1.02, 0.93, 0.84].map((k, i) => ({ d: shades[i]!, fill: shade(c, k * light.top) })),
  ]
}

/** A gate's barrier, from its hinge: 0 lies across the lane, 1 stands up; and its lamp under the canopy's edge. */
export function drawGate(p: Projection, { hinge, across, length, sign, hx, hz, size }: GatePlace, openness: number): { arm: string; stripes: string; post: string; lamp: string } {
  const a = openness * 1.3
  const tip = (l: number): Vec3 => [hinge[0] + across[0] * l * Math.cos(a), hinge[1] + 1.05 * size + l * Math.sin(a), hinge[2] + across[2] * l * Math.cos(a)]
  const P = (v: Vec3) => project(p, v)
  const parts = (odd: number) => [0, 1, 2].map((i) => open([P(tip((length * (2 * i + odd)) / 6)), P(tip((length * (2 * i + odd + 1)) / 6))])).join('')
  const lamp = new Frame(p, { position: [sign[0] + hx * 2.11 * size, sign[1] - 0.06 * size, sign[2] + hz * 2.11 * size], hx, hz, climb: 0 })
  return {
    arm: parts(1), stripes: parts(0), post: open([P(hinge), P(lift(hinge, 1.1 * size))]),
    lamp: close([lamp.at(0, -0.62 * size, 0), lamp.at(0, 0.62 * size, 0), lamp.at(0, 0.62 * size, 0.3 * size), lamp.at(0, -0.62 * size, 0.3 * size)]),
  }
}
