export interface Pixel {
  x: number
  y: number
}

export interface Box {
  left: number
  right: number
  top: number
  bottom: number
}

export function overlap(a: Box, b: Box): boolean {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom
}

export function inside(box: Box, bounds: Box): boolean {
  return box.left >= bounds.left && box.right <= bounds.right && box.top >= bounds.top && box.bottom <= bounds.bottom
}

/** Half the side of a point's mark, with a little air. */
export const POINT = 10

/**
 * Whether a polyline passes through a box: by the piece of each of its segments between the box's sides.
 * A single point is a mark of its usual size.
 */
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
  const [only] = points
  return points.length === 1 && only !== undefined && overlap({ left: only.x - POINT, right: only.x + POINT, top: only.y - POINT, bottom: only.y + POINT }, box)
}

/** Interpolated y of a curve whose x rises; undefined outside it. */
export function heightAt(points: readonly Pixel[], x: number): number | undefined {
  const i = points.findIndex((p) => p.x >= x)
  if (i < 0) return undefined
  if (i === 0) return points[0]!.x === x ? points[0]!.y : undefined
  const [a, b] = [points[i - 1]!, points[i]!]
  return a.y + ((b.y - a.y) * (x - a.x)) / (b.x - a.x)
}
