/**
 * The typed table of a slide's parameters. Each is declared once; its control, its place in a URL, its
 * stage direction and its test cases all come from the declaration.
 *
 * A numeric parameter has a *value* (what the experiment gets) and a *position* (what the native range
 * input holds). On a linear scale they are the same; on a logarithmic one the position is an index into
 * round values, on a power-of-two one it is the exponent.
 */

export type Tone = 'prefill' | 'decode' | 'queue' | 'neutral' | 'danger'

interface Base<T> {
  label: string
  default: T
  /** Colour of the control: the phase it acts on. */
  tone?: Tone
  /** One sentence for the control's tooltip and for screen readers. */
  hint?: string
  /** Numbers of the slides on which this parameter means the same: set on one of them, it is set on all. */
  shared?: readonly number[]
}

export interface NumberParameter extends Base<number> {
  kind: 'number'
  scale: 'linear' | 'log' | 'power2'
  from: number
  to: number
  unit: string
  /** Decimals shown; the value itself is rounded to them. */
  decimals: number
  /** The range input's min, max and step. */
  positions: { min: number; max: number; step: number }
  toPosition(value: number): number
  fromPosition(position: number): number
  /** The nearest value this parameter can take. */
  clamp(value: number): number
}

export interface ChoiceParameter<T extends string = string> extends Base<T> {
  kind: 'choice'
  options: readonly { value: T; label: string }[]
  /** Other parameters that stand elsewhere by default while this is chosen: choosing it puts them there. */
  sets?: Partial<Record<T, Readonly<Record<string, number | string | boolean>>>>
}

export interface ToggleParameter extends Base<boolean> {
  kind: 'toggle'
}

export type Parameter = NumberParameter | ChoiceParameter | ToggleParameter
export type Schema = Record<string, Parameter>
export type Named<P extends Parameter = Parameter> = P & { readonly name: string }
export type Params<S extends Schema = Schema> = { readonly [K in keyof S]: Named<S[K]> }

type ValueOf<P> = P extends { kind: 'number' } ? number : P extends ChoiceParameter<infer T> ? T : P extends { kind: 'toggle' } ? boolean : never
/** What an experiment receives: `Values<typeof params>`. */
export type Values<P extends Params> = { -readonly [K in keyof P]: ValueOf<P[K]> }

/** What was wrong with a parameter's text, and what is used instead. */
export class ParameterError extends Error {
  constructor(
    readonly parameter: string,
    message: string,
  ) {
    super(`${parameter}: ${message}`)
    this.name = 'ParameterError'
  }
}

interface Range {
  from: number
  to: number
  default: number
  label: string
  unit?: string
  tone?: Tone
  hint?: string
}

/** Whole numbers, or multiples of `step` counted from `from`. */
export function integer(range: Range & { step?: number }): NumberParameter {
  return linear({ ...range, step: range.step ?? 1 })
}

/** Evenly spaced values from `from` to `to`, which must be a whole number of steps away. */
export function linear({ step, ...range }: Range & { step: number }): NumberParameter {
  const { from, to } = range
  const decimals = Math.max(decimalsOf(step), decimalsOf(from), decimalsOf(to))
  const snap = (x: number) => round(from + Math.round((within(x, from, to) - from) / step) * step, decimals)
  return numeric(range, 'linear', decimals, { min: from, max: to, step }, { toPosition: snap, fromPosition: snap, clamp: snap })
}

/** 16, 32, 64 …; the position is the exponent. `from` and `to` must be powers of two. */
export function power2(range: Range): NumberParameter {
  const min = Math.log2(range.from)
  const max = Math.log2(range.to)
  const clamp = (x: number) => 2 ** Math.round(Math.log2(within(x, range.from, range.to)))
  return numeric(range, 'power2', 0, { min, max, step: 1 }, {
    toPosition: (value) => Math.log2(clamp(value)),
    fromPosition: (position) => 2 ** Math.round(within(position, min, max)),
    clamp,
  })
}

const ROUND_MANTISSAS = [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8]

/**
 * Round values (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8 × 10ⁿ) between `from` and `to`; the position is the
 * index. A value between two of them may be typed: it is kept to three significant digits.
 */
