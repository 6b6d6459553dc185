import type { CameraStop, Vec3 } from './project'
import { halfWidth, poseAt, RAMP } from './world'

export type StopName = 'two-stage' | 'cover' | 'toll' | 'phone'
export type Place = 'queue' | 'prefill' | 'decode'

/** A label's place: a point of the world, then pixels from it. The text stands to the left above it, or to the right below. */
export interface LabelPlace {
  at: Vec3
  dx: number
  dy: number
  text: 'above' | 'below'
}

export interface Stop extends CameraStop {
  labels: Record<Place, LabelPlace>
}

/** A point beside the road: at a station, so far outside its right (+) or left (−) edge. */
function beside(station: number, out: number): Vec3 {
  return poseAt(station, Math.sign(out) * halfWidth(station) + out).position
}

const LABELS: Stop['labels'] = {
  queue: { at: beside(1, 1), dx: 4, dy: 6, text: 'below' },
  prefill: { at: beside(RAMP * 0.52, 1), dx: 30, dy: 8, text: 'below' },
  decode: { at: beside(RAMP, -0.5), dx: 0, dy: -14, text: 'above' },
}

export const STOPS: Record<StopName, Stop> = {
  /** The whole way, toll to cruise: the wide hero of a slide. */
  'two-stage': { target: [3, 2, -2], yaw: -18, pitch: 34, span: [80, 36], labels: LABELS },
  /** A full page, seen flatter: the road takes the upper half from edge to edge, the lower one is for text. */
  cover: { target: [1.5, 2, 13], yaw: -11, pitch: 28.5, span: [85, 47.8], labels: LABELS },
  /** The plaza with its gates and the line before it. */
  toll: {
    target: [-27, 1, 9], yaw: -18, pitch: 36, span: [44, 21],
    labels: { ...LABELS, queue: { at: beside(-6, 1), dx: 4, dy: 10, text: 'below' }, prefill: { at: beside(9, 1), dx: 14, dy: 8, text: 'below' } },
  },
  /** Turned towards the traffic, so that toll, ramp and deck stand above each other in a narrow picture. */
  phone: {
    target: [-3, 1, 2], yaw: -36, pitch: 38, span: [50, 49],
    labels: { ...LABELS, decode: { at: beside(RAMP - 4, -0.5), dx: 0, dy: -8, text: 'above' }, prefill: { at: beside(RAMP * 0.45, 1), dx: 12, dy: 0, text: 'below' }, queue: { at: beside(1, 1), dx: 4, dy: 0, text: 'below' } },
  },
}
