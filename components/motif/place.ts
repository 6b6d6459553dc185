export interface Box {
  left: number
  top: number
  width: number
  height: number
}

/**
 * Where a floating card goes, in the viewport's own pixels: under its anchor, above it where there is
 * more room, and always inside the viewport by `margin`.
 */
export function place(anchor: Box, card: { width: number; height: number }, viewport: { width: number; height: number }, margin = 12): { left: number; top: number } {
  const gap = 8
  const below = anchor.top + anchor.height + gap
  const above = anchor.top - gap - card.height
  const roomBelow = viewport.height - margin - below
  const fitsBelow = card.height <= roomBelow
  const top = fitsBelow || anchor.top - gap - margin < roomBelow ? below : above
  return {
    left: clamp(anchor.left + anchor.width / 2 - card.width / 2, margin, viewport.width - margin - card.width),
    top: clamp(top, margin, viewport.height - margin - card.height),
  }
}

function clamp(x: number, low: number, high: number): number {
  return Math.max(low, Math.min(x, high))
}
