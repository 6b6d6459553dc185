import { describe, expect, test } from 'vitest'
import fc from 'fast-check'
import { format, formatNumber, formatRange, formatRatio, formatText, THIN } from '$components/motif/format'
import { longName, shortName } from '$components/motif/metrics'
import { provenanceClause, provenanceSentence } from '$components/motif/provenance'

describe('numbers', () => {
  test.each([
    [0, '0'],
    [4.7, '4.70'],
    [0.123456, '0.123'],
    [118, '118'],
    [118.4, '118'],
    [99.97, '100'],
    [9.996, '10.0'],
    [1234.6, '1235'],
    [12345.4, `12${THIN}345`],
    [1234567, `1${THIN}234${THIN}567`],
    [-3.14159, '\u22123.14'],
  ])('%d reads %s', (value, text) => expect(formatNumber(value)).toBe(text))

  test('reading it back is within half of the last digit shown', () => {
    fc.assert(
      fc.property(fc.double({ min: 0.1, max: 1e9, noNaN: true }), fc.integer({ min: 1, max: 5 }), (value, digits) => {
        const back = Number(formatNumber(value, { digits }).replaceAll(THIN, ''))
        const lastDigit = 10 ** (Math.floor(Math.log10(value)) - digits + 1)
        expect(Math.abs(back - value)).toBeLessThanOrEqual(0.5 * lastDigit * (1 + 1e-6))
      }),
    )
  })

  test('no digit is shown that the clock cannot tell', () => {
    expect(formatNumber(2.3456, { resolution: 0.1 })).toBe('2.3')
    expect(formatNumber(2.3456, { resolution: 0.005 })).toBe('2.35')
    expect(formatNumber(0.04, { resolution: 0.1 })).toBe(`<${THIN}0.1`)
    expect(formatNumber(0, { resolution: 0.1 })).toBe('0')
  })

  test('a change has its sign', () => {
    expect(formatNumber(2.8, { signed: true, digits: 2 })).toBe('+2.8')
    expect(formatNumber(-2.8, { signed: true, digits: 2 })).toBe('\u22122.8')
  })

  test.each([NaN, Infinity])('%d is refused, not printed', (value) => expect(() => formatNumber(value)).toThrow(RangeError))
})

describe('units', () => {
  test('milliseconds stay milliseconds however many', () => expect(formatText(12500, 'ms')).toBe(`12${THIN}500${THIN}ms`))
  test('counts are whole', () => {
    expect(formatText(4, 'seq')).toBe(`4${THIN}seq`)
    expect(formatText(512, 'tok')).toBe(`512${THIN}tok`)
    expect(formatText(4.5, 'tok')).toBe(`4.50${THIN}tok`)
  })
  test('bytes take decimal prefixes', () => {
    expect(formatText(640, 'bytes')).toBe(`640${THIN}B`)
    expect(formatText(131072, 'bytes')).toBe(`131${THIN}kB`)
    expect(formatText(4_750_000, 'bytes')).toBe(`4.75${THIN}MB`)
  })
  test('dollars stand before, times without a gap', () => {
    expect(formatText(2.5, '$', { digits: 3 })).toBe('$2.50')
    expect(format(4.1, '×', { digits: 2 })).toEqual({ before: '', number: '4.1', unit: '×', gap: '' })
  })
  test('an exchange rate', () => expect(formatRatio(32.3)).toBe('1\u00a0:\u00a032'))
  test('a range has its unit once', () => expect(formatRange(4.62, 4.78, 'ms/token')).toBe(`4.62 to 4.78${THIN}ms/token`))
})

test('names of metrics, percentiles included', () => {
  expect(shortName('p99_ttft')).toBe('p99 TTFT')
  expect(longName('p99_ttft')).toBe('p99 of time to first token')
  expect(shortName('wasted_steps')).toBe('wasted steps')
})

describe('how a number is known', () => {
  const now = new Date(2026, 2, 10, 15, 0, 0)
  const device = { name: '2-core CPU, WebAssembly', runner: 'wasm', model: 'tales-5m' } as const
  const ago = (minutes: number) => new Date(now.getTime() - minutes * 60_000).toISOString()

  test.each([
    [0, 'Measured just now on 2-core CPU, WebAssembly, tales-5m.'],
    [4.5, 'Measured 4 min ago on 2-core CPU, WebAssembly, tales-5m.'],
    [120, 'Measured at 13:00 on 2-core CPU, WebAssembly, tales-5m.'],
    [60 * 24 * 2, 'Measured on 2026-03-08 on 2-core CPU, WebAssembly, tales-5m.'],
  ])('measured %d minutes ago', (minutes, sentence) => {
    expect(provenanceSentence({ how: 'measured', device, at: ago(minutes) }, now)).toBe(sentence)
  })

  test('a simulation says where its costs come from', () => {
    const costs = { how: 'measured', device: { ...device, threads: 2 }, at: ago(1) } as const
    expect(provenanceClause({ how: 'simulated', seed: 7, costs }, now)).toBe(
      'simulated with seed 7 from step costs measured 1 min ago on 2-core CPU, WebAssembly, 2 threads, tales-5m',
    )
  })
  test('the others', () => {
    expect(provenanceSentence({ how: 'modelled', hardware: 'H100 SXM', model: 'Llama-3.1-8B' })).toBe('Modelled by roofline for H100 SXM with Llama-3.1-8B.')
    expect(provenanceSentence({ how: 'published', source: 'MLPerf v4.1', conditions: '8×H100' })).toBe('Published: MLPerf v4.1 (8×H100).')
    expect(provenanceSentence({ how: 'recorded', device, at: ago(3) }, now)).toMatch(/^Recorded 3 min ago on 2-core/)
  })
})
