import type { Vec3 } from './project'

/**
 * The one world: a toll plaza on the ground, an on-ramp that climbs out of it and merges into an elevated
 * deck from its near side. Traffic runs along one centre line, measured in units of length from the toll's
 * stop line: approach < 0, ramp 0 … RAMP, deck RAMP … RAMP + DECK and on.
 */

const GROUND_Y = 0.35
const DECK_Y = 5
/** Where the toll's stop line is, and which way it faces (degrees from +x towards −z). */
const TOLL = { x: -29, z: 10.5, heading: 14 }
/** Where the ramp has become the deck. */
const MERGED = { x: 5, z: -9 }
const APPROACH = 44
/** Length of deck on which output tokens are counted, and the road beyond it. */
export const DECK = 42
const BEYOND = 30
const BACK = 60

/** Distance between lanes: at the toll, on the ramp, on the deck. */
const PITCH = { toll: 3.1, ramp: 1.75, deck: 2.7 }
/** From the outer lanes' middle to the edge of the road. */
const VERGE = { toll: 1.7, ramp: 1.15, deck: 1.7 }
/** Share of the ramp that climbs; the rest lies level beside the deck and merges. */
const CLIMB = 0.58
const SLAB = 0.7
/** Height of the beam on top of a pair of pillars. */
const HEAD = 0.6
/** Gates of the toll; every lane of the road leads through one. */
export const GATES = 3
/** From the stop line to the barrier. */
export const BARRIER = 1.5

interface Sample {
  x: number
  y: number
  z: number
  /** Unit heading in the ground plane, and the climb. */
  hx: number
  hz: number
  hy: number
}

const STEP = 0.25
const smooth = (t: number) => (t <= 0 ? 0 : t >= 1 ? 1 : t * t * (3 - 2 * t))

/** The centre line, a sample every STEP from −APPROACH on. */
const line: Sample[] = []
export const RAMP = layOut()
/** From here on the road runs straight and its lanes keep their distance. */
export const STRAIGHT = RAMP + 3
const END = RAMP + DECK + BEYOND

function layOut(): number {
  const a = (TOLL.heading * Math.PI) / 180
  const from = { x: TOLL.x + 5 * Math.cos(a), z: TOLL.z - 5 * Math.sin(a) }
  const reach = 0.5 * Math.hypot(MERGED.x - from.x, MERGED.z - from.z)
  const bezier = (t: number): [number, number] => {
    const u = 1 - t
    const b = [u * u * u, 3 * u * u * t, 3 * u * t * t, t * t * t]
    const x = [from.x, from.x + reach * 0.62 * Math.cos(a), MERGED.x - reach * 1.0, MERGED.x]
    const z = [from.z, from.z - reach * 0.62 * Math.sin(a), MERGED.z, MERGED.z]
    return [b[0]! * x[0]! + b[1]! * x[1]! + b[2]! * x[2]! + b[3]! * x[3]!, b[0]! * z[0]! + b[1]! * z[1]! + b[2]! * z[2]! + b[3]! * z[3]!]
  }
  // Plan view first: straight through the toll, the bend, straight along the deck.
  const plan: [number, number][] = []
  for (let s = -APPROACH; s < 5; s += 1) plan.push([TOLL.x + s * Math.cos(a), TOLL.z - s * Math.sin(a)])
  for (let i = 0; i <= 400; i++) plan.push(bezier(i / 400))
  for (let x = MERGED.x + 1; x < MERGED.x + DECK + BEYOND + 2; x += 1) plan.push([x, MERGED.z])
  const length = [0]
  for (let i = 1; i < plan.length; i++) length.push(length[i - 1]! + Math.hypot(plan[i]![0] - plan[i - 1]![0], plan[i]![1] - plan[i - 1]![1]))
  const ramp = length[plan.findIndex(([x, z]) => x >= MERGED.x && z === MERGED.z)]! - APPROACH
  // Up at deck height where its far edge meets the deck.
  const climb = (s: number) => GROUND_Y + (DECK_Y - GROUND_Y) * smooth((s - 4) / (ramp * CLIMB - 4))
  for (let s = 0, i = 0; s <= APPROACH + ramp + DECK + BEYOND; s += STEP) {
    while (i < plan.length - 2 && length[i + 1]! < s) i++
    const [x0, z0] = plan[i]!
    const [x1, z1] = plan[i + 1]!
    const d = length[i + 1]! - length[i]!
    const f = (s - length[i]!) / d
    const at = s - APPROACH
    line.push({
      x: x0 + (x1 - x0) * f, y: climb(at), z: z0 + (z1 - z0) * f,
      hx: (x1 - x0) / d, hz: (z1 - z0) / d, hy: (climb(at + 0.2) - climb(at - 0.2)) / 0.4,
    })
  }
  return ramp
}

