import { expect, test } from 'vitest'
import fc from 'fast-check'
import {
  choice,
  defaultsUnder,
  settled,
  decode,
  define,
  defaults,
  encode,
  integer,
  linear,
  log,
  parse,
  ParameterError,
  power2,
  toggle,
  type NumberParameter,
  type Values,
} from '$components/controls/params'

const params = define({
  prompt: power2({ from: 16, to: 2048, default: 512, label: 'Prompt', unit: 'tok', tone: 'prefill' }),
  batch: integer({ from: 1, to: 16, default: 1, label: 'Batch', unit: 'seq' }),
  load: linear({ from: 0.3, to: 1.05, step: 0.01, default: 0.85, label: 'Load' }),
  cv: log({ from: 0.2, to: 4, default: 1, label: 'Burstiness', unit: 'cv' }),
  slo_ttft: log({ from: 20, to: 2000, default: 500, label: 'TTFT target', unit: 'ms' }),
  order: choice({ options: ['static-first', 'user-first'], default: 'static-first', label: 'Order' }),
  lane: toggle({ default: false, label: 'Own lane' }),
})
const numbers: [string, NumberParameter][] = Object.entries(params).flatMap(([name, p]) => (p.kind === 'number' ? [[name, p]] : []))

test.each(numbers)('%s: every position of the input gives a value in range that maps back to it', (_, p) => {
  const { min, max, step } = p.positions
  for (let k = 0; k <= Math.round((max - min) / step); k++) {
    const position = min + k * step
    const value = p.fromPosition(position)
    expect(value).toBeGreaterThanOrEqual(p.from)
    expect(value).toBeLessThanOrEqual(p.to)
    expect(p.toPosition(value)).toBeCloseTo(position, 6)
    expect(p.clamp(value)).toBe(value)
  }
  expect(p.fromPosition(min)).toBe(p.from)
  expect(p.fromPosition(max)).toBe(p.to)
})

test.each(numbers)('%s: positions and values rise together', (_, p) => {
  fc.assert(
    fc.property(fc.double({ min: p.from, max: p.to, noNaN: true }), fc.double({ min: p.from, max: p.to, noNaN: true }), (a, b) => {
      const [low, high] = a <= b ? [a, b] : [b, a]
      expect(p.toPosition(p.clamp(low))).toBeLessThanOrEqual(p.toPosition(p.clamp(high)))
      expect(p.clamp(low)).toBeLessThanOrEqual(p.clamp(high))
    }),
  )
})

test.each(numbers)('%s: any number is clamped to a value it can take, and that value survives the URL', (name, p) => {
  fc.assert(
    fc.property(fc.double({ min: -1e6, max: 1e6, noNaN: true }), (x) => {
      const { values, errors } = decode(params, { [name]: String(x) })
      const value = values[name as 'batch']
      expect(errors).toEqual([])
      expect(value).toBeGreaterThanOrEqual(p.from)
      expect(value).toBeLessThanOrEqual(p.to)
      expect(decode(params, encode(params, values)).values).toEqual(values)
    }),
  )
})

test('a power of two stays one; its position is the exponent', () => {
  expect(params.prompt.fromPosition(9)).toBe(512)
  expect(params.prompt.toPosition(2048)).toBe(11)
  expect(params.prompt.clamp(700)).toBe(512)
  expect(params.prompt.clamp(800)).toBe(1024)
})

test('a log slider stops at round values, the default and both ends among them', () => {
  const { min, max } = params.slo_ttft.positions
  const stops = Array.from({ length: max - min + 1 }, (_, i) => params.slo_ttft.fromPosition(i))
  expect(stops).toEqual([20, 25, 30, 40, 50, 60, 80, 100, 120, 150, 200, 250, 300, 400, 500, 600, 800, 1000, 1200, 1500, 2000])
  expect(params.cv.clamp(0.7349)).toBe(0.735)
})

test('only what differs from the default goes into the URL', () => {
  const values: Values<typeof params> = { ...defaults(params), prompt: 64, lane: true, order: 'user-first' }
  expect(encode(params, values)).toEqual({ prompt: '64', order: 'user-first', lane: 'on' })
  expect(encode(params, defaults(params))).toEqual({})
})

