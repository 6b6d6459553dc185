import { describe, expect, test } from 'vitest'
import { floatToHalf } from '$engine/model/half'
import { quantizeKv, storedKv, storedMatrix } from '$engine/model/quantize'
import { syntheticValue } from '$engine/model/synthetic'
import type { KvPrecision, WeightPrecision } from '$engine/runner/runner'
import { matmul, rmsNorm } from '$engine/runner/reference/math'
import { sampleRow, uniform } from '$engine/runner/sampling'
import { encodeMatrix } from '$engine/runner/webgpu/encode'
import { fold } from '$engine/runner/webgpu/kernel'
import { matrixFormat } from '$engine/runner/webgpu/kernels/weights'
import { writeMasks } from '$engine/runner/webgpu/tree'
import { attentionKernels, TILE_ROWS, type AttentionShape } from '$engine/runner/webgpu/kernels/attention'
import { embedKernel } from '$engine/runner/webgpu/kernels/embed'
import { logits } from '$engine/runner/webgpu/kernels/logits'
import { matmulKernels, type MatmulKernel, type MatmulUse } from '$engine/runner/webgpu/kernels/matmul'
import { qkv } from '$engine/runner/webgpu/kernels/qkv'
import { read } from '$engine/runner/webgpu/kernels/read'
import { residual } from '$engine/runner/webgpu/kernels/residual'
import { sample } from '$engine/runner/webgpu/kernels/sample'
import { swiglu } from '$engine/runner/webgpu/kernels/swiglu'
import { fillSynthetic } from '$engine/runner/webgpu/weights'
import { packedRow } from '$engine/runner/webgpu/packing'
import { largestDifference, NO_LOAD, randomFloats, runKernel, testDevice, type Data } from './webgpu-harness'

const EPSILON = 1e-5
/** Awkward on purpose: odd and even numbers of pairs, columns that fill no tile, more than one 32- or 64-tile of rows. */
const ODD: { pairs: number; columns: number }[] = [{ pairs: 37, columns: 20 }, { pairs: 8, columns: 300 }]
const TOKENS = [1, 8, 67]

/** Of the ways that differ in the size of a workgroup or of a tile alone, one; all of them where the least stands around the product. */
const TRIED = { all: /^(row|row4|cooperative[1248]-subgroup-64|cooperative[18]-workgroup-32|tile\d+)$/, some: /^(row|row4|cooperative[18]-subgroup-64|tile32)$/ }

/** Every way, at every token count: ways are correct beyond the counts they are chosen for. */
function everyWay(use: MatmulUse, body: (kernel: MatmulKernel) => Promise<void>): void {
  for (const kernel of matmulKernels(use).filter((k) => TRIED[use === residual ? 'all' : 'some'].test(k.way))) {
    test(kernel.name, async () => {
      if (kernel.name.includes('subgroup') && !(await testDevice()).subgroups) return void console.warn(`SKIPPED: ${kernel.name}, this adapter has no subgroups`)
      await body(kernel)
    })
  }
}