/** Where a car stands: position, heading in the ground plane (unit), climb (rise per length). */
export interface Pose {
  position: Vec3
  hx: number
  hz: number
  climb: number
}

/** Pose at a station of the centre line, `offset` units to the right of it. */
export function poseAt(station: number, offset = 0): Pose {
  const s = Math.min(Math.max(station, -APPROACH), END - STEP)
  const k = (s + APPROACH) / STEP
  const i = Math.min(Math.floor(k), line.length - 2)
  const f = k - i
  const a = line[i]!
  const b = line[i + 1]!
  const hx = a.hx + (b.hx - a.hx) * f
  const hz = a.hz + (b.hz - a.hz) * f
  // Right of the heading (hx, hz) is (−hz, hx): for +x that is +z, towards the viewer.
  return { position: [a.x + (b.x - a.x) * f - hz * offset, a.y + (b.y - a.y) * f, a.z + (b.z - a.z) * f + hx * offset], hx, hz, climb: a.hy + (b.hy - a.hy) * f }
}

/** A value that is one thing at the toll, another on the ramp, a third on the deck. */
function alongRoad(v: { toll: number; ramp: number; deck: number }, s: number): number {
  return v.toll + (v.ramp - v.toll) * smooth((s - 4) / 10) + (v.deck - v.ramp) * smooth((s - RAMP + 14) / 16)
}

/** Offset to the right of lane `lane` of `lanes` (a multiple of GATES; 0 is the far one). */
export function laneOffset(lane: number, lanes: number, station: number): number {
  const perGate = lanes / GATES
  const gate = Math.floor(lane / perGate)
  const pitch = alongRoad(PITCH, station)
  return (gate - (GATES - 1) / 2) * pitch + ((lane % perGate) - (perGate - 1) / 2) * (pitch / perGate) * 0.96
}

/** Half the road's width. */
export function halfWidth(station: number): number {
  const approach = smooth((station + APPROACH - 6) / 14)
  return PITCH_HALF * alongRoad(PITCH, station) * (0.55 + 0.45 * approach) + alongRoad(VERGE, station)
}
const PITCH_HALF = (GATES - 1) / 2

/** A straight box: centre of its foot, half sizes along and across its heading, height. */
export interface Box {
  foot: Vec3
  hx: number
  hz: number
  long: number
  wide: number
  high: number
}

export interface Tree {
  foot: Vec3
  size: number
}

export interface World {
  /** Edges of the ramp (with plaza and approach), from its beginning to where each meets the deck. */
  ramp: { left: Vec3[]; right: Vec3[]; slab: number }
  deck: { far: Vec3[]; near: Vec3[]; slab: number }
  /** Where the ramp's two edges meet the deck's near edge, x. */
  gore: number
  merged: number
  /** Lane marks: broken lines, each a chain of points on the road. */
  marks: Vec3[][]
  pillars: Box[]
  islands: Box[]
  booths: Box[]
  /** Lamp post pairs of the gantry over the barriers: far and near end. */
  gantry: { far: Vec3; near: Vec3; hx: number; hz: number; height: number }
  /** Barrier hinges and the direction their arms lie in when closed. */
  barriers: { hinge: Vec3; across: Vec3; length: number }[]
  stopLines: [Vec3, Vec3][]
  trees: Tree[]
}

const at = (station: number, offset: number): Vec3 => poseAt(station, offset).position

