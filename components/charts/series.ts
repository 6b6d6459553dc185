import type { Tone } from '$components/controls/params'
import { roundEnd } from '$components/motif/ruler'
import type { How } from '$engine/trace/provenance'
import type { Unit } from '$engine/trace/quantity'
import { roundLogRange, type AxisSpec } from './frame'
import type { Pixel } from './geometry'

export interface SeriesPoint {
  x: number
  y: number
  /** The 95 % interval. */
  low?: number
  high?: number
}

export interface Series {
  label: string
  tone: Tone
  /** Decides the drawing: measured and recorded are dots, simulated a line with its band, modelled a dashed line, published diamonds. */
  how: How
  /** Ascending in x. */
  points: readonly SeriesPoint[]
  /** 1 … 3: percentiles of one metric share a hue and differ in this. */
  weight?: number
}

export interface Axis {
  /** At most two words. */
  label: string
  unit: Unit
  kind?: 'linear' | 'log'
  /** By default a round range that holds all points. */
  domain?: readonly [number, number]
  ticks?: readonly number[]
  format?: (value: number) => string
}

export const isLine = (how: How) => how === 'simulated' || how === 'modelled'

/** The data's own range where `tight`; else from 0, or the round value below, to a round value. */
export function completeAxis(axis: Axis, values: readonly number[], tight: boolean): AxisSpec {
  const kind = axis.kind ?? 'linear'
  let [low, high] = [Infinity, -Infinity]
  for (const v of values) {
    if (!Number.isFinite(v) || (kind === 'log' && v <= 0)) continue
    if (v < low) low = v
    if (v > high) high = v
  }
  if (low > high) [low, high] = kind === 'log' ? [1, 100] : [0, 1]
  const rounded: readonly [number, number] = kind === 'log' ? roundLogRange(low, high) : [low < 0 ? -roundEnd(-low) : 0, high > 0 ? roundEnd(high) : low < 0 ? 0 : 1]
  return { ...axis, kind, domain: axis.domain ?? (tight && high > low ? [low, high] : rounded) }
}

/** All x at which some series has a point, ascending, without those that stand for the same place. */
export function sharedX(series: readonly Series[]): number[] {
  const sorted = Float64Array.from(series.flatMap((s) => s.points.map((p) => p.x))).sort()
  return Array.from(sorted).filter((x, i) => i === 0 || x - sorted[i - 1]! > 1e-9 * Math.abs(x))
}

/** A series' point at x: its own, or on a line between its neighbours. */
export function pointAt(s: Series, x: number): SeriesPoint | undefined {
  const near = 1e-9 * Math.abs(x)
  let [from, to] = [0, s.points.length]
  while (from < to) {
    const middle = (from + to) >> 1
    if (s.points[middle]!.x < x - near) from = middle + 1
    else to = middle
  }
  const b = s.points[from]
  if (b && Math.abs(b.x - x) <= near) return b
  const a = s.points[from - 1]
  if (!a || !b || !isLine(s.how)) return undefined
  const mix = (p: number, q: number) => p + ((q - p) * (x - a.x)) / (b.x - a.x)
  return { x, y: mix(a.y, b.y), ...(a.low !== undefined && b.low !== undefined ? { low: mix(a.low, b.low), high: mix(a.high!, b.high!) } : {}) }
}

/** At most `most` points of a curve, its ends among them: enough to keep a label off it. */
export function thinned(points: readonly Pixel[], most = 160): readonly Pixel[] {
  if (points.length <= most) return points
  return Array.from({ length: most }, (_, i) => points[Math.round((i * (points.length - 1)) / (most - 1))]!)
}
