import fc from 'fast-check'
import { afterAll, describe, expect, test, vi } from 'vitest'
import type { ModelConfig } from '$engine/model/config'
import { materialize } from '$engine/model/synthetic'
import { attendPlain, difference, f32s, rotatePlain, matmulPlain, rmsNormPlain, swigluPlain } from '../support/plain-kernels'
import { Arena } from '$engine/runner/wasm/arena'
import { pickVariant } from '$engine/runner/wasm/features'
import { CONTROL_BYTES, F32, ITEM_BYTES, NO_WALL, ROW_BYTES } from '$engine/runner/wasm/jobs'
import { fillAngles, Kernels } from '$engine/runner/wasm/kernels'
import { Machine } from '$engine/runner/wasm/machine'
import { createWasmProbe } from '$engine/runner/wasm/roofs'
import { writeRow, type Staged } from '$engine/runner/wasm/stage'
import { fillWeights, reserveWeights, type Matrix } from '$engine/runner/wasm/weights'

/** Room that the cases below go through with an arena of their own each. */
const BYTES = 64 * 2 ** 20
const shared = typeof SharedArrayBuffer !== 'undefined'
const machines = await Promise.all([
  Machine.create(BYTES, 'tests', { threads: 1, variant: 'simd' }),
  Machine.create(BYTES, 'tests', { threads: 1, variant: 'auto' }),
  ...(shared ? [Machine.create(BYTES, 'tests', { threads: 3, variant: 'auto' })] : []),
])
const named = machines.map((m) => [`${m.variant}, ${m.threads} threads`, m] as const)
afterAll(() => machines.forEach((m) => m.dispose()))

const base: ModelConfig = { layers: 1, hidden: 8, heads: 1, kvHeads: 1, headDim: 2, ffn: 8, vocabSize: 8, rmsNormEps: 1e-5, ropeTheta: 1e4, maxPositions: 64, tied: true, eos: [] }
const shape = { seed: fc.integer({ min: 1, max: 1e6 }), count: fc.integer({ min: 1, max: 140 }) }