describe('matmuls', () => {
  everyWay(residual, async (kernel) => {
    for (const [i, { pairs, columns }] of ODD.entries()) {
      for (const tokens of TOKENS) {
        const w = randomFloats(2 * pairs * columns, i + 1)
        const x = randomFloats(tokens * columns, i + 11)
        const y = randomFloats(tokens * 2 * pairs, i + 21)
        const out = await runKernel(kernel, { pairs, columns, around: {} }, { ...NO_LOAD, rows: tokens }, [tokens, 0, 0, 0, 0, 0], [w, x, y])
        const product = matmul(x, w, columns)
        expect(largestDifference(out[2]!, y.map((v, j) => v + product[j]!)), `${pairs} × ${columns}, ${tokens} tokens`).toBeLessThan(1e-4)
      }
    }
  })

  describe('in fewer bits', () => {
    const precisions: WeightPrecision[] = [{ format: 'f16' }, { format: 'int8', group: 32 }, { format: 'int4', group: 64 }, { format: 'int4', group: 32, asymmetric: true }]
    for (const precision of precisions) {
      const format = matrixFormat(precision)
      // How a matrix is read, by a unit and by four columns, is the same whatever the way.
      for (const kernel of matmulKernels(residual, format).filter((k) => (precision.asymmetric ? /^(row4|cooperative[18]-subgroup-32)$/ : /^(cooperative8-subgroup-32|tile32)$/).test(k.way))) {
        test(`${kernel.name}${precision.asymmetric ? ', asymmetric' : ''}`, async () => {
          if (kernel.name.includes('subgroup') && !(await testDevice()).subgroups) return void console.warn(`SKIPPED: ${kernel.name}, this adapter has no subgroups`)
          for (const { pairs, columns } of ODD) {
            for (const tokens of [1, 11]) {
              const w = randomFloats(2 * pairs * columns, 5)
              const x = randomFloats(tokens * columns, 6)
              const { data, scales } = encodeMatrix(format, w, columns)
              const out = await runKernel(kernel, { pairs, columns, around: {} }, { ...NO_LOAD, rows: tokens }, [tokens], [data, x, new Float32Array(tokens * 2 * pairs), ...(scales ? [scales] : [])])
              expect(largestDifference(out[2]!, matmul(x, storedMatrix(w, columns, precision), columns)), `${pairs} × ${columns}, ${tokens} tokens`).toBeLessThan(1e-4)
            }
          }
        })
      }
    }
  })

  everyWay(swiglu, async (kernel) => {
    for (const { pairs, columns } of ODD) {
      for (const tokens of TOKENS) {
        const w = randomFloats(2 * pairs * columns, 3)
        const x = randomFloats(tokens * columns, 4)
        const gains = randomFloats(columns, 5)
        const out = await runKernel(kernel, { pairs, columns, around: { EPSILON } }, { ...NO_LOAD, rows: tokens }, [tokens, 0, 0, 0, 0, 0], [w, x, gains, new Float32Array(tokens * pairs)])
        const sums = matmul(rmsNorm(x, gains, EPSILON), w, columns) // (tokens, 2·pairs): gate, up, gate, up …
        const expected = Float32Array.from({ length: tokens * pairs }, (_, i) => (sums[2 * i]! / (1 + Math.exp(-sums[2 * i]!))) * sums[2 * i + 1]!)
        expect(largestDifference(out[3]!, expected), `${pairs} × ${columns}, ${tokens} tokens`).toBeLessThan(1e-3)
      }
    }
  })

  everyWay(logits, async (kernel) => {
    for (const { pairs, columns } of ODD) {
      for (const wanted of TOKENS) {
        const rows = wanted + 5
        const list = Uint32Array.from({ length: wanted + 3 }, (_, i) => (i * 7) % rows) // the first three belong to another turn
        const w = randomFloats(2 * pairs * columns, 6)
        const x = randomFloats(rows * columns, 7)
        const gains = randomFloats(columns, 8)
        const out = await runKernel(kernel, { pairs, columns, around: { EPSILON } }, { ...NO_LOAD, logits: wanted }, [rows, 0, wanted, 3, 0, 0], [w, x, gains, list, new Float32Array(wanted * 2 * pairs)])
        const all = matmul(rmsNorm(x, gains, EPSILON), w, columns)
        const expected = Array.from({ length: wanted }, (_, i) => [...all.subarray(list[i + 3]! * 2 * pairs, (list[i + 3]! + 1) * 2 * pairs)]).flat()
        expect(largestDifference(out[4]!, expected), `${pairs} × ${columns}, ${wanted} rows`).toBeLessThan(1e-3)
      }
    }
  })

  everyWay(qkv('f32'), async (kernel) => {
    const heads = 3, kvHeads = 1, headDim = 12, columns = 28, half = headDim / 2
    const pairs = ((heads + 2 * kvHeads) * headDim) / 2
    for (const tokens of TOKENS) {
      const w = randomFloats(2 * pairs * columns, 1)
      const x = randomFloats(tokens * columns, 2)
      const gains = randomFloats(columns, 3)
      const positions = Array.from({ length: tokens }, (_, t) => (t * 5 + 2) % 90)
      const slots = Array.from({ length: tokens }, (_, t) => (t * 11 + 3) % 160) // 10 blocks of 16, each slot once
      const firstRow = 2
      const rows = Int32Array.from([...Array(firstRow * 8).fill(0), ...positions.flatMap((p, t) => [0, p, slots[t]!, 0, 0, 0, 0, 0])])
      const angles = Float32Array.from({ length: 90 * headDim }, (_, i) => {
        const angle = Math.floor(i / headDim) * 100 ** (-Math.floor((i % headDim) / 2) / half)
        return i % 2 === 0 ? Math.cos(angle) : Math.sin(angle)
      })
      const cache = () => new Float32Array(160 * 2 * kvHeads * headDim)
      const biases = randomFloats(2 * pairs, 4)
      const [, , , , , q, kv] = await runKernel(
        kernel, { pairs, columns, around: { EPSILON, HEADS: heads, KV_HEADS: kvHeads, HEAD_DIM: headDim, BIAS: 1 } }, { ...NO_LOAD, rows: tokens }, [tokens, firstRow],
        [w, x, Float32Array.of(...gains, ...biases), rows, angles, new Float32Array(tokens * heads * headDim), cache()],
      )
      const sums = matmul(rmsNorm(x, gains, EPSILON), w, columns).map((v, i) => v + biases[i % (2 * pairs)]!)
      const expectedQ = new Float32Array(tokens * heads * headDim), expectedCache = cache()
      for (let t = 0; t < tokens; t++) {
        for (let h = 0; h < heads + 2 * kvHeads; h++) {
          for (let i = 0; i < half; i++) {
            const a = sums[t * 2 * pairs + h * headDim + 2 * i]!, b = sums[t * 2 * pairs + h * headDim + 2 * i + 1]!
            const angle = positions[t]! * 100 ** (-i / half)
            const turned = [a * Math.cos(angle) - b * Math.sin(angle), b * Math.cos(angle) + a * Math.sin(angle)] as const
            const slot = slots[t]!
            const at = (kv: number, values: number) => (((Math.floor(slot / 16) * kvHeads + kv) * 2 + values) * 16 + (slot % 16)) * headDim + 2 * i
            if (h < heads) expectedQ.set(turned, (t * heads + h) * headDim + 2 * i)
            else if (h < heads + kvHeads) expectedCache.set(turned, at(h - heads, 0))
            else expectedCache.set([a, b], at(h - heads - kvHeads, 1))
          }
        }
      }
      expect(largestDifference(q!, expectedQ), `q, ${tokens} tokens`).toBeLessThan(1e-3)
      expect(largestDifference(kv!, expectedCache), `keys and values, ${tokens} tokens`).toBeLessThan(1e-3)
    }
  })
})

