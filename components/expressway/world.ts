import type { Vec3 } from './project'
import { BARRIER, GATES, GROUND_Y, Road, smooth } from './road'
import type { Site } from './site'

/** The standing part of the scene, as parts that both drawings know how to draw. */

export type Material =
  | 'road' | 'pillar' | 'island' | 'booth' | 'window' | 'post' | 'canopy' | 'fascia' | 'sign' | 'trunk' | 'tree' | 'hall' | 'roof'

/** Shares of the colours that a line or a surface is mixed of: queue, prefill, decode, road. */
export type Mix = readonly [queue: number, prefill: number, decode: number, road: number]

/** A road's slab: its two edges, how thick it is, and how much of the ramp's tint lies on it at each pair of points, 0 … 1. */
export interface Slab {
  left: Vec3[]
  right: Vec3[]
  thick: number
  tint: number[]
  /** Others lie in the same plane: its walls stay a hair below it. */
  crossing?: boolean
}

/** A kerb: a low wall along an edge, its colour at each point. */
export interface Kerb {
  points: Vec3[]
  mix: Mix[]
}

/** Paint on a road. */
export interface Stripe {
  points: Vec3[]
  width: number
  strong?: boolean
}

/** A box: centre of its foot, half sizes along and across its heading, height; its top may be drawn in. */
export interface Box {
  foot: Vec3
  hx: number
  hz: number
  long: number
  wide: number
  high: number
  material: Material
  taper?: number
  /** Expert whose hall it is. */
  expert?: number
}

export interface Tree {
  foot: Vec3
  size: number
  /** Behind the roads: what stands in front of a road is drawn after it. */
  behind: boolean
}

/** One gate of a toll. */
export interface GatePlace {
  road: number
  hinge: Vec3
  /** The arm's direction when closed, and its length. */
  across: Vec3
  length: number
  /** Where its sign hangs, facing the traffic. */
  sign: Vec3
  hx: number
  hz: number
  size: number
}

/** An exit to an expert: its way from the deck to the hall's door. */
export interface ExpertPlace {
  points: Vec3[]
  width: number
  /** Middle of the hall's top. */
  label: Vec3
}

export interface World {
  slabs: Slab[]
  kerbs: Kerb[]
  stripes: Stripe[]
  /** Boxes that stand behind or under the roads, before the cars, and over them. */
  boxes: { below: Box[]; toll: Box[]; over: Box[] }
  gates: GatePlace[]
  trees: Tree[]
  experts: ExpertPlace[]
  /** All that has to be in a picture of the whole: x from, x to, z from, z to, height. */
  bounds: { x: [number, number]; z: [number, number]; y: number }
}

const SLAB = 0.7
/** Height of the beam on top of a pair of pillars. */
const HEAD = 0.55
const UPSTREAM = 62
/** From a road's edge to the middle of its kerb. */
const INSET = 0.16
const QUEUE: Mix = [1, 0, 0, 0]
const PREFILL: Mix = [0, 1, 0, 0]
const DECODE: Mix = [0, 0, 1, 0]

const worlds = new WeakMap<Site, World>()

export function worldOf(site: Site): World {
  let world = worlds.get(site)
  if (!world) worlds.set(site, (world = build(site)))
  return world
}

function build(site: Site): World {
  const world: World = {
    slabs: [], kerbs: [], stripes: [], boxes: { below: [], toll: [], over: [] }, gates: [], trees: [], experts: [],
    bounds: { x: [Infinity, -Infinity], z: [Infinity, -Infinity], y: 0 },
  }
  const single = site.roads.length === 1
  if (!single) entrance(world, site)
  for (const [r, road] of site.roads.entries()) {
    if (road.plan.aside > 0) swingingRoad(world, road, site)
    else straightRoad(world, road, site)
    toll(world, road, r, site)
  }
  if (site.experts > 0) exits(world, site.roads[0]!, site.experts)
  // Halls stand where some of the trees would.
  world.trees.push(...(single ? SINGLE_TREES.filter((t) => site.experts === 0 || t.foot[0] < 8 || t.behind) : treesAround(world)))
  return world
}

const mixed = (a: Mix, b: Mix, t: number): Mix => [0, 1, 2, 3].map((k) => a[k]! + (b[k]! - a[k]!) * t) as unknown as Mix

