import { axes, type CameraStop, type Vec3 } from './project'
import { siteOf, type Site } from './site'
import { worldOf } from './world'

export type StopName = 'two-stage' | 'cover' | 'toll' | 'ramp' | 'deck' | 'experts' | 'site' | 'phone'
export type Place = 'queue' | 'prefill' | 'decode'

/** A label's place: a point of the world, pixels from it, and which side of that the text takes. */
export interface LabelPlace {
  at: Vec3
  dx: number
  dy: number
  /** The text ends, is centred or starts at the point … */
  side: 'end' | 'middle' | 'start'
  /** … and stands above or below it. */
  text: 'above' | 'below'
}

export interface Stop extends CameraStop {
  labels: Partial<Record<Place, LabelPlace>>
}

const SINGLE = siteOf().roads[0]!

/** A point beside the single road: at a station, so far outside its right (+) or left (−) edge. */
function beside(station: number, out: number): Vec3 {
  return SINGLE.at(station, Math.sign(out) * SINGLE.halfWidth(station) + out)
}

const [MX, MZ] = SINGLE.plan.merged
const FAR_EDGE = MZ - SINGLE.halfWidth(SINGLE.ramp + 4)

/** Everything is seen from the same side: cars come towards the viewer, down the picture to the right. */
const YAW = 16.7
const PITCH = 33

const LABELS: Required<Stop['labels']> = {
  queue: { at: beside(-10, -1), dx: 4, dy: -26, side: 'start', text: 'above' },
  prefill: { at: beside(SINGLE.ramp * 0.5, 1), dx: 24, dy: 12, side: 'start', text: 'below' },
  decode: { at: [MX + 17, SINGLE.plan.deckY, FAR_EDGE], dx: 0, dy: -30, side: 'middle', text: 'above' },
}

const STOPS: Record<Exclude<StopName, 'site'>, Stop> = {
  /** The whole way, toll to cruise: the wide hero of a slide. */
  'two-stage': { target: [-1, 1.2, 1.8], yaw: YAW, pitch: PITCH, span: [69, 33], labels: LABELS },
  /** A full page: the road takes the upper part from edge to edge, the lower one is for text. */
  cover: { target: [-1, 2, 7.5], yaw: YAW, pitch: PITCH, span: [66, 37], labels: LABELS },
  /** The plaza with its gates and the line before it. */
  toll: {
    target: [-28, 1, 9], yaw: YAW, pitch: PITCH + 2, span: [44, 21],
    labels: { queue: LABELS.queue, prefill: { at: beside(10, 1), dx: 10, dy: 16, side: 'start', text: 'below' } },
  },
  /** From the gates to where the ramp joins the deck. */
  ramp: { target: [-8, 2, 3], yaw: YAW, pitch: PITCH + 1, span: [50, 30], labels: { queue: LABELS.queue, prefill: LABELS.prefill } },
  /** The cruise, near enough to count the blocks of a trailer. */
  deck: { target: [23, 4.2, -7], yaw: YAW, pitch: PITCH, span: [46, 18], labels: { decode: { ...LABELS.decode, at: [MX + 12, SINGLE.plan.deckY, FAR_EDGE] } } },
  /** The cruise and its exits. */
  experts: { target: [24, 2.6, -2.5], yaw: YAW, pitch: PITCH + 3, span: [48, 25], labels: { decode: { ...LABELS.decode, at: [MX + 12, SINGLE.plan.deckY, FAR_EDGE] } } },
  /** A narrow picture: seen from the other side, so that toll, ramp and deck stand above each other. */
  phone: {
    target: [-5.5, 1, 1.5], yaw: -38, pitch: 37, span: [50, 46],
    labels: {
      queue: { at: beside(2, 1), dx: 8, dy: 4, side: 'start', text: 'below' },
      prefill: { at: beside(SINGLE.ramp * 0.62, 1), dx: 16, dy: 14, side: 'start', text: 'below' },
      decode: { at: [MX - 5, SINGLE.plan.deckY, FAR_EDGE], dx: 0, dy: -10, side: 'end', text: 'above' },
    },
  },
}

/** The stop of a name in a site. Where several roads lie side by side every picture is one of the whole. */
export function stopOf(name: StopName, site: Site): Stop {
  if (site.roads.length > 1 || name === 'site') return wholeOf(site)
  return STOPS[name]
}

const wholes = new WeakMap<Site, Stop>()

/** A stop from which all of a site is in the picture. */
function wholeOf(site: Site): Stop {
  const known = wholes.get(site)
  if (known) return known
  const { x, z, y } = worldOf(site).bounds
  const { right, up } = axes({ yaw: YAW, pitch: PITCH + 2 })
  const dot = (a: Vec3, b: Vec3) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
  const corners = x.flatMap((cx) => z.flatMap((cz) => [0, y].map((cy): Vec3 => [cx, cy, cz])))
  const [us, vs] = [corners.map((c) => dot(c, right)), corners.map((c) => dot(c, up))]
  const span = [Math.max(...us) - Math.min(...us), Math.max(...vs) - Math.min(...vs)] as const
  const middle: Vec3 = [(x[0] + x[1]) / 2, y / 2, (z[0] + z[1]) / 2]
  // The box's middle is the picture's middle: an orthographic view of a box is symmetric.
  const stop: Stop = { target: middle, yaw: YAW, pitch: PITCH + 2, span: [span[0] * 0.94, span[1] + 3], labels: {} }
  wholes.set(site, stop)
  return stop
}

export const STOP_NAMES: readonly StopName[] = ['two-stage', 'cover', 'toll', 'ramp', 'deck', 'experts', 'site', 'phone']