describe('attention', () => {
  /** Chunks of (start, tokens): decodes of several lengths, prefills that begin and end inside a block, trees. */
  const chunks: { start: number; tokens: number; parents?: Int32Array }[] = [
    { start: 0, tokens: 1 }, { start: 3, tokens: 40 }, { start: 150, tokens: 1 }, { start: 0, tokens: 16 }, { start: 70, tokens: 5 },
    { start: 21, tokens: 35, parents: Int32Array.from({ length: 35 }, (_, t) => (t % 3 === 0 ? t - 1 : Math.floor(t / 2) - 1)) },
    { start: 0, tokens: 3, parents: Int32Array.of(-1, -1, 0) },
  ]
  const shapes: Omit<AttentionShape, 'kv' | 'split'>[] = [
    { heads: 4, kvHeads: 1, headDim: 20 },
    { heads: 2, kvHeads: 2, headDim: 64 },
    { heads: 2, kvHeads: 1, headDim: 128 },
  ]
  const split = 64 // so that the decode at 150 has three parts

  function problem({ heads, kvHeads, headDim }: Omit<AttentionShape, 'kv' | 'split'>, kv: KvPrecision) {
    const blocks = 48
    const rows: number[] = []
    const tables: number[] = []
    const seen: boolean[][] = []
    let next = 0
    const starts: number[] = []
    for (const { start, tokens } of chunks) {
      starts.push(tables.length)
      for (let p = 0; p < start + tokens; p += 16) tables.push((next++ * 17 + 5) % blocks) // scattered, each block once
    }
    for (const [i, { start, tokens, parents }] of chunks.entries()) {
      const mask = tables.length
      const words = Math.ceil(tokens / 32)
      if (parents) {
        const masks = new Uint32Array(tokens * words)
        writeMasks(parents, masks, 0)
        tables.push(...masks)
      }
      for (let t = 0; t < tokens; t++) {
        const ancestors = new Set<number>()
        for (let a = t; a >= 0; a = parents ? parents[a]! : a - 1) ancestors.add(a)
        seen.push(Array.from({ length: start + tokens }, (_, p) => p < start || ancestors.has(p - start)))
        rows.push(0, 0, 0, starts[i]!, parents ? start : start + t + 1, start + t + 1, parents ? mask + t * words : 0, 0)
      }
    }
    const count = rows.length / 8
    const q = randomFloats(count * heads * headDim, 31)
    const vector = (page: number, which: number, offset: number, by: number) => storedKv(randomFloats(headDim, ((page * 2 + which) * 16 + offset) * 7 + 3).map((v) => by * v), kv)
    const expected = new Float32Array(count * heads * headDim)
    for (let r = 0; r < count; r++) {
      for (let h = 0; h < heads; h++) {
        const head = Math.floor(h / (heads / kvHeads))
        const page = (p: number) => tables[rows[8 * r + 3]! + Math.floor(p / 16)]! * kvHeads + head
        const scores = seen[r]!.map((sees, p) => {
          if (!sees) return 0
          const key = vector(page(p), 0, p % 16, 2)
          let dot = 0
          for (let i = 0; i < headDim; i++) dot += q[(r * heads + h) * headDim + i]! * key[i]!
          return Math.exp(dot / Math.sqrt(headDim))
        })
        const sum = scores.reduce((a, b) => a + b)
        for (const [p, s] of scores.entries()) {
          if (s === 0) continue
          const value = vector(page(p), 1, p % 16, 1)
          for (let i = 0; i < headDim; i++) expected[(r * heads + h) * headDim + i]! += (s / sum) * value[i]!
        }
      }
    }
    return { rows: Int32Array.from(rows), tables: Uint32Array.from(tables), q, cache: packCache(kv, blocks * kvHeads, headDim, vector), expected, count }
  }

  /** A cache as the kernels read it; the keys' elements in the order they come, which is a pairing as good as any. */
  function packCache(kv: KvPrecision, pages: number, headDim: number, vector: (page: number, which: number, offset: number, by: number) => Float32Array): Data {
    const bytes = { f32: 4, f16: 2, int8: 1 }[kv]
    const words = (32 * headDim * bytes) / 4 + (kv === 'int8' ? 32 : 0)
    const out = new Uint32Array(pages * words)
    for (let page = 0; page < pages; page++) {
      for (let place = 0; place < 32; place++) {
        const which = place >> 4
        const row = vector(page, which, place % 16, which === 0 ? 2 : 1)
        const at = page * words + (place * headDim * bytes) / 4
        if (kv === 'f32') new Float32Array(out.buffer).set(row, at)
        else if (kv === 'f16') new Uint16Array(out.buffer).set(floatToHalf(row), 2 * at)
        else {
          const { codes, scale } = quantizeKv(row)
          new Int8Array(out.buffer).set(codes, 4 * at)
          new Float32Array(out.buffer)[page * words + 8 * headDim + place] = scale
        }
      }
    }
    return out
  }

  const problems = new Map<string, ReturnType<typeof problem>>()

  /** Runs the named kernels one after the other on the same data; with decodes, each row counts as one. */
  async function run(names: ('row' | 'decode' | 'combine' | 'prefill')[], shape: Omit<AttentionShape, 'kv' | 'split'>, kv: KvPrecision) {
    const key = JSON.stringify([shape, kv])
    const p = problems.get(key) ?? problem(shape, kv)
    problems.set(key, p)
    const full: AttentionShape = { ...shape, kv, split }
    const work: number[] = []
    let decodes = 0
    let row = 0
    const tiles: number[] = []
    for (const { tokens } of chunks) {
      if (tokens === 1 || names[0] === 'decode') for (let t = 0; t < tokens; t++, decodes++) work.push(row + t, 1)
      else for (let t = 0; t < tokens; t += TILE_ROWS) tiles.push(row + t, Math.min(TILE_ROWS, tokens - t))
      row += tokens
    }
    const splits = Math.ceil(151 / split)
    const load = { ...NO_LOAD, rows: p.count, decodes, tiles: tiles.length / 2, splits }
    let data: Data[] = [p.q, p.cache, p.rows, p.tables, Uint32Array.from([...work, ...tiles]), new Float32Array(p.expected.length), new Float32Array(decodes * shape.heads * splits * (shape.headDim + 4))]
    for (const name of names) data = await runKernel(attentionKernels(full)[name], full, load, [p.count, 0, 0, 0, decodes, 0, splits], data)
    return { ...p, out: data[5]!, width: shape.heads * shape.headDim, tiles }
  }

  for (const shape of shapes) {
    for (const kv of shape.headDim === 20 ? (['f32', 'f16', 'int8'] as const) : (['f32'] as const)) {
      const label = `${shape.heads} heads on ${shape.kvHeads}, head dimension ${shape.headDim}, ${kv}`
      test(`row: ${label}`, async () => {
        const { out, expected } = await run(['row'], shape, kv)
        expect(largestDifference(out, expected)).toBeLessThan(1e-4)
      })
      test(`decode in parts, each row as one: ${label}`, async () => {
        const { out, expected } = await run(['decode', 'combine'], shape, kv)
        expect(largestDifference(out, expected)).toBeLessThan(1e-4)
      })
      test(`prefill, tiles only, leaving other rows alone: ${label}`, async () => {
        const { out, expected, tiles, width } = await run(['prefill'], shape, kv)
        const tiled = new Set<number>()
        for (let i = 0; i < tiles.length; i += 2) for (let r = 0; r < tiles[i + 1]!; r++) tiled.add(tiles[i]! + r)
        expect(tiled.size).toBe(99)
        expect(largestDifference(out, expected.map((v, i) => (tiled.has(Math.floor(i / width)) ? v : 0)))).toBeLessThan(1e-4)
      })
    }
  }
})