/** Colour of a road's kerb at a station: queue to the toll, prefill on the ramp, decode on the deck. */
function kerbMix(road: Road, s: number): Mix {
  const far: Mix = [0.3, 0, 0, 0.7]
  if (s < 4.2) return mixed(far, QUEUE, smooth((s + 30) / 16))
  return mixed(PREFILL, DECODE, smooth((s - road.ramp + 5) / 8))
}

/** How much of the ramp's tint lies on the road. */
const rampTint = (road: Road, s: number) => smooth((s - 2) / 7) * (1 - smooth((s - road.ramp + 9) / 9))

const range = (from: number, to: number, step: number): number[] => {
  const n = Math.max(1, Math.ceil((to - from) / step - 1e-9))
  return Array.from({ length: n + 1 }, (_, i) => from + ((to - from) * i) / n)
}

/** The two halves of a kerb at the toll: one colour ends where the next begins. */
function kerbs(world: World, road: Road, side: -1 | 1, from: number, to: number, last?: Vec3): void {
  for (const [a, b] of [[from, 4.2], [4.2, to]] as const) {
    if (b <= a) continue
    const stations = range(a, b, 0.5)
    const points = stations.map((s) => road.at(s, side * (road.halfWidth(s) - INSET)))
    const mix = stations.map((s) => kerbMix(road, s === 4.2 && a === 4.2 ? 4.21 : s))
    // Ends on the deck's kerb, if it is not there yet.
    if (last && b === to && last[0] > points[points.length - 1]![0] + 0.05) {
      points.push(last)
      mix.push(mix[mix.length - 1]!)
    }
    world.kerbs.push({ points, mix })
  }
}

