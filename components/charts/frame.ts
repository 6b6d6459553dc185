import type { Tone } from '$components/controls/params'
import { formatNumber, THIN } from '$components/motif/format'
import { labelWidth } from '$components/motif/labels'
import type { How } from '$engine/trace/provenance'

export interface AxisSpec {
  kind: 'linear' | 'log'
  domain: readonly [number, number]
  /** At most two words. */
  label: string
  unit?: string
  /** Where ticks stand; by default at most five round values. */
  ticks?: readonly number[]
  format?: (value: number) => string
}

export type Scale = (value: number) => number

/** The rectangle between the axes, in the chart's own pixels. */
export interface Area {
  left: number
  right: number
  top: number
  bottom: number
}

/** What a chart draws its marks with. */
export interface Plot {
  x: Scale
  y: Scale
  area: Area
}

/** What the crosshair says at one place of a chart. */
export interface Reading {
  title: string
  rows: readonly { label: string; value: string; tone?: Tone; how?: How; /** px: a ring is drawn there. */ y?: number }[]
}

/**
 * The places of a chart that can be read, by pointer and by key, and what each says. Stops are px on the
 * plot: with an x alone the crosshair is a line, with both it is a ring.
 */
export interface Readings {
  stops: (plot: Plot) => readonly { x: number; y?: number }[]
  at: (index: number, plot: Plot) => Reading
}

/** The data behind a chart. Numbers are printed as `format` says in the table and as they are in the CSV. */
export interface DataTable {
  columns: readonly string[]
  rows: readonly (readonly (string | number)[])[]
}

export const TICK_SIZE = 16

/** Maps a domain to pixels. On a log axis what is not above 0 lands on the low end. */
export function scaleFor({ kind, domain: [from, to] }: AxisSpec, start: number, end: number): Scale {
  if (!(from < to)) throw new RangeError(`an axis needs a domain that rises, not ${from} … ${to}`)
  if (kind === 'linear') return (v) => start + ((v - from) / (to - from)) * (end - start)
  if (from <= 0) throw new RangeError(`a log axis cannot start at ${from}`)
  const span = Math.log(to / from)
  return (v) => start + (Math.log(Math.max(v, from) / from) / span) * (end - start)
}

/** The value at a place of `scaleFor`'s scale. */
export function invertedScale({ kind, domain: [from, to] }: AxisSpec, start: number, end: number): Scale {
  const way = (px: number) => (px - start) / (end - start)
  return kind === 'linear' ? (px) => from + way(px) * (to - from) : (px) => from * (to / from) ** way(px)
}

/** At most `most` round values within the domain, its ends included where they are round. */
export function ticksFor(spec: AxisSpec, most = 5): number[] {
  if (spec.ticks) return [...spec.ticks]
  const [from, to] = spec.domain
  return spec.kind === 'linear' ? roundTicks(from, to, most) : logTicks(from, to, most)
}

/** As many of the ticks as stand side by side without touching, by their texts along `scale`. */
export function fittingTicks(spec: AxisSpec, scale: Scale, most = 5, gap = 10): number[] {
  const fits = (values: readonly number[]) =>
    values.every((v, i) => i === 0 || Math.abs(scale(v) - scale(values[i - 1]!)) >= (labelWidth(tickText(spec, v), TICK_SIZE) + labelWidth(tickText(spec, values[i - 1]!), TICK_SIZE)) / 2 + gap)
  if (spec.ticks) {
    for (let every = 1; ; every++) {
      const kept = spec.ticks.filter((_, i) => i % every === 0)
      if (kept.length <= 1 || fits(kept)) return kept
    }
  }
  for (let n = most; n > 2; n--) {
    const kept = ticksFor(spec, n)
    if (fits(kept)) return kept
  }
  return ticksFor(spec, 2)
}

/** Multiples of the smallest step of 1, 2, 2.5 or 5 × 10ⁿ that keeps to `most`. */
export function roundTicks(from: number, to: number, most: number): number[] {
  const decade = Math.floor(Math.log10((to - from) / most))
  for (let e = decade; ; e++) {
    for (const m of [1, 2, 2.5, 5]) {
      const step = m * 10 ** e
      const first = Math.ceil(from / step - 1e-9)
      const last = Math.floor(to / step + 1e-9)
      if (last - first + 1 <= most) return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)))
    }
  }
}

/** The finest of 1-2-5, 1-3, powers of ten, of a hundred … that keeps to `most`. */
function logTicks(from: number, to: number, most: number): number[] {
  const low = Math.floor(Math.log10(from) + 1e-9)
  const high = Math.ceil(Math.log10(to) - 1e-9)
  const inside = (v: number) => v >= from * (1 - 1e-9) && v <= to * (1 + 1e-9)
  for (const mantissas of [[1, 2, 5], [1, 3], [1]]) {
    const values: number[] = []
    for (let e = low; e <= high; e++) for (const m of mantissas) values.push(Number(`${m}e${e}`))
    const kept = values.filter(inside)
    if (kept.length <= most && (kept.length >= 2 || mantissas.length === 3)) return kept
  }
  for (let step = 2; ; step++) {
    const values: number[] = []
    for (let e = Math.ceil(low / step) * step; e <= high; e += step) values.push(Number(`1e${e}`))
    const kept = values.filter(inside)
    if (kept.length <= most) return kept
  }
}

/** As printed at a tick: 0.01, 30, 1000, 10 k. */
export function tickText(spec: AxisSpec, value: number): string {
  if (spec.format) return spec.format(value)
  if (Math.abs(value) >= 10_000) {
    for (const [scale, prefix] of [[1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e3, 'k']] as const) if (Math.abs(value) >= scale) return `${Number((value / scale).toPrecision(3))}${THIN}${prefix}`
  }
  // Ticks are round already: as many digits as they have, no more.
  const digits = Math.max(1, String(Math.abs(Number(value.toPrecision(6)))).replace(/^0?\.?0*|\D/g, '').length)
  return formatNumber(value, { digits })
}

/** Room that the ticks of a y axis take on the left, px. */
export function gutterFor(y: AxisSpec, ticks: readonly number[]): number {
  return Math.ceil(Math.max(0, ...ticks.map((t) => labelWidth(tickText(y, t), TICK_SIZE))) + 16)
}

/** Room that the axes take around the plot. */
export function areaFor(width: number, height: number, x: AxisSpec, y: AxisSpec | undefined, headroom: number): Area {
  const left = y ? gutterFor(y, ticksFor(y)) : 2
  const xTicks = ticksFor(x)
  const lastLabel = xTicks.length ? labelWidth(tickText(x, xTicks.at(-1)!), TICK_SIZE) / 2 : 0
  return { left, right: width - Math.ceil(Math.max(8, lastLabel)), top: headroom + (y ? 30 : 6), bottom: height - 52 }
}

/** The next 1, 3, 10, 30 … below (or at) and above (or at) a range: axes that move seldom. */
export function roundLogRange(low: number, high: number): [number, number] {
  if (!(low > 0 && high >= low)) throw new RangeError(`${low} … ${high} is no range for a log axis`)
  const exponent = Math.floor(Math.log10(low) + 1e-9)
  const marks: number[] = []
  for (let e = exponent; marks.length < 2 || marks.at(-2)! < high; e++) marks.push(Number(`1e${e}`), Number(`3e${e}`))
  const from = marks.findLast((m) => m <= low * (1 + 1e-9))!
  return [from, marks.find((m) => m >= high * (1 - 1e-9) && m > from)!]
}
