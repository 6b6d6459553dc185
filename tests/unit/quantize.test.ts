import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { floatToHalf, halfAbove, halfBelow, halfToFloat } from '$engine/model/half'
import { dequantize, kvWidth, packInt4, quantize, quantizeKv, storedKv, storedWeights, unpackInt4, weightWidth } from '$engine/model/quantize'
import { materialize } from '$engine/model/synthetic'
import type { WeightPrecision } from '$engine/runner/runner'

const finite = fc.float({ min: -60000, max: 60000, noNaN: true })
const precisions: WeightPrecision[] = ([32, 64, 128] as const).flatMap((group) => [
  { format: 'int8', group }, { format: 'int4', group }, { format: 'int4', group, asymmetric: true },
])

describe('halves', () => {
  test('every half survives the way to single and back', () => {
    const all = Uint16Array.from({ length: 65536 }, (_, i) => i).filter((h) => (h & 0x7fff) <= 0x7c00)
    expect(floatToHalf(halfToFloat(all))).toEqual(all)
    expect(floatToHalf(Float32Array.of(NaN))[0]! & 0x7fff).toBeGreaterThan(0x7c00)
  })
  test('the nearest of all halves, ties to even; the next above and below', () => {
    const numbers = [...halfToFloat(Uint16Array.from({ length: 0x7c00 }, (_, i) => i))]
    const exact = fc.oneof(finite, fc.float({ min: Math.fround(-1e-6), max: Math.fround(1e-6), noNaN: true }),
      fc.nat({ max: 0x7bfe }).map((i) => (numbers[i]! + numbers[i + 1]!) / 2)) // ties
    fc.assert(fc.property(exact, (x) => {
      const near = Math.abs(halfToFloat(floatToHalf(Float32Array.of(x)))[0]!)
      let low = 0
      for (let step = 16384; step >= 1; step /= 2) if (low + step < numbers.length && numbers[low + step]! <= Math.abs(x)) low += step
      const [a, b] = [numbers[low]!, numbers[low + 1] ?? 65536]
      const [fromA, fromB] = [Math.abs(x) - a, b - Math.abs(x)]
      expect(near).toBe(fromA < fromB || (fromA === fromB && low % 2 === 0) ? a : b)
      const [down, up] = x >= 0 ? [a, fromA === 0 ? a : b] : [-(fromA === 0 ? a : b), -a]
      expect(halfBelow(x) + 0).toBe(down + 0)
      if (x >= 0) expect(halfAbove(x) + 0).toBe(up)
    }), { numRuns: 2000 })
    expect(halfToFloat(floatToHalf(Float32Array.of(65519, 65520)))).toEqual(Float32Array.of(65504, Infinity))
  })
})

