import type { Layout } from './layout'
import type { Car } from './scene'

/** Measures of a car of size 1, front bumper at 0: both drawings build it from these. Side views are (forward, up). */
export const CAR = {
  body: [[-2.5, 0.27], [0, 0.27], [0, 0.7], [-0.1, 0.8], [-0.62, 0.92], [-2.38, 0.92], [-2.5, 0.82]] as const,
  bodyWide: 0.62,
  glass: [[-2.3, 0.92], [-0.7, 0.92], [-1.08, 1.34], [-2.12, 1.34]] as const,
  glassWide: 0.53,
  roof: { from: -2.14, to: -1.04, low: 1.33, high: 1.45, wide: 0.5 },
  wheels: { at: [-0.55, -1.95] as const, radius: 0.3, wide: 0.2 },
  lamps: { low: 0.52, high: 0.74, inner: 0.24, outer: 0.56 },
  block: { low: 0.3, high: 1.06, wide: 0.56 },
  bed: { low: 0.16, high: 0.3, wide: 0.46 },
}

/** Boxes of a car's trailer: how many, the length of each, the slit between two, where the first begins. */
export function trailerOf(layout: Layout, car: Car): { count: number; step: number; slit: number; from: number; filled: number } {
  const step = layout.blockLength * layout.blocksPerBox
  const count = Math.ceil(car.trailerBlocks / layout.blocksPerBox)
  return {
    count, step,
    slit: Math.min(0.1 * layout.scale, 0.18 * step),
    from: car.station - layout.carLength - layout.hitch,
    /** Filled share of the last box. */
    filled: car.trailerBlocks === 0 ? 0 : (car.trailerBlocks - 1 + car.lastFill) / layout.blocksPerBox - count + 1,
  }
}