describe('sampling', () => {
  const vocab = 1003

  async function draw(rows: Float32Array<ArrayBuffer>[], samples: { row: number; seed: number; position: number; temperature: number }[], width: number) {
    const stride = vocab + 1
    const padded = new Float32Array(rows.length * stride).fill(99) // the padding must not be drawn
    rows.forEach((r, i) => padded.set(r, i * stride))
    const words = new Uint32Array((samples.length + 1) * 8) // the first belongs to another step
    samples.forEach((s, i) => {
      words.set([s.row, 40 - i, s.position, s.seed, 0, i], (i + 1) * 8)
      new Float32Array(words.buffer)[(i + 1) * 8 + 4] = s.temperature
    })
    const out = await runKernel(sample, { vocab, width }, { ...NO_LOAD, samples: samples.length }, [0, 0, 0, 0, 0, 1], [words, padded, new Int32Array(41), new Int32Array(samples.length)])
    const [held, tokens] = [out[2]!, out[3]!]
    expect(samples.map((_, i) => held[40 - i]), 'tokens are kept where their request looks for them').toEqual([...tokens])
    return [...tokens]
  }

  for (const width of [32, 256]) {
    test(`temperature 0 takes the largest, the first of equals (${width} wide)`, async () => {
      const plain = randomFloats(vocab, 1)
      const ties = randomFloats(vocab, 2).map((v) => Math.round(v * 3)) // hundreds share the largest value
      const last = randomFloats(vocab, 3)
      last[vocab - 1] = 5
      const first = randomFloats(vocab, 4).map((v) => v - 100)
      const rows = [plain, ties, last, first]
      const got = await draw(rows, rows.map((_, row) => ({ row, seed: 1, position: 1, temperature: 0 })), width)
      expect(got).toEqual(rows.map((r) => sampleRow(r, 1)))
    })

    test(`draws equal sampleRow’s, except within 1e-5 of a boundary (${width} wide)`, async () => {
      const row = randomFloats(vocab, 5).map((v) => 4 * v)
      for (let batch = 0; batch < 10; batch++) {
        const part = Array.from({ length: 40 }, (_, i) => ({ row: 0, seed: 1000 * batch + (i % 7), position: batch + i * 3, temperature: [0.3, 0.8, 1, 2][i % 4]! }))
        const got = await draw([row], part, width)
        const expected = part.map((s) => sampleRow(row, s.position, s))
        for (const [i, s] of part.entries()) if (got[i] !== expected[i]) expect(boundaryDistance(row, s), `${got[i]} for ${expected[i]}`).toBeLessThan(1e-5)
        expect(got.filter((id, i) => id === expected[i]).length, 'nearly all agree').toBeGreaterThan(38)
      }
    })
  }

  /** How far u lies from the nearest boundary between two tokens, as a share of the whole. */
  function boundaryDistance(row: Float32Array, { seed, position, temperature }: { seed: number; position: number; temperature: number }): number {
    const weights = [...row].map((v) => Math.exp(v / temperature))
    const sum = weights.reduce((a, b) => a + b)
    const u = uniform(seed, position)
    let at = 0
    let nearest = 1
    for (const w of weights) {
      at += w / sum
      nearest = Math.min(nearest, Math.abs(u - at))
    }
    return nearest
  }
})

