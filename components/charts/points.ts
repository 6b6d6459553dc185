export interface Box {
  left: number
  right: number
  top: number
  bottom: number
}

export interface PointLabel {
  x: number
  y: number
  anchor: 'start' | 'end'
}

/**
 * Places a label beside each point: on its right if it can be (roofs rise on the left), else below or
 * above that, else on the left, where it touches no other label, no other point and no edge. `y` is the
 * text's base line.
 */
export function placePointLabels(points: readonly { x: number; y: number; width: number }[], bounds: Box, height = 20, distance = 14): PointLabel[] {
  const taken: Box[] = points.map((p) => ({ left: p.x - 10, right: p.x + 10, top: p.y - 10, bottom: p.y + 10 }))
  return points.map((p, i) => {
    const corners: { box: Box; anchor: 'start' | 'end' }[] = []
    for (const anchor of ['start', 'end'] as const) {
      for (const dy of [0, 1, -1, 2, -2]) {
        const middle = p.y + dy * (height + 2)
        const left = anchor === 'start' ? p.x + distance : p.x - distance - p.width
        corners.push({ anchor, box: { left, right: left + p.width, top: middle - height / 2, bottom: middle + height / 2 } })
      }
    }
    const free = corners.find(({ box }) => inside(box, bounds) && taken.every((t, j) => j === i || !overlap(box, t))) ?? corners[0]!
    taken.push(free.box)
    return { x: free.anchor === 'start' ? free.box.left : free.box.right, y: free.box.bottom - height * 0.24, anchor: free.anchor }
  })
}

function inside(box: Box, bounds: Box): boolean {
  return box.left >= bounds.left && box.right <= bounds.right && box.top >= bounds.top && box.bottom <= bounds.bottom
}

export function overlap(a: Box, b: Box): boolean {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom
}
