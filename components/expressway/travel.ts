import type { CameraStop } from './project'

/**
 * One world: slides are stops of one camera in it. What the talk looked at last is where the next slide's
 * camera sets out from.
 */
let last: { stop: CameraStop; at: number } | undefined

/** Between two slides; stops on one slide are nearer to each other. */
export const TRAVEL_MS = 900
export const MOVE_MS = 400
/** The camera of a slide that was left this long ago is forgotten: who comes back from a break does not want to travel. */
const FORGET_MS = 30 * 60_000

export function lookedFrom(now: number): CameraStop | undefined {
  return last && now - last.at < FORGET_MS ? last.stop : undefined
}

export function lookFrom(stop: CameraStop, now: number): void {
  last = { stop: { target: stop.target, yaw: stop.yaw, pitch: stop.pitch, span: stop.span }, at: now }
}

/** Where a point of the page lies in an element's own pixels: reveal scales the stage by a transform, which changes rectangles and not layouts. */
export function ownPixels(event: { clientX: number; clientY: number }, element: { getBoundingClientRect(): DOMRect; clientWidth: number; clientHeight: number }): [x: number, y: number] {
  const rect = element.getBoundingClientRect()
  return [((event.clientX - rect.left) * element.clientWidth) / (rect.width || 1), ((event.clientY - rect.top) * element.clientHeight) / (rect.height || 1)]
}