test('embed: tokens of the batch and tokens held on the device', async () => {
  const hidden = 268 // 67 vec4s: more than one workgroup
  const table = randomFloats(50 * hidden, 1)
  const rows = Int32Array.from([9, 7, -1 - 2, 49].flatMap((token) => [token, 0, 0, 0, 0, 0, 0, 0]))
  const held = Int32Array.of(11, 12, 13)
  const out = await runKernel(embedKernel(), { hidden }, { ...NO_LOAD, rows: 3 }, [3, 1], [table, rows, held, new Float32Array(3 * hidden)])
  const expected = [7, 13, 49].flatMap((id) => [...table.subarray(id * hidden, (id + 1) * hidden)])
  expect([...out[3]!]).toEqual(expected)
})

test('generated weights equal syntheticValue bit for bit, wherever they are packed', async () => {
  const { device } = await testDevice()
  const columns = 36
  const packings = [
    { base: 0, group: 1, stride: 1, tensor: 0, rows: 700 },
    { base: 1, group: 1, stride: 2, tensor: 7, rows: 50 },
    { base: 24, group: 12, stride: 12, tensor: 20, rows: 60 },
  ]
  for (const packing of packings) {
    const rows = Math.max(...Array.from({ length: packing.rows }, (_, r) => packedRow(r, packing))) + 1
    const buffer = device.createBuffer({ size: rows * columns * 4, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC })
    const readback = device.createBuffer({ size: buffer.size, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ })
    await fillSynthetic(device, 4294967290, [{ matrix: { data: buffer }, columns, ...packing }]) // seed + tensor wraps round
    const encoder = device.createCommandEncoder()
    encoder.copyBufferToBuffer(buffer, 0, readback, 0, buffer.size)
    device.queue.submit([encoder.finish()])
    await readback.mapAsync(GPUMapMode.READ)
    const expected = new Float32Array(rows * columns)
    for (let i = 0; i < packing.rows * columns; i++) {
      expected[packedRow(Math.floor(i / columns), packing) * columns + (i % columns)] = syntheticValue(4294967290, packing.tensor, i, columns)
    }
    expect([...new Uint32Array(readback.getMappedRange())]).toEqual([...new Uint32Array(expected.buffer)])
    buffer.destroy()
    readback.destroy()
  }
})