/** A deck that comes from afar, and a ramp that swings up to its near edge. */
function swingingRoad(world: World, road: Road, site: Site): void {
  const [mx, mz] = road.plan.merged
  const y = road.plan.deckY
  const half = road.halfWidth(road.ramp + 4)
  const [farZ, nearZ] = [mz - half, mz + half]
  const [from, to] = [mx - UPSTREAM, mx + (road.to - road.ramp)]

  // Each edge of the ramp ends where it meets the deck's near edge.
  const edge = (side: number): Vec3[] => {
    const points: Vec3[] = []
    for (const s of range(road.from, road.ramp + 6, 0.5)) {
      const next = road.at(s, side * road.halfWidth(s))
      const last = points[points.length - 1]
      if (last && s > 6 && next[2] <= nearZ) {
        const f = (last[2] - nearZ) / (last[2] - next[2])
        return [...points, [last[0] + (next[0] - last[0]) * f, y, nearZ]]
      }
      points.push(next)
    }
    return [...points, [mx, y, nearZ]]
  }
  const left = edge(-1)
  const right = edge(1)
  const gore = left[left.length - 1]!
  const joined = right[right.length - 1]!

  const xs = range(from, to, 8)
  world.slabs.push({ left: xs.map((x): Vec3 => [x, y, farZ]), right: xs.map((x): Vec3 => [x, y, nearZ]), thick: SLAB, tint: xs.map(() => 0) })
  // The ramp's slab: pairs of points, the shorter edge waiting at its end; then a tongue that fades out on the deck.
  const n = Math.max(left.length, right.length)
  const pairs = Array.from({ length: n }, (_, i) => ({ l: left[Math.min(i, left.length - 1)]!, r: right[Math.min(i, right.length - 1)]!, s: road.from + i * 0.5 }))
  world.slabs.push({ left: pairs.map((p) => p.l), right: pairs.map((p) => p.r), thick: 0.6, tint: pairs.map((p) => rampTint(road, p.s)) })

  // Kerbs: both of the ramp, the deck's near one where the ramp does not open it, the far one all along.
  const inset = INSET
  const goreStation = stationNear(road, gore, -1)
  kerbs(world, road, -1, road.from, goreStation, [gore[0], y, nearZ - inset])
  const joinStation = stationNear(road, joined, 1)
  kerbs(world, road, 1, road.from, joinStation, [joined[0], y, nearZ - inset])
  const distant: Mix = [0, 0, 0.25, 0.75]
  const upstream = range(from, gore[0], 4)
  world.kerbs.push({ points: upstream.map((x): Vec3 => [x, y, nearZ - inset]), mix: upstream.map((x) => mixed(distant, DECODE, smooth((x - gore[0] + 46) / 40))) })
  const on = range(joined[0], to, 1.5)
  const atJoin = kerbMix(road, joinStation)
  world.kerbs.push({ points: on.map((x): Vec3 => [x, y, nearZ - inset]), mix: on.map((x) => mixed(atJoin, DECODE, smooth((x - joined[0]) / 7))) })
  world.kerbs.push({ points: xs.map((x): Vec3 => [x, y, farZ + inset]), mix: xs.map((x) => mixed(distant, DECODE, smooth((x - gore[0] + 46) / 40))) })

  // Lane marks: broken lines. Where the ramp's traffic crosses, its own marks lead.
  for (let g = 1; g < GATES; g++) {
    const boundary = (s: number) => (g - GATES / 2) * road.pitch(s)
    laneMarks(world, road, boundary, 9, road.ramp - 2)
    laneMarks(world, road, boundary, road.from, -7)
    const z = mz + boundary(road.ramp + 4)
    const solid = site.longLane !== undefined && g === GATES - 1
    if (solid) world.stripes.push({ points: [[mx, y, z], [to, y, z]], width: 0.16 })
    for (let x = from; x < to; x += 4.2) {
      if (x > gore[0] - 2 && x < mx - 1) continue
      if (solid && x >= mx - 1) continue
      world.stripes.push({ points: [[x, y, z], [x + 1.9, y, z]], width: 0.14 })
    }
  }
  for (const z of [farZ + 0.62, nearZ - 0.62]) {
    const parts: [number, number][] = z === farZ + 0.62 ? [[from, to]] : [[from, gore[0] - 1], [joined[0] + 2, to]]
    for (const [a, b] of parts) world.stripes.push({ points: [[a, y, z], [b, y, z]], width: 0.1 })
  }

  for (let x = from + 6; x < to; x += 12) pier(world, x, mz, y, half)
  for (let s = road.ramp * 0.3; s < road.gore + 3; s += 6) {
    const { position, hx, hz } = road.poseAt(s)
    if (position[1] > 1.6 && position[2] > nearZ + 1.5) world.boxes.below.push({ foot: [position[0], 0, position[2]], hx, hz, long: 0.42, wide: 0.7, high: position[1] - 0.95, material: 'pillar' })
  }
  world.bounds = { x: [mx - road.plan.back - 16, mx + 40], z: [farZ, mz + road.plan.aside + 6], y: y + 1.5 }
}

/** A toll, a rise and a deck in one line. */
function straightRoad(world: World, road: Road, site: Site): void {
  const [mx, mz] = road.plan.merged
  const y = road.plan.deckY
  const stations = range(-road.plan.approach, road.to - 2, 0.75)
  world.slabs.push({
    left: stations.map((s) => road.at(s, -road.halfWidth(s))), right: stations.map((s) => road.at(s, road.halfWidth(s))),
    thick: 0.55, tint: stations.map((s) => rampTint(road, s)),
  })
  for (const side of [-1, 1] as const) kerbs(world, road, side, -road.plan.approach + 2, road.to - 2)
  const scale = site.scale
  for (let g = 1; g < GATES; g++) {
    const boundary = (s: number) => (g - GATES / 2) * road.pitch(s)
    const solid = site.longLane !== undefined && g === GATES - 1
    laneMarks(world, road, boundary, -road.plan.approach + 2, -4, scale)
    if (solid) world.stripes.push({ points: range(road.ramp, road.to - 2, 4).map((s) => road.at(s, boundary(s))), width: 0.16 * scale })
    laneMarks(world, road, boundary, 9, solid ? road.ramp : road.to - 4, scale)
  }
  const half = road.halfWidth(road.ramp + 4)
  for (let x = mx + 2; x < mx + 74; x += 12) pier(world, x, mz, y, half, scale)
  const { bounds } = world
  bounds.x = [Math.min(bounds.x[0], mx - road.plan.back - road.plan.approach - 10), mx + 42]
  bounds.z = [Math.min(bounds.z[0], mz - half - 1), Math.max(bounds.z[1], mz + half + 1)]
  bounds.y = y + 1.5
}

