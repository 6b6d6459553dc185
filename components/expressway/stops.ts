import type { CameraStop, Vec3 } from './project'

export type StopName = 'two-stage' | 'cover' | 'toll' | 'phone'

/** Where a stop's label stands: a point of the world, then pixels from it; `side` is the side of the point that the text is on. */
export interface LabelPlace {
  at: Vec3
  dx: number
  dy: number
  side: 'left' | 'right'
}

export interface Stop extends CameraStop {
  labels: Record<'queue' | 'prefill' | 'decode', LabelPlace>
}

export const STOPS: Record<StopName, Stop> = {
  'two-stage': {
    target: [3, 2, 0], yaw: -18, pitch: 34, span: [84, 41],
    labels: {
      queue: { at: [-26, 0, 18], dx: 16, dy: 0, side: 'right' },
      prefill: { at: [-8, 2, 4], dx: 40, dy: 0, side: 'right' },
      decode: { at: [4, 5, -14], dx: 0, dy: -100, side: 'right' },
    },
  },
  cover: {
    target: [2, 1, 8], yaw: -18, pitch: 34, span: [82, 44],
    labels: {
      queue: { at: [-26, 0, 18], dx: 16, dy: 0, side: 'right' },
      prefill: { at: [-8, 2, 4], dx: 40, dy: 0, side: 'right' },
      decode: { at: [4, 5, -14], dx: 0, dy: -100, side: 'right' },
    },
  },
  toll: {
    target: [-30, 1, 14], yaw: -18, pitch: 36, span: [44, 22],
    labels: {
      queue: { at: [-26, 0, 18], dx: 16, dy: 0, side: 'right' },
      prefill: { at: [-8, 2, 14], dx: 16, dy: 6, side: 'right' },
      decode: { at: [4, 5, -14], dx: 0, dy: -100, side: 'right' },
    },
  },
  phone: {
    target: [-4, 2, 4], yaw: -34, pitch: 38, span: [54, 50],
    labels: {
      queue: { at: [-26, 0, 18], dx: 10, dy: 0, side: 'right' },
      prefill: { at: [-8, 2, 4], dx: 30, dy: 0, side: 'right' },
      decode: { at: [-12, 5, -14], dx: -40, dy: -90, side: 'right' },
    },
  },
}
