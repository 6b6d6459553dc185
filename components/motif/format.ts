import type { Unit } from '$engine/trace/quantity'

/** Narrow no-break space: between number and unit, and between groups of three digits. */
export const THIN = '\u202f'
const MINUS = '\u2212'

export interface FormatOptions {
  /** Significant digits at least shown; whole digits are never dropped. Default 3. */
  digits?: number
  /** No digit finer than this is shown; a value below it reads "< resolution". */
  resolution?: number
  /** Put a plus before a positive number: a change. */
  signed?: boolean
}

/**
 * A number with `digits` significant digits, trailing zeros kept so that the width stays put while the
 * value changes, and thin spaces from 10 000 on.
 */
export function formatNumber(value: number, { digits = 3, resolution, signed = false }: FormatOptions = {}): string {
  if (!Number.isFinite(value)) throw new RangeError(`${value} cannot stand on a slide: show nothing instead`)
  const size = Math.abs(value)
  if (resolution && size > 0 && size < resolution) return `<${THIN}${formatNumber(resolution, { digits: 1 })}`
  const text = group(size.toFixed(decimalsFor(size, digits, resolution)))
  const sign = value < 0 ? MINUS : signed && value > 0 ? '+' : ''
  return sign + text
}

/** Decimals at most: a price of a thousand small tokens has this many. */
const FINEST = 8

function decimalsFor(size: number, digits: number, resolution?: number): number {
  if (size === 0) return 0
  // Rounding may carry into the next decade: 99.97 has one decimal as 100, not two.
  const rounded = Number(size.toPrecision(digits))
  const wanted = digits - 1 - Math.floor(Math.log10(rounded))
  const finest = resolution ? Math.ceil(-Math.log10(resolution) - 1e-9) : FINEST
  return Math.min(Math.max(wanted, 0), Math.max(finest, 0), FINEST)
}

function group(text: string): string {
  const [whole, fraction] = text.split('.') as [string, string?]
  const grouped = whole.length > 4 ? whole.replace(/\B(?=(\d{3})+$)/g, THIN) : whole
  return fraction === undefined ? grouped : `${grouped}.${fraction}`
}

export interface Formatted {
  /** What comes before the number: a currency sign. */
  before: string
  number: string
  /** As printed after the number, without the gap. */
  unit: string
  /** Between number and unit. */
  gap: string
}

const COUNTS: ReadonlySet<Unit> = new Set<Unit>(['tok', 'seq', 'req'])

/**
 * A value as it is printed. One unit per quantity, whatever the size; bytes alone take a decimal prefix,
 * as every data sheet does. '%' takes 61 for 61 %.
 */
export function format(value: number, unit: Unit, options: FormatOptions = {}): Formatted {
  if (unit === 'bytes') {
    const { scale, prefix } = bytePrefix(value)
    const counted = prefix === '' && Number.isInteger(value) ? { ...options, digits: 1 } : options
    return { before: '', number: formatNumber(value / scale, counted), unit: `${prefix}B`, gap: THIN }
  }
  const whole = COUNTS.has(unit) && Number.isInteger(value)
  const number = formatNumber(value, whole ? { ...options, digits: 1 } : options)
  if (unit === '$') return { before: '$', number, unit: '', gap: '' }
  if (unit === '×') return { before: '', number, unit, gap: '' }
  return { before: '', number, unit, gap: unit ? THIN : '' }
}

/** Number and unit in one string, for captions, tables and accessible names. */
export function formatText(value: number, unit: Unit, options?: FormatOptions): string {
  const f = format(value, unit, options)
  return `${f.before}${f.number}${f.gap}${f.unit}`
}

/** "4.62 to 4.78 ms/token": the unit once. */
export function formatRange(from: number, to: number, unit: Unit, options?: FormatOptions): string {
  if (unit === 'bytes' || unit === '$') return `${formatText(from, unit, options)} to ${formatText(to, unit, options)}`
  return `${format(from, unit, options).number} to ${formatText(to, unit, options)}`
}

/** "1 : 32", for rates of exchange. */
export function formatRatio(value: number, options: FormatOptions = {}): string {
  return `1\u00a0:\u00a0${formatNumber(value, { digits: value >= 10 ? 2 : 3, ...options })}`
}

function bytePrefix(value: number): { scale: number; prefix: string } {
  const size = Math.abs(value)
  for (const [scale, prefix] of [[1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e3, 'k']] as const) if (size >= scale) return { scale, prefix }
  return { scale: 1, prefix: '' }
}

const SPOKEN: Partial<Record<Unit, string>> = {
  ms: 'milliseconds',
  'ms/token': 'milliseconds per token',
  'tok/s': 'tokens per second',
  'req/s': 'requests per second',
  s: 'seconds',
  '%': 'percent',
  '×': 'times',
  tok: 'tokens',
  seq: 'sequences',
  req: 'requests',
  'bits/byte': 'bits per byte',
  'GB/s': 'gigabytes per second',
  'GFLOP/s': 'gigaflops',
  'FLOP/byte': 'FLOP per byte',
  'ms/1k chars': 'milliseconds per thousand characters',
}

/** A unit as it is read aloud; unknown ones as they are written. */
export function spokenUnit(unit: string): string {
  return SPOKEN[unit as Unit] ?? unit
}