/** The road along the heads of all approaches, and to the other regions. */
function entrance(world: World, site: Site): void {
  for (const road of site.roads) {
    const stations = range(road.from, -road.plan.approach + 3, 0.75)
    const half = (s: number) => Math.max(road.halfWidth(s), 2.1 * site.scale)
    world.slabs.push({ left: stations.map((s) => road.at(s, -half(s))), right: stations.map((s) => road.at(s, half(s))), thick: 0.5, tint: stations.map(() => 0), crossing: true })
  }
}

function pier(world: World, x: number, z: number, y: number, half: number, scale = 1): void {
  const high = y - SLAB - HEAD
  if (high > 0.4) {
    for (const side of [-0.5, 0.5]) world.boxes.below.push({ foot: [x, 0, z + side * half * 1.1], hx: 1, hz: 0, long: 0.5 * scale, wide: 0.5 * scale, high, material: 'pillar' })
    world.boxes.below.push({ foot: [x, high, z], hx: 1, hz: 0, long: 0.6 * scale, wide: half * 0.84, high: HEAD, material: 'pillar' })
  } else world.boxes.below.push({ foot: [x, 0, z], hx: 1, hz: 0, long: 0.5 * scale, wide: half * 0.7, high: y - 0.5, material: 'pillar' })
}

function laneMarks(world: World, road: Road, boundary: (s: number) => number, from: number, to: number, scale = 1): void {
  for (let s = from; s < to - 1.3; s += 3.2) world.stripes.push({ points: [0, 0.65, 1.3].map((d) => road.at(s + d, boundary(s + d))), width: 0.13 * Math.max(scale, 0.7) })
}

/** Islands with booths between the gates, barriers behind them, and a canopy that stands clear of who waits. */
function toll(world: World, road: Road, index: number, site: Site): void {
  const k = road.plan.scale
  const { hx, hz } = road.poseAt(0)
  const pitch = road.pitch(0)
  const here = (s: number, o: number, up = 0) => road.at(s, o, up)
  for (let i = 0; i <= GATES; i++) {
    const offset = (i - GATES / 2) * pitch
    world.boxes.toll.push({ foot: here(0.9 * k, offset), hx, hz, long: 2.7 * k, wide: 0.3 * k, high: 0.2 * k, material: 'island' })
    world.boxes.toll.push({ foot: here(0.5 * k, offset, 0.2 * k), hx, hz, long: 0.8 * k, wide: 0.36 * k, high: 0.8 * k, material: 'booth' })
    world.boxes.toll.push({ foot: here(0.5 * k, offset, k), hx, hz, long: 0.76 * k, wide: 0.33 * k, high: 0.46 * k, material: 'window' })
    world.boxes.toll.push({ foot: here(0.5 * k, offset, 1.46 * k), hx, hz, long: 0.86 * k, wide: 0.42 * k, high: 0.24 * k, material: 'booth' })
    world.boxes.over.push({ foot: here(2.7 * k, offset, 0.2 * k), hx, hz, long: 0.15 * k, wide: 0.15 * k, high: 3.5 * k, material: 'post' })
    if (i === GATES) continue
    world.gates.push({
      road: index, hinge: here(BARRIER * k + 0.3, offset + 0.36 * k), across: [-hz, 0, hx], length: pitch - 0.8 * k,
      sign: here(2.7 * k - 1.02 * k, offset + pitch / 2, 3.72 * k), hx, hz, size: k,
    })
    world.stripes.push({ points: [here(0.25, offset + 0.5 * k), here(0.25, offset + pitch - 0.5 * k)], width: 0.3 * k, strong: true })
  }
  const wide = (GATES / 2) * pitch + 0.7 * k
  world.boxes.over.push({ foot: here(2.7 * k, 0, 3.6 * k), hx, hz, long: 1.0 * k, wide, high: 0.42 * k, material: 'canopy' })
  if (site.longLane !== undefined) {
    // The near gate is for long vehicles: a board says so.
    world.boxes.over.push({ foot: here(2.7 * k, pitch, 4.02 * k), hx, hz, long: 0.12 * k, wide: pitch * 0.36, high: 0.7 * k, material: 'fascia' })
  }
}

