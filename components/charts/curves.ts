import { overlap, type Box } from './points'

export interface Pixel {
  x: number
  y: number
}

export interface CurveLabel extends Pixel {
  /** False: nowhere along the curve is there room; it is drawn all the same, at the curve's end. */
  clear: boolean
}

/**
 * Writes each curve's name beside the curve itself: tries places along it, from three quarters of the
 * way back to the start, above and below, and takes the first where the text touches no curve, no other
 * label, no obstacle and no edge. Returned is the middle of the text's base line.
 */
export function placeCurveLabels(
  curves: readonly { points: readonly Pixel[]; width: number }[],
  bounds: Box,
  obstacles: readonly (readonly Pixel[])[] = [],
  height = 20,
): CurveLabel[] {
  const lines = [...curves.map((c) => c.points), ...obstacles]
  const taken: Box[] = []
  return curves.map(({ points, width }) => {
    const last = points.at(-1)
    if (!last) return { x: bounds.left, y: bounds.top, clear: false }
    for (const way of [0.75, 0.65, 0.85, 0.55, 0.45, 0.35, 0.95, 0.25, 0.15]) {
      const at = along(points, way)
      for (const offset of [-height, height + 6, -1.6 * height, 1.6 * height + 6]) {
        const box = { left: at.x - width / 2, right: at.x + width / 2, top: at.y + offset - height / 2, bottom: at.y + offset + height / 2 }
        if (!inside(box, bounds) || taken.some((t) => overlap(box, t)) || lines.some((line) => touches(line, box))) continue
        taken.push(box)
        return { x: at.x, y: box.bottom - height * 0.25, clear: true }
      }
    }
    return { x: Math.min(last.x, bounds.right - width / 2), y: last.y - 8, clear: false }
  })
}

function along(points: readonly Pixel[], way: number): Pixel {
  const x = points[0]!.x + (points.at(-1)!.x - points[0]!.x) * way
  return { x, y: heightAt(points, x) ?? points[0]!.y }
}

/** Interpolated y of a curve whose x rises; undefined outside it. */
export function heightAt(points: readonly Pixel[], x: number): number | undefined {
  const i = points.findIndex((p) => p.x >= x)
  if (i < 0) return undefined
  if (i === 0) return points[0]!.x === x ? points[0]!.y : undefined
  const [a, b] = [points[i - 1]!, points[i]!]
  return a.y + ((b.y - a.y) * (x - a.x)) / (b.x - a.x)
}

function inside(box: Box, bounds: Box): boolean {
  return box.left >= bounds.left && box.right <= bounds.right && box.top >= bounds.top && box.bottom <= bounds.bottom
}

/** Whether a polyline passes through a box: by the piece of each of its segments between the box's sides. */
export function touches(points: readonly Pixel[], box: Box): boolean {
  for (let i = 1; i < points.length; i++) {
    const [a, b] = [points[i - 1]!, points[i]!]
    const from = Math.max(Math.min(a.x, b.x), box.left)
    const to = Math.min(Math.max(a.x, b.x), box.right)
    if (from > to) continue
    const y = (x: number) => (b.x === a.x ? a.y : a.y + ((b.y - a.y) * (x - a.x)) / (b.x - a.x))
    const [low, high] = b.x === a.x ? [Math.min(a.y, b.y), Math.max(a.y, b.y)] : [Math.min(y(from), y(to)), Math.max(y(from), y(to))]
    if (high > box.top && low < box.bottom) return true
  }
  return points.length === 1 && overlap({ left: points[0]!.x - 9, right: points[0]!.x + 9, top: points[0]!.y - 9, bottom: points[0]!.y + 9 }, box)
}