export function log(range: Range): NumberParameter {
  const { from, to } = range
  const grid = roundValues(from, to, range.default)
  const last = grid.length - 1
  const clamp = (x: number) => Number(within(x, from, to).toPrecision(3))
  return numeric(range, 'log', Math.max(...grid.map(decimalsOf)), { min: 0, max: last, step: 1 }, {
    clamp: (x) => within(clamp(x), from, to),
    toPosition(value) {
      const v = within(value, from, to)
      const above = grid.findIndex((g) => g >= v)
      if (above <= 0 || grid[above] === v) return Math.max(0, above)
      const [a, b] = [grid[above - 1]!, grid[above]!]
      return above - 1 + Math.log(v / a) / Math.log(b / a)
    },
    fromPosition(position) {
      const p = within(position, 0, last)
      const below = Math.min(Math.floor(p), last - 1)
      const [a, b] = [grid[below]!, grid[below + 1]!]
      return p === below ? a : p === below + 1 ? b : within(clamp(a * (b / a) ** (p - below)), from, to)
    },
  })
}

/** One of a few named options: `options: ['poisson', 'bursty']`, or a record of value → label. */
export function choice<const T extends string>(spec: {
  options: readonly T[] | Record<T, string>
  default: NoInfer<T>
  label: string
  tone?: Tone
  hint?: string
  shared?: readonly number[]
}): ChoiceParameter<T> {
  const { options, ...rest } = spec
  const pairs: { value: T; label: string }[] = Array.isArray(options)
    ? (options as readonly T[]).map((value) => ({ value, label: value }))
    : (Object.entries(options) as [T, string][]).map(([value, label]) => ({ value, label }))
  return { kind: 'choice', ...rest, options: pairs }
}

export function toggle(spec: { default: boolean; label: string; tone?: Tone; hint?: string }): ToggleParameter {
  return { kind: 'toggle', ...spec }
}

/** Checks the declarations and gives each its name. Throws ParameterError: a wrong table is a bug, not an input. */
export function define<S extends Schema>(schema: S): Params<S> {
  const named: Record<string, Named> = {}
  for (const [name, p] of Object.entries(schema)) {
    if (!/^[a-z][a-z0-9_]*$/.test(name)) throw new ParameterError(name, 'a name is lower case letters, digits and underscores')
    if (p.kind === 'number') {
      if (!(Number.isFinite(p.from) && Number.isFinite(p.to) && p.from < p.to)) throw new ParameterError(name, `${p.from} … ${p.to} is not a range`)
      if (p.scale !== 'linear' && p.from <= 0) throw new ParameterError(name, `a ${p.scale} scale must start above 0, not at ${p.from}`)
      if (p.scale === 'power2' && !(Number.isInteger(p.positions.min) && Number.isInteger(p.positions.max))) throw new ParameterError(name, `${p.from} and ${p.to} must be powers of two`)
      const steps = (p.to - p.from) / p.positions.step
      if (p.scale === 'linear' && Math.abs(steps - Math.round(steps)) > 1e-9)
        throw new ParameterError(name, `${p.from} … ${p.to} is not a whole number of steps of ${p.positions.step}`)
      if (p.clamp(p.default) !== p.default) throw new ParameterError(name, `the default ${p.default} is not a value it can take`)
    } else if (p.kind === 'choice' && !p.options.some((o) => o.value === p.default)) {
      throw new ParameterError(name, `the default "${p.default}" is not one of ${p.options.map((o) => o.value).join(', ')}`)
    }
    if (p.kind === 'choice') for (const [option, others] of Object.entries(p.sets ?? {})) for (const [other, value] of Object.entries(others ?? {})) {
      const q = schema[other]
      if (!q || q === p) throw new ParameterError(name, `"${option}" sets ${other}, which is no other parameter here`)
      if (encodeValue(parseAny({ ...q, name: other }, encodeValue(value))) !== encodeValue(value)) throw new ParameterError(name, `"${option}" sets ${other} to ${value}, which it cannot take`)
    }
    named[name] = Object.freeze({ ...p, name })
  }
  return Object.freeze(named) as unknown as Params<S>
}

export function defaults<P extends Params>(params: P): Values<P> {
  return Object.fromEntries(Object.entries(params).map(([name, p]) => [name, p.default])) as Values<P>
}

/** Where everything stands while nobody has moved it, under what is chosen: a choice may put others elsewhere. */
export function defaultsUnder<P extends Params>(params: P, values: Partial<Values<P>>): Values<P> {
  const out: Record<string, number | string | boolean> = defaults(params)
  for (const [name, p] of Object.entries(params)) {
    if (p.kind === 'choice') Object.assign(out, p.sets?.[(values as Record<string, string>)[name] ?? p.default])
  }
  return out as Values<P>
}

