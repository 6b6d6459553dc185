import { inside, overlap, POINT, touches, type Box, type Pixel } from './geometry'

export interface PointLabel extends Pixel {
  anchor: 'start' | 'end'
}

/**
 * Places a label beside each point: on its right if it can be (roofs rise on the left), else below or
 * above that, else on the left, where it touches no other label, no other point, no line and no edge.
 * `y` is the text's base line. Where there is no place clear of labels, points and edges there is no label:
 * the crosshair and the table name every point.
 */
export function placePointLabels(
  points: readonly (Pixel & { width: number; /** Half the side of its mark where that is not the usual one. */ radius?: number })[],
  bounds: Box,
  lines: readonly (readonly Pixel[])[] = [],
  height = 20,
  distance = 14,
): (PointLabel | undefined)[] {
  const taken: Box[] = points.map(({ x, y, radius = POINT }) => ({ left: x - radius, right: x + radius, top: y - radius, bottom: y + radius }))
  return points.map((p, i) => {
    const places: { box: Box; anchor: 'start' | 'end' }[] = []
    for (const anchor of ['start', 'end'] as const) {
      for (const rows of [0, 1, -1, 2, -2]) {
        const middle = p.y + rows * (height + 2)
        const off = distance + Math.max(0, (p.radius ?? POINT) - POINT)
        const left = anchor === 'start' ? p.x + off : p.x - off - p.width
        places.push({ anchor, box: { left, right: left + p.width, top: middle - height / 2, bottom: middle + height / 2 } })
      }
    }
    const clear = ({ box }: { box: Box }) => inside(box, bounds) && taken.every((t, j) => j === i || !overlap(box, t))
    const found = places.find((place) => clear(place) && !lines.some((line) => touches(line, place.box))) ?? places.find(clear)
    if (!found) return undefined
    taken.push(found.box)
    return { x: found.anchor === 'start' ? found.box.left : found.box.right, y: found.box.bottom - height * 0.24, anchor: found.anchor }
  })
}

/**
 * Where along a sloping line, 0 … 1, a text of `width` px may stand with its middle so that no point
 * lies on it; undefined where the line is too short for that.
 */
export function placeOnSlope(from: Pixel, to: Pixel, width: number, points: readonly Pixel[]): number | undefined {
  const length = Math.hypot(to.x - from.x, to.y - from.y)
  const edge = (width / 2 + 6) / length
  if (edge > 0.5) return undefined
  const clearance = (way: number) => {
    const [x, y] = [from.x + (to.x - from.x) * way, from.y + (to.y - from.y) * way]
    return Math.min(...points.map((p) => Math.hypot(p.x - x, p.y - y)), Infinity)
  }
  return [0.5, edge, 1 - edge].find((way) => clearance(way) > width / 2 + POINT)
}