test('a packing gives every row of a matrix one place', () => {
  const places = [
    ...Array.from({ length: 24 }, (_, r) => packedRow(r, { base: 0, group: 12, stride: 12 })),
    ...Array.from({ length: 12 }, (_, r) => packedRow(r, { base: 24, group: 12, stride: 12 })),
  ]
  expect([...places].sort((a, b) => a - b)).toEqual(Array.from({ length: 36 }, (_, i) => i))
  expect([packedRow(0, { base: 0, group: 12, stride: 12 }), packedRow(6, { base: 0, group: 12, stride: 12 })], 'RoPE’s two rows are a pair').toEqual([0, 1])
})

test('read: the sums add up to all that was there', async () => {
  const data = randomFloats(4 * 12_345, 9)
  const shape = { workgroups: 5, width: 32 }
  const out = await runKernel(read, shape, { ...NO_LOAD, rows: 12_345 }, [12_345], [data, new Float32Array(shape.workgroups * shape.width)])
  const sum = (values: ArrayLike<number>) => Array.from(values).reduce((a, b) => a + b, 0)
  expect(sum(out[1]!)).toBeCloseTo(sum(data), 2)
})

test('grids too long for a device are folded, never short', () => {
  expect(fold([10, 1, 3], 65535)).toEqual([10, 1, 3])
  const [x, y, z] = fold([200_000, 1, 2], 65535)
  expect(x).toBeLessThanOrEqual(65535)
  expect(x * y).toBeGreaterThanOrEqual(200_000)
  expect(z).toBe(2)
})
