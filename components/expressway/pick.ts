import { project, type Projection, type Vec3 } from './project'
import type { Car, Scene } from './scene'

/** Middle of a car and of its trailer, at half their height. */
export function anchorOf({ layout, site }: Scene, car: Car, station = car.station - layout.carLength / 2, up = 0.6): Vec3 {
  const road = site.roads[car.road]!
  return road.at(station, road.laneOffset(car.lane, layout.lanes, station), up * layout.scale)
}

/** How far a pointer may miss, px: a finger is not a mouse. */
const REACH = 22

/** The car at a place of the picture, trailer included; of several the nearest. Undefined where there is none. */
export function carAt(view: Projection, scene: Scene, [x, y]: readonly [number, number], reach = REACH): Car | undefined {
  const { layout } = scene
  let best: Car | undefined
  let least = reach
  for (const car of scene.cars) {
    // The trailer counts as a row of points no farther apart than it is wide.
    const length = Math.max(0, car.station - car.tail - layout.carLength)
    const points = Math.ceil(length / layout.scale)
    for (let i = 0; i <= points; i++) {
      const station = car.station - layout.carLength / 2 - (i === 0 ? 0 : layout.carLength / 2 + (length * (i - 0.5)) / points)
      const [cx, cy] = project(view, anchorOf(scene, car, station))
      const d = Math.hypot(cx - x, cy - y) + (i === 0 ? 0 : 2)
      if (d < least) {
        least = d
        best = car
      }
    }
  }
  return best
}
