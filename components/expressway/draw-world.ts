import { boxFaces, close, Frame, lift, open, SUN, type Faces, type Point } from './frame'
import { project, type Projection, type Vec3 } from './project'
import { poseAt, type Box, type Pose, type Tree, type World } from './world'

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