/** Short ways from the deck's near edge down to a hall each. */
function exits(world: World, road: Road, count: number): void {
  const rows = count > 8 ? 2 : 1
  const perRow = Math.ceil(count / rows)
  const single = road.plan.aside > 0
  const [first, last] = single ? [road.ramp + 6, road.ramp + 37] : [road.ramp + 6, road.ramp + 38]
  const step = (last - first) / perRow
  const k = Math.min(1, step / 4.2)
  for (let e = 0; e < count; e++) {
    const s = first + step * (0.5 + (e % perRow))
    const out = 4.5 + 4.6 * Math.floor(e / perRow)
    const y = road.poseAt(s).position[1]
    const half = road.halfWidth(s)
    const width = 1.15 * k
    const points = range(0, 1, 0.08).map((t): Vec3 => {
      const [x, , z] = road.at(s + 2.4 * k * smooth(t), half - 0.3 + out * t)
      return [x, GROUND_Y + (y - GROUND_Y) * (1 - smooth(t)), z]
    })
    const end = points[points.length - 1]!
    world.experts.push({ points, width, label: [end[0], 1.7 * k, end[2] + 1.2 * k] })
    const side = (o: number) => points.map((p): Vec3 => [p[0] + o * width / 2, p[1], p[2]])
    world.slabs.push({ left: side(1), right: side(-1), thick: 0.3, tint: points.map(() => 0) })
    for (const o of [0.84, -0.84]) world.kerbs.push({ points: side(o), mix: points.map(() => mixed([0, 0, 0, 1], DECODE, 0.6)) })
    world.boxes.toll.push({ foot: [end[0], 0, end[2] + 1.2 * k], hx: 1, hz: 0, long: 1.25 * k, wide: 1.05 * k, high: 1.5 * k, material: 'hall', expert: e })
    world.boxes.toll.push({ foot: [end[0], 1.5 * k, end[2] + 1.2 * k], hx: 1, hz: 0, long: 1.25 * k, wide: 1.05 * k, high: 0.5 * k, material: 'roof', taper: 0.5 * k, expert: e })
  }
}

/** Station whose edge on one side is nearest to a point. */
function stationNear(road: Road, [px, , pz]: Vec3, side: -1 | 1): number {
  let best = 0
  let least = Infinity
  for (let s = 0; s < road.ramp + 8; s += 0.25) {
    const [x, , z] = road.at(s, side * road.halfWidth(s))
    const d = Math.hypot(x - px, z - pz)
    if (d < least) [least, best] = [d, s]
  }
  return best
}

const tree = (x: number, z: number, size: number, behind = false): Tree => ({ foot: [x, 0, z], size, behind })

const SINGLE_TREES: Tree[] = [
  // Behind the deck, in the corner between it and the plaza, and on the open ground before it.
  tree(36, -23, 0.8, true),
  tree(-41, -2.5, 1, true), tree(-38.4, -1, 0.72, true), tree(-13.5, 1.8, 1, true), tree(-11, 0.4, 0.7, true),
  tree(15.5, 12, 1.05), tree(18.3, 13.5, 0.72), tree(27, 2.4, 0.9), tree(29, 10.5, 1.1), tree(-2, 19.5, 0.9), tree(-5.4, 21, 0.66),
  tree(37, 4.5, 0.8), tree(40, 6.4, 1.05), tree(-36, 27, 0.9), tree(-46, 22, 0.8), tree(18, 19, 0.7),
]

/** A few trees on the ground that the roads leave, before and behind them. */
function treesAround({ bounds }: World): Tree[] {
  const { x, z } = bounds
  const behind = [0.12, 0.16, 0.42, 0.7, 0.74].map((f, i) => tree(x[0] + (x[1] - x[0]) * f, z[0] - 5 - (i % 2) * 1.8, 0.7 + 0.15 * (i % 3), true))
  const before = [0.1, 0.3, 0.335, 0.62, 0.86, 0.9].map((f, i) => tree(x[0] + (x[1] - x[0]) * f, z[1] + 4.5 + (i % 2) * 2, 0.7 + 0.15 * (i % 3)))
  return [...behind, ...before]
}