/** The values after a move from `before`: where a choice was made, what it sets has gone where it puts it. */
export function settled<P extends Params>(params: P, before: Values<P>, after: Values<P>): Values<P> {
  const out = { ...after }
  for (const [name, p] of Object.entries(params)) {
    if (p.kind !== 'choice' || !p.sets || before[name] === after[name]) continue
    const standing = defaultsUnder(params, after)
    for (const other of new Set(Object.values(p.sets).flatMap((set) => Object.keys(set ?? {})))) Object.assign(out, { [other]: standing[other] })
  }
  return out
}

/** As it stands in a URL. */
export function encodeValue(value: number | string | boolean): string {
  return typeof value === 'boolean' ? (value ? 'on' : 'off') : String(value)
}

/** The values that differ from their defaults (under what is chosen), as URL strings by name. */
export function encode<P extends Params>(params: P, values: Values<P>): Record<string, string> {
  const out: Record<string, string> = {}
  const standing: Record<string, unknown> = defaultsUnder(params, values)
  for (const name of Object.keys(params)) {
    const value = values[name as keyof P] as number | string | boolean
    if (value !== standing[name]) out[name] = encodeValue(value)
  }
  return out
}

/**
 * Reads one value from text. A number outside the range is clamped to it.
 * Throws ParameterError naming the parameter when the text is no value of it at all.
 */
export function parse<P extends Named>(p: P, text: string): ValueOf<P> {
  return parseAny(p, text.trim()) as ValueOf<P>
}

function parseAny(p: Named, text: string): number | string | boolean {
  switch (p.kind) {
    case 'number': {
      const number = Number(text)
      if (text === '' || !Number.isFinite(number)) throw new ParameterError(p.name, `"${text}" is not a number; it goes from ${p.from} to ${p.to}`)
      return p.clamp(number)
    }
    case 'choice': {
      if (!p.options.some((o) => o.value === text)) throw new ParameterError(p.name, `"${text}" is not one of ${p.options.map((o) => o.value).join(', ')}`)
      return text
    }
    case 'toggle': {
      if (text === 'on' || text === 'true' || text === '1') return true
      if (text === 'off' || text === 'false' || text === '0') return false
      throw new ParameterError(p.name, `"${text}" is neither on nor off`)
    }
  }
}

/**
 * Reads values from URL strings by name; what is absent or wrong takes its default. Each wrong text and
 * each name that is not in the table gives an error for the page to show.
 */
export function decode<P extends Params>(params: P, strings: Readonly<Record<string, string>>): { values: Values<P>; errors: ParameterError[] } {
  const given: Record<string, number | string | boolean> = {}
  const errors: ParameterError[] = []
  for (const [name, text] of Object.entries(strings)) {
    const p = Object.hasOwn(params, name) ? params[name] : undefined
    if (!p) {
      errors.push(new ParameterError(name, `no such parameter here; there are ${Object.keys(params).join(', ')}`))
      continue
    }
    try {
      given[name] = parseAny(p, text.trim())
    } catch (error) {
      if (!(error instanceof ParameterError)) throw error
      errors.push(new ParameterError(name, `${error.message.slice(name.length + 2)}; using ${encodeValue(p.default)}`))
    }
  }
  const standing = defaultsUnder(params, given as Partial<Values<P>>)
  return { values: { ...standing, ...given } as Values<P>, errors }
}

function numeric(
  range: Range,
  scale: NumberParameter['scale'],
  decimals: number,
  positions: NumberParameter['positions'],
  mapping: Pick<NumberParameter, 'toPosition' | 'fromPosition' | 'clamp'>,
): NumberParameter {
  return { kind: 'number', ...range, unit: range.unit ?? '', scale, decimals, positions, ...mapping }
}

function roundValues(from: number, to: number, middle: number): number[] {
  if (!(from > 0 && from < to)) return [from, to]
  const values = new Set([from, middle, to])
  for (let decade = Math.floor(Math.log10(from)); decade <= Math.log10(to); decade++) {
    for (const m of ROUND_MANTISSAS) {
      const v = Number((m * 10 ** decade).toPrecision(3))
      if (v > from && v < to) values.add(v)
    }
  }
  return [...values].sort((a, b) => a - b)
}

function within(x: number, from: number, to: number): number {
  return Math.min(Math.max(x, from), to)
}

function decimalsOf(x: number): number {
  const text = String(x)
  const exponent = text.match(/e-(\d+)$/)
  if (exponent) return Number(exponent[1]) + (text.split('e')[0]!.split('.')[1]?.length ?? 0)
  return text.split('.')[1]?.length ?? 0
}

function round(x: number, decimals: number): number {
  return Number(x.toFixed(decimals))
}
