import type { Roofs } from '$engine/trace/trace'
import { roundLogRange } from './frame'

export interface Roof {
  label: string
  bytesPerSecond: number
}

/**
 * The slopes worth drawing: what memory gives, and above it what the cache gives where that is at least
 * a quarter more. Empty when no read rate is known.
 */
export function slopes(roofs: Roofs): Roof[] {
  const read = [...roofs.read].sort((a, b) => a.bytes - b.bytes)
  const memory = read.at(-1)
  if (!memory) return []
  const cache = read.reduce((best, r) => (r.bytesPerSecond > best.bytesPerSecond ? r : best))
  const out = [{ label: 'memory', bytesPerSecond: memory.bytesPerSecond }]
  if (cache.bytesPerSecond >= 1.25 * memory.bytesPerSecond) out.push({ label: 'cache', bytesPerSecond: cache.bytesPerSecond })
  return out
}

/** Attainable FLOP/s at an intensity (Williams et al. 2009). */
export function attainable(flopsPerSecond: number, bytesPerSecond: number, intensity: number): number {
  return Math.min(flopsPerSecond, bytesPerSecond * intensity)
}

/** Round axes around the ridge and the points, so that they stand still while points glide. */
export function domains(roofs: Roofs, points: readonly { intensity: number; rate: number }[]): { x: [number, number]; y: [number, number] } {
  const ridges = slopes(roofs).map((s) => roofs.flopsPerSecond / s.bytesPerSecond)
  const xs = [...points.map((p) => p.intensity), ...ridges].filter((v) => v > 0)
  const ys = [...points.map((p) => p.rate), roofs.flopsPerSecond].filter((v) => v > 0)
  const x = roundLogRange(Math.min(0.1, Math.min(...xs) / 1.6), Math.max(100, Math.max(...xs) * 1.6))
  const y = roundLogRange(Math.min(roofs.flopsPerSecond / 60, Math.min(...ys) / 2.5), Math.max(...ys) * 1.5)
  return { x, y }
}
