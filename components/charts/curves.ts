import { heightAt, inside, overlap, touches, type Box, type Pixel } from './geometry'

/** Shares of the way along a curve, the most telling first: the right half, but not the very end. */
const WAYS = [0.75, 0.65, 0.85, 0.55, 0.45, 0.35, 0.7, 0.6, 0.5, 0.4, 0.3, 0.25, 0.2, 0.15, 0.92]
/** Distances from the curve in text heights; further away it would be read as another's. */
const OFFSETS = [-1, 1.3, -1.4, 1.7, -1.9, 2.2]

/**
 * Writes each curve's name beside the curve itself: tries places along it, from three quarters of the
 * way back to the start, above and below, and takes the first where the text touches no curve, no other
 * label, no obstacle and no edge. Returned is the middle of the text's base line, or undefined where
 * there is no such place: no name is better than one that is read as another curve's.
 */
export function placeCurveLabels(
  curves: readonly { points: readonly Pixel[]; width: number; /** Points without a line between them. */ dots?: boolean }[],
  bounds: Box,
  obstacles: readonly (readonly Pixel[])[] = [],
  height = 20,
): (Pixel | undefined)[] {
  const lines = [...curves.flatMap((c) => (c.dots ? c.points.map((p) => [p]) : [c.points])), ...obstacles]
  const taken: Box[] = []
  return curves.map(({ points, width }) => {
    if (points.length === 0) return undefined
    for (const offset of OFFSETS) {
      for (const way of WAYS) {
        const at = along(points, way)
        const middle = at.y + offset * height
        const box = { left: at.x - width / 2, right: at.x + width / 2, top: middle - height / 2, bottom: middle + height / 2 }
        if (!inside(box, bounds) || taken.some((t) => overlap(box, t)) || lines.some((line) => touches(line, box))) continue
        taken.push(box)
        return { x: at.x, y: box.bottom - height * 0.25 }
      }
    }
    return undefined
  })
}

function along(points: readonly Pixel[], way: number): Pixel {
  const x = points[0]!.x + (points.at(-1)!.x - points[0]!.x) * way
  return { x, y: heightAt(points, x) ?? points[0]!.y }
}
