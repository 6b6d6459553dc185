/** World coordinates as three.js has them: x along the deck, y up, z towards the viewer. */
export type Vec3 = readonly [x: number, y: number, z: number]

/** An orthographic camera. */
export interface Camera {
  /** What stands in the middle of the picture. */
  target: Vec3
  /** Pixels to a unit of the world. */
  zoom: number
  /** Degrees; 0 looks along −z, positive walks the camera to the right around the target. */
  yaw: number
  /** Degrees above the horizon. */
  pitch: number
}

/** A place to film from; the zoom follows from the picture's size, so that `span` is always in it. */
export interface CameraStop {
  target: Vec3
  yaw: number
  pitch: number
  /** World units across and down the picture that have to be seen. */
  span: readonly [width: number, height: number]
}

export interface Viewport {
  width: number
  height: number
}

export function cameraAt(stop: CameraStop, { width, height }: Viewport): Camera {
  return { target: stop.target, yaw: stop.yaw, pitch: stop.pitch, zoom: Math.min(width / stop.span[0], height / stop.span[1]) }
}

/** Between two stops, t from 0 to 1. */
export function between(a: CameraStop, b: CameraStop, t: number): CameraStop {
  const mix = (x: number, y: number) => x + (y - x) * t
  return {
    target: [mix(a.target[0], b.target[0]), mix(a.target[1], b.target[1]), mix(a.target[2], b.target[2])],
    yaw: mix(a.yaw, b.yaw),
    pitch: mix(a.pitch, b.pitch),
    // Equal ratios look like equal speed.
    span: [a.span[0] * (b.span[0] / a.span[0]) ** t, a.span[1] * (b.span[1] / a.span[1]) ** t],
  }
}

/** Unit vectors of a camera: to the picture's right, to its top, and from the target towards the camera. */
export function axes({ yaw, pitch }: Pick<Camera, 'yaw' | 'pitch'>): { right: Vec3; up: Vec3; back: Vec3 } {
  const a = (yaw * Math.PI) / 180
  const b = (pitch * Math.PI) / 180
  return {
    right: [Math.cos(a), 0, -Math.sin(a)],
    up: [-Math.sin(a) * Math.sin(b), Math.cos(b), -Math.cos(a) * Math.sin(b)],
    back: [Math.sin(a) * Math.cos(b), Math.sin(b), Math.cos(a) * Math.cos(b)],
  }
}

/** World to picture: x = ax·X + ay·Y + az·Z + a0 and the like for y, in pixels from the top left. */
export interface Projection {
  x: readonly [number, number, number, number]
  y: readonly [number, number, number, number]
  /** Towards the camera, to tell which faces are seen. */
  back: Vec3
  zoom: number
}

export function projection(camera: Camera, { width, height }: Viewport): Projection {
  const { right, up, back } = axes(camera)
  const { zoom, target } = camera
  const dot = (v: Vec3) => v[0] * target[0] + v[1] * target[1] + v[2] * target[2]
  return {
    x: [right[0] * zoom, right[1] * zoom, right[2] * zoom, width / 2 - dot(right) * zoom],
    y: [-up[0] * zoom, -up[1] * zoom, -up[2] * zoom, height / 2 + dot(up) * zoom],
    back,
    zoom,
  }
}

export function project(p: Projection, [x, y, z]: Vec3): [x: number, y: number] {
  return [p.x[0] * x + p.x[1] * y + p.x[2] * z + p.x[3], p.y[0] * x + p.y[1] * y + p.y[2] * z + p.y[3]]
}