describe.each(named)('kernels against plain TypeScript (%s)', (_, m) => {
  test('matmul: any number of rows, columns and tokens, stored or added', () => {
    fc.assert(fc.property(fc.record({ ...shape, rows: fc.integer({ min: 1, max: 100 }), cols: fc.integer({ min: 1, max: 90 }), add: fc.boolean() }), ({ seed, count, rows, cols, add }) => {
      const a = new Arena(CONTROL_BYTES)
      const [w, x, before] = [f32s(rows * cols, seed), f32s(count * cols, seed + 1), f32s(count * rows, seed + 2)]
      const matrix = panels(m, a, w, rows, cols)
      const [xAt, yAt] = [place(m, a, x, cols), place(m, a, before, rows, pad(rows))]
      new Kernels(base, 1).matmul(m, matrix, xAt, 4 * cols, count, yAt, 4 * pad(rows), add)
      const expected = matmulPlain(x, w, cols)
      if (add) before.forEach((v, i) => (expected[i]! += v))
      expect(difference(read(m, yAt, count, rows, pad(rows)), expected)).toBeLessThan(1e-4) // 90 terms of about 1
    }), { numRuns: 60 })
  })

  test('SwiGLU of gate and up', () => {
    fc.assert(fc.property(fc.record({ ...shape, ffn: fc.integer({ min: 1, max: 70 }), hidden: fc.integer({ min: 1, max: 60 }) }), ({ seed, count, ffn, hidden }) => {
      const c = { ...base, ffn, hidden }
      const k = new Kernels(c, 1)
      const a = new Arena(CONTROL_BYTES)
      const [gate, up, x] = [f32s(ffn * hidden, seed), f32s(ffn * hidden, seed + 1), f32s(count * hidden, seed + 2)]
      const pairs = new Float32Array(Math.ceil(ffn / 16) * 32 * hidden)
      for (let r = 0; r < ffn; r++) for (let i = 0; i < hidden; i++) {
        pairs[(Math.floor(r / 16) * 32 + (r % 16)) * hidden + i] = gate[r * hidden + i]!
        pairs[(Math.floor(r / 16) * 32 + 16 + (r % 16)) * hidden + i] = up[r * hidden + i]!
      }
      const matrix = panels(m, a, pairs, pairs.length / hidden, hidden)
      const xAt = place(m, a, x, hidden, pad(hidden))
      const middle = a.take(count * k.middleStride)
      k.reserve(a, count, m.threads).swiglu(m, matrix, xAt, count, middle)
      const expected = swigluPlain(matmulPlain(x, gate, hidden), matmulPlain(x, up, hidden))
      expect(difference(read(m, middle, count, ffn, pad(ffn)), expected)).toBeLessThan(1e-3) // products of two such sums
    }), { numRuns: 40 })
  })

  test('RMSNorm', () => {
    fc.assert(fc.property(fc.record({ ...shape, hidden: fc.integer({ min: 1, max: 130 }) }), ({ seed, count, hidden }) => {
      const c = { ...base, hidden }
      const a = new Arena(CONTROL_BYTES)
      const [x, weight] = [f32s(count * hidden, seed), f32s(hidden, seed + 1)]
      const [xAt, weightAt] = [place(m, a, x, hidden, pad(hidden)), place(m, a, weight, hidden, pad(hidden))]
      const h = a.takeWords(count * pad(hidden))
      new Kernels(c, 1).rmsNorm(m, xAt, weightAt, count, h)
      expect(difference(read(m, h, count, hidden, pad(hidden)), rmsNormPlain(x, weight, c.rmsNormEps))).toBeLessThan(1e-5)
    }), { numRuns: 30 })
  })

  test('embedding rows', () => {
    const a = new Arena(CONTROL_BYTES)
    const table = f32s(75 * 21, 3)
    const matrix = panels(m, a, table, 75, 21)
    const rows = a.take(75 * ROW_BYTES)
    const x = a.takeWords(75 * 32)
    for (let i = 0; i < 75; i++) writeRow(m.u32, rows, i, 74 - i, 0, 0)
    new Kernels({ ...base, hidden: 21 }, 1).embed(m, rows, 75, matrix, x)
    const expected = Float32Array.from({ length: 75 * 21 }, (_, i) => table[(74 - Math.floor(i / 21)) * 21 + (i % 21)]!)
    expect(read(m, x, 75, 21, 32)).toEqual(expected)
  })

  test('rotary embedding and attention: any heads, head sizes and lengths, through scattered blocks full of old values', () => {
    const heads = fc.record({ kvHeads: fc.integer({ min: 1, max: 3 }), group: fc.integer({ min: 1, max: 5 }), half: fc.integer({ min: 1, max: 20 }) })
    fc.assert(fc.property(heads, fc.integer({ min: 0, max: 150 }), fc.integer({ min: 1, max: 20 }), shape.seed, ({ kvHeads, group, half }, past, count, seed) => {
      const c: ModelConfig = { ...base, kvHeads, heads: kvHeads * group, headDim: 2 * half, maxPositions: 192 }
      const blocks = 29
      const k = new Kernels(c, blocks)
      const a = new Arena(CONTROL_BYTES)
      const cache = { keys: a.take(k.keyBytes), values: a.take(k.valueBytes) }
      m.f32.fill(NaN, cache.keys / 4, (cache.values + k.valueBytes) / 4)
      const angles = a.takeWords(c.maxPositions * c.headDim)
      fillAngles(m.f32, angles, c)
      const table = a.takeWords(12)
      for (let i = 0; i < 12; i++) m.u32[table / 4 + i] = (i * 17 + seed) % blocks
      const total = past + count
      const rows = a.take(total * ROW_BYTES)
      for (let p = 0; p < total; p++) writeRow(m.u32, rows, p, 0, p, table)
      const [qWidth, kvWidth] = [c.heads * c.headDim, kvHeads * c.headDim]
      const [q, key, value] = [f32s(total * qWidth, seed), f32s(total * kvWidth, seed + 1), f32s(total * kvWidth, seed + 2)]
      const stride = k.qkvStride / 4
      const qkv = a.takeWords(total * stride)
      for (let t = 0; t < total; t++) {
        m.f32.set(q.subarray(t * qWidth, (t + 1) * qWidth), qkv / 4 + t * stride)
        m.f32.set(key.subarray(t * kvWidth, (t + 1) * kvWidth), qkv / 4 + t * stride + pad(qWidth))
        m.f32.set(value.subarray(t * kvWidth, (t + 1) * kvWidth), qkv / 4 + t * stride + pad(qWidth) + pad(kvWidth))
      }
      k.rotateAppend(m, qkv, angles, rows, total, cache)
      const out = a.take(total * k.attendedStride)
      const skipped = past * stride * 4
      k.reserve(a, 1, m.threads)
      k.attend(m, qkv + skipped, rows + past * ROW_BYTES, ...oneByOne(m, a, count), cache, out)
      const expected = attendPlain(rotatePlain(q, c.headDim, c.ropeTheta, c.heads), rotatePlain(key, c.headDim, c.ropeTheta, kvHeads), value, c)
      expect(difference(read(m, out, count, qWidth, pad(qWidth)), expected.subarray(past * qWidth))).toBeLessThan(2e-5)
    }), { numRuns: 60 })
  })

  test('eˣ is within 2⁻²² of the true value over the whole range that a softmax meets, and 0 far below', () => {
    // Two keys, 0 and 1; the query is x: the weights are 1 / (1 + eˣ) and eˣ / (1 + eˣ), the values 0 and 1.
    const c: ModelConfig = { ...base, headDim: 2 }
    const k = new Kernels(c, 1)
    const a = new Arena(CONTROL_BYTES)
    const cache = { keys: a.take(k.keyBytes), values: a.take(k.valueBytes) }
    m.f32.fill(0, cache.keys / 4, (cache.values + k.valueBytes) / 4)
    m.f32[cache.keys / 4 + 1] = 1
    m.f32[cache.values / 4 + 16] = 1
    const table = a.takeWords(1)
    m.u32[table / 4] = 0
    const xs = Float32Array.from({ length: 30_000 }, (_, i) => -87.25 * (i / 30_000) ** 2)
    const rows = a.take(xs.length * ROW_BYTES)
    const qkv = a.take(xs.length * k.qkvStride)
    for (const [i, x] of xs.entries()) {
      writeRow(m.u32, rows, i, 0, 1, table)
      m.f32[qkv / 4 + (i * k.qkvStride) / 4] = x
      m.f32[qkv / 4 + (i * k.qkvStride) / 4 + 1] = 0
    }
    const out = a.take(xs.length * k.attendedStride)
    k.reserve(a, 1, m.threads)
    k.attend(m, qkv, rows, ...oneByOne(m, a, xs.length), cache, out)
    let worst = 0
    for (const [i, x] of xs.entries()) {
      const expected = Math.exp(x) / (1 + Math.exp(x))
      worst = Math.max(worst, Math.abs(m.f32[out / 4 + (i * k.attendedStride) / 4]! / expected - 1))
    }
    expect(worst).toBeGreaterThan(0) // 32 bits cannot be exact: a comparison of something with itself would be
    expect(worst).toBeLessThan(2 ** -22 + 2 ** -23) // the exponential, the sum, the division and the product
    m.f32[qkv / 4] = -200
    k.attend(m, qkv, rows, ...oneByOne(m, a, 1), cache, out)
    expect(m.f32[out / 4]).toBe(0)
  })

  test('argmax takes the first of equals, at any length', () => {
    fc.assert(fc.property(fc.array(fc.integer({ min: -3, max: 3 }), { minLength: 1, maxLength: 40 }), (values) => {
      const at = CONTROL_BYTES
      m.f32.fill(9, at / 4, at / 4 + 64)
      m.f32.set(values, at / 4)
      expect(m.argmax(at, values.length)).toBe(values.indexOf(Math.max(...values)))
    }))
  })

  test('synthetic weights are those of engine/model/synthetic.ts, bit for bit', () => {
    fc.assert(fc.property(fc.integer({ min: 0, max: 2 ** 31 }), fc.integer({ min: 2, max: 40 }), fc.integer({ min: 2, max: 40 }), fc.boolean(), (seed, hidden, ffn, tied) => {
      const c: ModelConfig = { ...base, layers: 2, hidden, ffn, heads: 3, kvHeads: 1, headDim: 4, vocabSize: 37, tied }
      const a = new Arena(CONTROL_BYTES)
      const packed = reserveWeights(a, c)
      const written = (source: Parameters<typeof fillWeights>[2]['source']) => {
        m.u32.fill(0, CONTROL_BYTES / 4, a.bytes / 4)
        fillWeights(m, packed, { name: 'x', config: c, source, trainedContext: 0 })
        return m.u32.slice(CONTROL_BYTES / 4, a.bytes / 4)
      }
      const generated = written({ kind: 'synthetic', seed })
      expect(generated.some((word) => word !== 0)).toBe(true)
      expect(generated).toEqual(written({ kind: 'tensors', weights: materialize(c, seed) }))
    }), { numRuns: 20 })
  })
})