test.each([
  ['prompt', 'many', /prompt: "many" is not a number; it goes from 16 to 2048; using 512/],
  ['batch', '', /batch: "" is not a number/],
  ['batch', 'NaN', /batch: "NaN" is not a number/],
  ['batch', 'Infinity', /batch: "Infinity" is not a number/],
  ['order', 'random', /order: "random" is not one of static-first, user-first; using static-first/],
  ['lane', 'perhaps', /lane: "perhaps" is neither on nor off; using off/],
  ['promt', '64', /promt: no such parameter here; there are prompt, batch/],
  ['constructor', '64', /constructor: no such parameter/],
])('?%s=%s names the parameter and falls back', (name, text, message) => {
  const { values, errors } = decode(params, { [name]: text })
  expect(values).toEqual(defaults(params))
  expect(errors).toHaveLength(1)
  expect(errors[0]).toBeInstanceOf(ParameterError)
  expect(errors[0]!.parameter).toBe(name)
  expect(errors[0]!.message).toMatch(message)
})

test('one value at a time, as typed beside the slider', () => {
  expect(parse(params.batch, ' 7.4 ')).toBe(7)
  expect(parse(params.batch, '1e9')).toBe(16)
  expect(() => parse(params.batch, 'lots')).toThrow(/batch/)
})

test.each([
  [() => define({ Prompt: integer({ from: 1, to: 2, default: 1, label: '' }) }), /Prompt: a name is lower case/],
  [() => define({ a: integer({ from: 5, to: 1, default: 1, label: '' }) }), /a: 5 … 1 is not a range/],
  [() => define({ a: integer({ from: 1, to: 5, default: 9, label: '' }) }), /a: the default 9/],
  [() => define({ a: linear({ from: 0, to: 1, step: 0.3, default: 0, label: '' }) }), /a: 0 … 1 is not a whole number of steps of 0.3/],
  [() => define({ a: power2({ from: 3, to: 64, default: 64, label: '' }) }), /a: 3 and 64 must be powers of two/],
  [() => define({ a: log({ from: 0, to: 64, default: 64, label: '' }) }), /a: a log scale must start above 0/],
])('a wrong table is refused (%#)', (declare, message) => {
  expect(declare).toThrow(message)
})

test('a choice that sets others: their defaults follow it, in the address too, and moving one of them by hand stays', () => {
  const table = define({
    kind: choice({ options: ['small', 'large'], default: 'small', label: 'Kind' }),
    size: integer({ from: 1, to: 100, default: 5, label: 'Size' }),
    other: integer({ from: 1, to: 100, default: 7, label: 'Other' }),
  })
  const setting = define({ ...table, kind: { ...table.kind, sets: { large: { size: 50 } } } })
  expect(defaultsUnder(setting, { kind: 'large' })).toMatchObject({ size: 50, other: 7 })
  expect(decode(setting, { kind: 'large' }).values).toEqual({ kind: 'large', size: 50, other: 7 })
  expect(encode(setting, { kind: 'large', size: 50, other: 7 })).toEqual({ kind: 'large' })
  expect(encode(setting, { kind: 'large', size: 5, other: 7 })).toEqual({ kind: 'large', size: '5' })
  const small = { kind: 'small' as const, size: 9, other: 8 }
  expect(settled(setting, small, { ...small, kind: 'large' })).toEqual({ kind: 'large', size: 50, other: 8 })
  expect(settled(setting, { kind: 'large', size: 50, other: 8 }, { ...small, size: 50 })).toEqual({ kind: 'small', size: 5, other: 8 })
  expect(settled(setting, small, { ...small, size: 10 })).toEqual({ ...small, size: 10 })
  fc.assert(
    fc.property(fc.constantFrom('small' as const, 'large' as const), fc.integer({ min: 1, max: 100 }), fc.integer({ min: 1, max: 100 }), (kind, size, other) => {
      expect(decode(setting, encode(setting, { kind, size, other }))).toEqual({ values: { kind, size, other }, errors: [] })
    }),
  )
  expect(() => define({ ...table, kind: { ...table.kind, sets: { large: { nothing: 1 } } } })).toThrow(ParameterError)
  expect(() => define({ ...table, kind: { ...table.kind, sets: { large: { size: 500 } } } })).toThrow(/cannot take/)
})