describe('quantized matrices', () => {
  /** (rows, cols), with groups that are constant, zero, tiny or wild. */
  const matrix = fc.record({ rows: fc.integer({ min: 1, max: 3 }), cols: fc.integer({ min: 1, max: 150 }) }).chain(({ rows, cols }) =>
    fc.array(fc.oneof(finite, fc.float({ min: -1, max: 1, noNaN: true }), fc.constantFrom(0, 0.25, 1e-30, -1e-7)), { minLength: rows * cols, maxLength: rows * cols })
      .map((values) => ({ cols, values: Float32Array.from(values) })))

  test.each(precisions)('%o: no weight is off by more than half a step, no code out of range', (precision) => {
    fc.assert(fc.property(matrix, ({ cols, values }) => {
      const q = quantize(values, cols, precision)
      const back = dequantize(q)
      const perRow = Math.ceil(cols / precision.group!)
      const [least, most] = precision.asymmetric ? [0, 15] : precision.format === 'int8' ? [-127, 127] : [-7, 7]
      const wrong = [...values.entries()].filter(([i, w]) => {
        const g = Math.floor(i / cols) * perRow + Math.floor((i % cols) / precision.group!)
        const rounding = (Math.abs(w) + Math.abs(q.minima?.[g] ?? 0)) * 2 ** -22 // of the product and the sum in f32
        return !(Math.abs(w - back[i]!) <= 0.5 * q.scales[g]! + rounding && q.codes[i]! >= least! && q.codes[i]! <= most!)
      })
      expect(wrong).toEqual([])
      expect(halfToFloat(floatToHalf(q.scales))).toEqual(q.scales)
      if (q.minima) expect(halfToFloat(floatToHalf(q.minima))).toEqual(q.minima)
    }), { numRuns: 60 })
  })
  test('by hand: a group of its own scale each', () => {
    const row = new Float32Array(64)
    row[0] = -14
    row[1] = 5
    row[40] = 0.875
    const { codes, scales } = quantize(row, 64, { format: 'int4', group: 32 })
    expect([...scales]).toEqual([2, 0.125])
    expect([codes[0], codes[1], codes[40]]).toEqual([-7, 2, 7]) // 5 / 2 = 2.5 goes to the even 2
  })
  test('asymmetric codes hold one-sided groups better', () => {
    const row = Float32Array.from({ length: 64 }, (_, i) => 1 + i / 64)
    const off = (asymmetric: boolean) => Math.max(...dequantize(quantize(row, 64, { format: 'int4', asymmetric })).map((w, i) => Math.abs(w - row[i]!)))
    expect(off(true)).toBeLessThan(off(false) / 3)
  })
  test('packing and unpacking give the codes back; padding stands for zero', () => {
    fc.assert(fc.property(matrix, fc.boolean(), ({ cols, values }, asymmetric) => {
      const q = quantize(values, cols, { format: 'int4', group: 32, asymmetric })
      const packed = packInt4(q)
      expect(packed.length).toBe((values.length / cols) * Math.ceil(cols / 32) * 16)
      expect(unpackInt4(packed, cols, asymmetric)).toEqual(q.codes)
    }))
    const packed = packInt4(quantize(Float32Array.of(7, -7), 2, { format: 'int4' }))
    expect([...packed]).toEqual([0x8f, 0x81, ...new Array<number>(14).fill(0x88)])
  })
  test('what cannot be quantized is refused', () => {
    expect(() => quantize(Float32Array.of(1, NaN), 2, { format: 'int8' })).toThrow('a weight is NaN')
    expect(() => quantize(Float32Array.of(1), 1, { format: 'f16' })).toThrow('f16 is not quantized')
    expect(() => quantize(Float32Array.of(1), 1, { format: 'int8', asymmetric: true })).toThrow('only int4')
  })
})

describe('a whole model', () => {
  const config = { layers: 1, hidden: 64, heads: 2, kvHeads: 1, headDim: 32, ffn: 96, vocabSize: 40, rmsNormEps: 1e-5, ropeTheta: 1e4, maxPositions: 64, tied: true, eos: [] }
  test('every matrix is stored row by row, norms stay', () => {
    const weights = materialize(config, 3)
    const layer = weights.layers[0]!
    const stored = storedWeights(weights, { format: 'int4', group: 32 })
    for (const [name, cols] of [['q', 64], ['k', 64], ['v', 64], ['o', 64], ['gate', 64], ['up', 64], ['down', 96]] as const) {
      expect(stored.layers[0]![name], name).toEqual(dequantize(quantize(layer[name], cols, { format: 'int4', group: 32 })))
    }
    expect(stored.layers[0]!.ffnNorm).toBe(layer.ffnNorm)
    expect(stored.unembed).toBe(stored.embed)
    expect(storedWeights(weights, { format: 'f32' })).toBe(weights)
  })
  test('bytes per weight', () => {
    expect(weightWidth({ format: 'int8' })).toBe(1 + 2 / 64)
    expect(weightWidth({ format: 'int4', group: 32, asymmetric: true }, 4)).toBe(0.5 + 8 / 32)
    expect(kvWidth('int8', 32)).toBe(1.125)
  })
})

test('keys and values: one scale a row, off by half a step at most', () => {
  fc.assert(fc.property(fc.array(finite, { minLength: 1, maxLength: 64 }), (values) => {
    const row = Float32Array.from(values)
    const { scale } = quantizeKv(row)
    for (const [i, x] of storedKv(row, 'int8').entries()) expect(Math.abs(x - row[i]!)).toBeLessThanOrEqual(scale * (0.5 + 1e-4) + 1e-37)
  }))
  expect([...storedKv(Float32Array.of(0, 0), 'int8')]).toEqual([0, 0])
  expect([...storedKv(Float32Array.of(1.0001), 'f16')]).toEqual([1])
})