describe('what an engine lacks is said', () => {
  test('no relaxed SIMD: plain SIMD is taken, and relaxed SIMD refused when asked for', () => {
    const validate = vi.spyOn(WebAssembly, 'validate').mockReturnValueOnce(false).mockReturnValueOnce(true)
    expect(pickVariant()).toBe('simd')
    validate.mockReturnValueOnce(false)
    expect(() => pickVariant('relaxed')).toThrow('no WebAssembly relaxed SIMD')
    validate.mockReturnValue(false)
    expect(() => pickVariant()).toThrow('no WebAssembly SIMD')
    validate.mockRestore()
  })

  test('no shared memory: threads are refused, one thread is the default', async () => {
    vi.stubGlobal('crossOriginIsolated', false)
    await expect(Machine.create(BYTES, 'tests', { threads: 2 })).rejects.toMatchObject({ code: 'unsupported', message: expect.stringContaining('cross-origin isolated') as string })
    const machine = await Machine.create(2 ** 20, 'tests')
    expect(machine.threads).toBe(1)
    vi.unstubAllGlobals()
  })
})

test('helpers that cannot be started: an error when threads were asked for, one thread when they were not', async () => {
  const builtin = vi.spyOn(process, 'getBuiltinModule').mockImplementation(((name: string) => name === 'node:os'
    ? { availableParallelism: () => 8 }
    : { Worker: class { constructor() { throw new Error('no more threads') } } }) as typeof process.getBuiltinModule)
  await expect(Machine.create(2 ** 20, 'tests', { threads: 4 })).rejects.toMatchObject({ code: 'unsupported', message: 'Helper threads could not be started. Run with one thread.' })
  expect((await Machine.create(2 ** 20, 'tests')).threads).toBe(1)
  builtin.mockRestore()
})