function build(): World {
  const deckHalf = halfWidth(RAMP + 4)
  const nearZ = MERGED.z + deckHalf
  const farZ = MERGED.z - deckHalf

  // Each edge of the ramp ends where it meets the deck's near edge.
  const edge = (side: number): Vec3[] => {
    const points: Vec3[] = []
    for (let s = -APPROACH; s <= RAMP + 6; s += 0.5) {
      const next = at(s, side * halfWidth(s))
      const last = points[points.length - 1]
      if (last && next[2] <= nearZ) {
        const f = (last[2] - nearZ) / (last[2] - next[2])
        return [...points, [last[0] + (next[0] - last[0]) * f, DECK_Y, nearZ]]
      }
      points.push(next)
    }
    return [...points, [MERGED.x, DECK_Y, nearZ]]
  }
  const left = edge(-1)
  const right = edge(1)
  const gore = left[left.length - 1]![0]
  const merged = right[right.length - 1]![0]

  const from = MERGED.x - BACK
  const to = MERGED.x + DECK + BEYOND
  const marks: Vec3[][] = []
  for (let g = 1; g < GATES; g++) {
    const boundary = (s: number) => (g - GATES / 2) * alongRoad(PITCH, s)
    for (let s = 8; s < RAMP - 2; s += 2.6) marks.push([at(s, boundary(s)), at(s + 0.65, boundary(s + 0.65)), at(s + 1.3, boundary(s + 1.3))])
    for (let s = -APPROACH + 18; s < -3; s += 2.6) marks.push([at(s, boundary(s)), at(s + 1.3, boundary(s + 1.3))])
    const z = MERGED.z + boundary(RAMP + 4)
    for (let x = from; x < to; x += 3.4) {
      // Where the ramp's traffic crosses, its own marks lead.
      if (x > gore - 1 && x < MERGED.x - 1) continue
      marks.push([[x, DECK_Y, z], [x + 1.7, DECK_Y, z]])
    }
  }

  const pillars: Box[] = []
  for (let x = from + 4; x < to; x += 11) {
    for (const z of [MERGED.z - deckHalf * 0.55, MERGED.z + deckHalf * 0.55]) {
      pillars.push({ foot: [x, 0, z], hx: 1, hz: 0, long: 0.45, wide: 0.45, high: DECK_Y - SLAB - HEAD })
    }
    pillars.push({ foot: [x, DECK_Y - SLAB - HEAD, MERGED.z], hx: 1, hz: 0, long: 0.55, wide: deckHalf * 0.86, high: HEAD })
  }
  for (let s = RAMP * 0.34; s < RAMP * CLIMB + 4; s += 4.6) {
    const { position, hx, hz } = poseAt(s)
    pillars.push({ foot: [position[0], 0, position[2]], hx, hz, long: 0.4, wide: halfWidth(s) * 0.5, high: position[1] - SLAB })
  }

  const gate = poseAt(0)
  const islands: Box[] = []
  const booths: Box[] = []
  const barriers: World['barriers'] = []
  const stopLines: [Vec3, Vec3][] = []
  for (let i = 0; i <= GATES; i++) {
    const offset = (i - GATES / 2) * PITCH.toll
    islands.push({ foot: at(0.4, offset), hx: gate.hx, hz: gate.hz, long: 3.1, wide: 0.32, high: 0.22 })
    booths.push({ foot: at(0.2, offset), hx: gate.hx, hz: gate.hz, long: 0.75, wide: 0.42, high: 1.75 })
    if (i === GATES) continue
    // The arm is hinged at the island on its far side and reaches over its lanes.
    barriers.push({ hinge: at(BARRIER, offset + 0.3), across: [-gate.hz, 0, gate.hx], length: PITCH.toll - 0.62 })
    stopLines.push([at(0.15, offset + 0.5), at(0.15, offset + PITCH.toll - 0.5)])
  }
  const reach = (GATES / 2) * PITCH.toll
  const gantry = { far: at(2.6, -reach), near: at(2.6, reach), hx: gate.hx, hz: gate.hz, height: 3.6 }

  const trees: Tree[] = [
    // Behind the deck, in the corner between it and the plaza, and on the open ground before it.
    [16, -22.5, 0.9], [19, -21, 0.7],
    [-33, -1.5, 0.95], [-30.6, 0.6, 0.7], [-46, -1, 1],
    [18, 13, 1], [21, 14.6, 0.74], [37, 8, 0.9], [5, 24, 0.8], [31, 20, 0.85], [33.4, 22, 0.66], [48, 18, 0.9], [14, 33, 0.9],
  ].map(([x, z, size]) => ({ foot: [x!, 0, z!] as Vec3, size: size! }))

  return {
    ramp: { left, right, slab: SLAB },
    deck: { far: [[from, DECK_Y, farZ], [to, DECK_Y, farZ]], near: [[from, DECK_Y, nearZ], [to, DECK_Y, nearZ]], slab: SLAB },
    gore, merged, marks, pillars, islands, booths, gantry, barriers, stopLines, trees,
  }
}

/** The standing part of the scene. */
export const WORLD = build()