describe('probe', () => {
  test.each(shared ? [1, 2] : [1])('reads what it says and multiplies what it says (%i threads)', async (threads) => {
    const probe = await createWasmProbe({ threads })
    expect(() => probe.readPass()).toThrow('before prepare')
    expect(() => probe.prepare(2 ** 40)).toThrow('up to')
    await probe.prepare(2 ** 20 + 5)
    expect(await probe.readPass()).toBe(2 ** 20 + 128)
    expect(await probe.matmulPass()).toBe(2 * 128 * 256 * 512)
    expect(probe.maddPass()).toBeGreaterThan(1e6)
    probe.dispose()
  })
})

function pad(n: number): number {
  return Math.ceil(n / 32) * 32
}

/** Writes `rows` row-major values with the given width, each row filled up with zeros to `stride`. */
function place(m: Machine, arena: Arena, values: Float32Array, width: number, stride = width): number {
  const rows = values.length / width
  const at = arena.takeWords(rows * stride)
  m.f32.fill(0, at / 4, at / 4 + rows * stride)
  for (let r = 0; r < rows; r++) m.f32.set(values.subarray(r * width, (r + 1) * width), at / 4 + r * stride)
  return at
}

/** Items of attention that take one row each, in one go. */
function oneByOne(m: Machine, arena: Arena, count: number): [number, Omit<Staged, 'rows'>] {
  const items = arena.take(count * ITEM_BYTES)
  for (let i = 0; i < count; i++) m.u32.set([i, 1, 0, NO_WALL, 0, 0], (items + i * ITEM_BYTES) / 4)
  return [items, { items: count, splitItems: 0, attended: 0, read: 0 }]
}

function read(m: Machine, at: number, rows: number, width: number, stride: number): Float32Array {
  const out = new Float32Array(rows * width)
  for (let r = 0; r < rows; r++) out.set(m.f32.subarray(at / 4 + r * stride, at / 4 + r * stride + width), r * width)
  return out
}

/** The layout that assembly/matmul.ts states, written down a second time: panel, column, 32 rows. */
function panels(m: Machine, arena: Arena, w: Float32Array, rows: number, cols: number): Matrix {
  const address = arena.takeWords(pad(rows) * cols)
  for (let r = 0; r < pad(rows); r++) for (let k = 0; k < cols; k++) {
    m.f32[address / 4 + ((r >> 5) * cols + k) * 32 + (r & 31)] = r < rows ? w[r * cols + k]! : 0
  }
  return { address, cols, panels: pad(rows) / 32, format: F32, group: 64, scales: 0 }
}
