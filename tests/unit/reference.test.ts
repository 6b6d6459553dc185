import { describe, expect, test } from 'vitest'
import { materialize } from '$engine/model/synthetic'
import { forward } from '$engine/runner/reference/forward'
import { createReferenceRunner } from '$engine/runner/reference'
import { PagedKv } from '$engine/runner/reference/kv'
import type { LayerWeights } from '$engine/model/weights'
import { RunnerError, type RunnerOptions } from '$engine/runner/runner'
import { sampleRow, uniform } from '$engine/runner/sampling'
import { f32s, matmulPlain, rmsNormPlain, rotatePlain } from '../support/plain-kernels'
import { fixture, floats, shipped, type Greedy, type Logits } from './fixtures'

const config = { layers: 2, hidden: 32, heads: 4, kvHeads: 2, headDim: 8, ffn: 48, vocabSize: 40, rmsNormEps: 1e-5, ropeTheta: 1e4, maxPositions: 256, tied: true, eos: [] }
const model = { name: 'toy', config, source: { kind: 'tensors' as const, weights: materialize(config, 4) }, trainedContext: 0 }
const prompt = Int32Array.from({ length: 37 }, (_, i) => (i * 11 + 3) % 40)
const table = Int32Array.of(7, 2, 9, 4, 1)

describe('reference runner', () => {
  const logits = fixture<Record<string, Logits[]>>('logits.json')
  const greedy = fixture<Record<string, Greedy[]>>('greedy.json')

  test.skipIf(!logits)('logits are within 1e-3 of PyTorch’s, hidden states too', async () => {
    for (const [name, cases] of Object.entries(logits!)) {
      const { model } = await shipped(name)
      const runner = createReferenceRunner(model, { blocks: 64, tokens: 1024 })
      for (const c of cases) {
        const blockTable = Int32Array.from({ length: 32 }, (_, i) => 63 - i)
        const result = await runner.run({ wantLogits: true, chunks: [{ request: 0, tokens: Int32Array.from(c.prompt_ids), start: 0, blockTable, sample: true }] })
        expect(difference(result.logits!, floats(c.logits)), name).toBeLessThan(1e-3)
      }
    }
  })

  test.skipIf(!greedy)('greedy tokens equal PyTorch’s, 64 on each of at least 20 prompts', async () => {
    // The small model on all prompts; the larger ones on two each, for time: the wasm runner does them all.
    for (const [name, all] of Object.entries(greedy!)) {
      expect(all.length).toBeGreaterThanOrEqual(20)
      const { model } = await shipped(name)
      const runner = createReferenceRunner(model, { blocks: 64 })
      for (const c of name === 'tales-0.3m' ? all : all.slice(0, 2)) {
        const blockTable = Int32Array.from({ length: 16 }, (_, i) => i * 3)
        const first = await runner.run({ chunks: [{ request: 0, tokens: Int32Array.from(c.prompt_ids), start: 0, blockTable, sample: true }] })
        const out = [first.tokens[0]!]
        for (let i = 1; i < c.tokens.length; i++) {
          const next = await runner.run({ chunks: [{ request: 0, tokens: Int32Array.of(out.at(-1)!), start: c.prompt_ids.length + i - 1, blockTable, sample: true }] })
          out.push(next.tokens[0]!)
        }
        expect(out, `${name}: ${c.prompt}`).toEqual(c.tokens)
      }
    }
  })

  test('a prompt in chunks, in scattered blocks, equals the prompt at once', () => {
    const whole = forward(model.source.weights, config, new PagedKv(config, 16), { table, tokens: prompt, start: 0 })
    const kv = new PagedKv(config, 16)
    const parts = [[0, 5], [5, 21], [21, 37]].map(([a, b]) => forward(model.source.weights, config, kv, { table, tokens: prompt.subarray(a, b), start: a! }))
    expect(difference(Float32Array.from(parts.flatMap((p) => [...p])), whole)).toBeLessThan(1e-6)
  })

  test('a batch of ragged chunks equals its sequences one by one', async () => {
    const alone = createReferenceRunner(model, { blocks: 16 })
    const a = { request: 0, tokens: prompt, start: 0, blockTable: Int32Array.of(0, 1, 2), sample: true }
    const b = { request: 1, tokens: prompt.slice(0, 9), start: 0, blockTable: Int32Array.of(5), sample: true }
    const separate = [(await alone.run({ chunks: [a] })).tokens[0], (await alone.run({ chunks: [b] })).tokens[0]]
    expect([...(await createReferenceRunner(model, { blocks: 16 }).run({ chunks: [a, b] })).tokens]).toEqual(separate)
  })

  test('chained decodes equal single ones, and −1 stands for the last sampled', async () => {
    const start = (r: ReturnType<typeof createReferenceRunner>) => r.run({ chunks: [{ request: 3, tokens: prompt, start: 0, blockTable: table, sample: true }] })
    const chained = createReferenceRunner(model, { blocks: 16 })
    await start(chained)
    const at = { request: 3, tokens: Int32Array.of(-1), start: 37, blockTable: table, sample: true }
    const five = await chained.run({ chunks: [at], steps: 5 })
    const single = createReferenceRunner(model, { blocks: 16 })
    await start(single)
    const one: number[] = []
    for (let i = 0; i < 5; i++) one.push((await single.run({ chunks: [{ ...at, start: 37 + i }] })).tokens[0]!)
    expect([...five.tokens]).toEqual(one)
  })

  /** Two branches, one forking again, and a second root. Rows 0 … 6. */
  const tree = { tokens: Int32Array.of(5, 9, 9, 31, 2, 17, 6), parents: Int32Array.of(-1, 0, 0, 1, 2, 2, -1) }
  const paths = [[0, 1, 3], [0, 2, 4], [0, 2, 5], [6]]
  const prefill = { request: 0, tokens: prompt, start: 0, blockTable: table, sample: true }

  test('every row of a tree is what its path alone would be', async () => {
    const runner = createReferenceRunner(model, { blocks: 16 })
    await runner.run({ chunks: [prefill] })
    const verified = await runner.run({ wantLogits: true, chunks: [{ ...prefill, ...tree, start: 37, sampleRows: true }] })
    for (const path of paths) {
      const alone = createReferenceRunner(model, { blocks: 16 })
      await alone.run({ chunks: [prefill] })
      const chain = await alone.run({ wantLogits: true, chunks: [{ ...prefill, tokens: Int32Array.from(path, (r) => tree.tokens[r]!), start: 37, sampleRows: true }] })
      for (const [depth, row] of path.entries()) {
        expect(difference(verified.logits!.subarray(row * 40, (row + 1) * 40), chain.logits!.subarray(depth * 40, (depth + 1) * 40))).toBeLessThan(1e-6)
        expect(verified.rowTokens![row]).toBe(chain.rowTokens![depth])
      }
    }
  })

  test('an accepted branch, closed up by copies, goes on as if nothing else had been', async () => {
    const runner = createReferenceRunner(model, { blocks: 16 })
    await runner.run({ chunks: [prefill] })
    await runner.run({ chunks: [{ ...prefill, ...tree, start: 37, sample: false }] })
    const slot = (index: number) => table[Math.floor(index / 16)]! * 16 + (index % 16)
    const accepted = paths[2]! // rows 0, 2, 5 belong at positions 37, 38, 39
    const copies = accepted.map((row, i) => ({ from: slot(37 + row), to: slot(37 + i) })).filter(({ from, to }) => from !== to)
    const after = await runner.run({ wantLogits: true, copies, chunks: [{ ...prefill, tokens: Int32Array.of(8), start: 40 }] })
    const plain = createReferenceRunner(model, { blocks: 16 })
    const all = await plain.run({ wantLogits: true, chunks: [{ ...prefill, tokens: Int32Array.of(...prompt, ...accepted.map((r) => tree.tokens[r]!), 8) }] })
    expect(difference(after.logits!, all.logits!)).toBeLessThan(1e-6)
  })

  test('sampled rows are those that one step after the other would give, at any temperature', async () => {
    const sampling = { temperature: 0.9, seed: 4 }
    const runner = createReferenceRunner(model, { blocks: 16 })
    const rows = await runner.run({ chunks: [{ ...prefill, sampling, sampleRows: true }, { ...prefill, request: 1, blockTable: Int32Array.of(10, 11, 12), sampling }] })
    expect(rows.rowTokens).toHaveLength(37)
    expect(rows.rowTokens![36]).toBe(rows.tokens[0])
    expect(rows.tokens[1]).toBe(rows.tokens[0])
    const short = await runner.run({ chunks: [{ ...prefill, tokens: prompt.slice(0, 9), sampling }] })
    expect(rows.rowTokens![8]).toBe(short.tokens[0])
  })

  test('a bad batch names the chunk and the fault', () => {
    const runner = createReferenceRunner(model, { blocks: 16 })
    const chunk = { request: 8, tokens: prompt, start: 0, blockTable: table, sample: true }
    const bad = (batch: Parameters<typeof runner.run>[0], words: string) => {
      expect(() => runner.run(batch)).toThrow(RunnerError)
      expect(() => runner.run(batch)).toThrow(words)
    }
    bad({ chunks: [] }, 'the batch is empty')
    bad({ chunks: [{ ...chunk, tokens: Int32Array.of(40) }] }, 'chunk 0 (request 8): token 40')
    bad({ chunks: [{ ...chunk, blockTable: Int32Array.of(1) }] }, 'does not cover')
    bad({ chunks: [{ ...chunk, blockTable: Int32Array.of(1, 2, 16) }] }, 'block 16')
    bad({ chunks: [{ ...chunk, start: 230 }] }, 'pass the model')
    bad({ chunks: [chunk], steps: 2 }, 'decodes only')
    bad({ chunks: [{ ...chunk, tokens: Int32Array.of(-1), start: 0 }] }, 'before it has one')
    runner.dispose()
    bad({ chunks: [chunk] }, 'disposed')
  })
})

describe('members of the family', () => {
  test('biases are added before the rotation (one layer in double precision, by plain loops)', async () => {
    const c = { ...config, layers: 1, qkvBias: true }
    const weights = materialize(c, 5)
    const layer = weights.layers[0]!
    Object.assign(layer, { qBias: f32s(32, 1), kBias: f32s(16, 2), vBias: f32s(16, 3) })
    layer.down.fill(0)
    const tokens = Int32Array.of(3, 1, 4, 1, 5)
    const runner = createReferenceRunner({ ...model, config: c, source: { kind: 'tensors', weights } }, { blocks: 4 })
    const { logits } = await runner.run({ wantLogits: true, chunks: [{ request: 0, tokens, start: 0, blockTable: Int32Array.of(2), sample: true }] })

    const x = Float32Array.from([...tokens].flatMap((id) => [...weights.embed.subarray(id * 32, (id + 1) * 32)]))
    const h = Float32Array.from(rmsNormPlain(x, layer.attentionNorm, 1e-5))
    const projected = (w: Float32Array, bias: Float32Array) => Float32Array.from(matmulPlain(h, w, 32), (y, i) => y + bias[i % bias.length]!)
    const [q, k] = [rotatePlain(projected(layer.q, layer.qBias!), 8, 1e4, 4), rotatePlain(projected(layer.k, layer.kBias!), 8, 1e4, 2)]
    const v = projected(layer.v, layer.vBias!)
    const mixed = new Float32Array(32) // of the last position
    for (let head = 0; head < 4; head++) {
      const kv = Math.floor(head / 2)
      const scores = [0, 1, 2, 3, 4].map((p) => Math.exp([...Array(8).keys()].reduce((s, i) => s + q[4 * 32 + head * 8 + i]! * k[p * 16 + kv * 8 + i]!, 0) / Math.sqrt(8)))
      const sum = scores.reduce((a, b) => a + b)
      for (let i = 0; i < 8; i++) mixed[head * 8 + i] = scores.reduce((s, e, p) => s + (e / sum) * v[p * 16 + kv * 8 + i]!, 0)
    }
    const last = Float32Array.from(matmulPlain(mixed, layer.o, 32), (y, i) => y + x[4 * 32 + i]!)
    const expected = matmulPlain(Float32Array.from(rmsNormPlain(last, weights.finalNorm, 1e-5)), weights.unembed, 32)
    expect(difference(logits!, Float32Array.from(expected))).toBeLessThan(1e-5)
  })

  const moe = { ...config, experts: 4, expertsPerToken: 2 }
  const mixtureRunner = (change: (layer: LayerWeights, l: number) => void) => {
    const weights = materialize(moe, 6)
    weights.layers.forEach(change)
    return createReferenceRunner({ ...model, config: moe, source: { kind: 'tensors', weights } }, { blocks: 16 })
  }
  const part = (matrix: Float32Array, e: number) => matrix.subarray((e * matrix.length) / 4, ((e + 1) * matrix.length) / 4)
  const dense = (e: number) => {
    const weights = materialize(moe, 6)
    const layers = weights.layers.map((layer) => ({ ...layer, gate: part(layer.gate, e), up: part(layer.up, e), down: part(layer.down, e) }))
    return createReferenceRunner({ ...model, source: { kind: 'tensors', weights: { ...weights, layers } } }, { blocks: 16 })
  }
  const chunks = [{ request: 0, tokens: prompt, start: 0, blockTable: table, sample: true }]

  test('a mixture of four copies of one expert is that expert, however many are asked', async () => {
    const same = mixtureRunner((layer) => {
      for (const matrix of [layer.gate, layer.up, layer.down]) for (const e of [0, 1, 3]) part(matrix, e).set(part(matrix, 2))
    })
    const alone = await dense(2).run({ wantLogits: true, chunks })
    for (const expertsPerToken of [1, 2, 4]) {
      const result = await same.run({ wantLogits: true, expertsPerToken, chunks })
      expect(difference(result.logits!, alone.logits!)).toBeLessThan(1e-5)
    }
  })

  test('tokens go to the best experts alone, and those are told', async () => {
    const runner = mixtureRunner((layer) => {
      layer.ffnNorm.fill(0)
      layer.router!.fill(0)
    })
    const { experts, expertsTouched } = await runner.run({ wantExperts: true, expertsPerToken: 3, chunks })
    expect([...experts!]).toEqual(Array.from({ length: 2 * 37 * 3 }, (_, i) => i % 3)) // equal scores: the earlier ones
    expect(expertsTouched).toBe(2 * 3)
    const chosen = mixtureRunner(() => {})
    const one = await chosen.run({ wantExperts: true, expertsPerToken: 1, wantLogits: true, chunks: [{ ...chunks[0]!, tokens: prompt.slice(0, 1) }] })
    expect(one.expertsTouched).toBe(2)
    const [first, second] = one.experts!
    const weights = materialize(moe, 6)
    const layers = weights.layers.map((layer, l) => {
      const e = [first!, second!][l]!
      return { ...layer, gate: part(layer.gate, e), up: part(layer.up, e), down: part(layer.down, e) }
    })
    const alone = await createReferenceRunner({ ...model, source: { kind: 'tensors', weights: { ...weights, layers } } }, { blocks: 16 })
      .run({ wantLogits: true, chunks: [{ ...chunks[0]!, tokens: prompt.slice(0, 1) }] })
    expect(difference(one.logits!, alone.logits!)).toBeLessThan(1e-6)
  })

  test('experts that were not chosen leave no trace', async () => {
    const weights = materialize({ ...moe, layers: 1 }, 6)
    const c = { ...moe, layers: 1 }
    const run = async (gated: number[]) => {
      const down = new Float32Array(weights.layers[0]!.down.length)
      for (const e of gated) part(down, e).set(part(weights.layers[0]!.down, e))
      const layers = [{ ...weights.layers[0]!, down }]
      const kv = new PagedKv(c, 1)
      const told: number[] = []
      const plain = { ...weights, layers }
      const hidden = forward(plain, c, kv, { tokens: prompt.slice(0, 1), start: 0, table: Int32Array.of(0), router: { expertsPerToken: 2, onRoute: (_, e) => told.push(...e) } })
      return { hidden, told }
    }
    const { told } = await run([])
    expect(new Set(told).size).toBe(2)
    const others = [0, 1, 2, 3].filter((e) => !told.includes(e))
    expect((await run(others)).hidden).toEqual((await run([])).hidden)
    expect((await run(told)).hidden).not.toEqual((await run([])).hidden)
  })
})

describe('precision', () => {
  const chunks = [{ request: 0, tokens: prompt, start: 0, blockTable: table, sample: true }]
  const logitsOf = async (options: RunnerOptions) => (await createReferenceRunner(model, { blocks: 16, ...options }).run({ wantLogits: true, allRows: true, chunks })).logits!

  test('fewer bits, larger differences: f16, int8, int4, and keys and values alike', async () => {
    const exact = await logitsOf({})
    const off = async (options: RunnerOptions) => difference(await logitsOf(options), exact)
    const [half, int8, int4] = [await off({ weights: { format: 'f16' } }), await off({ weights: { format: 'int8' } }), await off({ weights: { format: 'int4', group: 32, asymmetric: true } })]
    expect(half).toBeGreaterThan(0)
    expect(half).toBeLessThan(int8 / 3)
    expect(int8).toBeLessThan(int4 / 3)
    const [kvHalf, kvInt8] = [await off({ kv: 'f16' }), await off({ kv: 'int8' })]
    expect(kvHalf).toBeGreaterThan(0)
    expect(kvHalf).toBeLessThan(kvInt8 / 3)
    expect(kvInt8).toBeLessThan(int4)
  })

  test('a cache of one precision does not depend on how the prompt was cut', async () => {
    const runner = createReferenceRunner(model, { blocks: 16, kv: 'int8' })
    await runner.run({ chunks: [{ ...chunks[0]!, tokens: prompt.slice(0, 20), sample: false }] })
    const rest = await runner.run({ wantLogits: true, chunks: [{ ...chunks[0]!, tokens: prompt.slice(20), start: 20 }] })
    expect(rest.logits).toEqual((await logitsOf({ kv: 'int8' })).slice(-40))
  })
})

describe('sampling', () => {
  test('temperature 0 is the argmax, the first of equals', () => {
    expect(sampleRow(Float32Array.of(1, 5, 5, 2), 0)).toBe(1)
    expect(sampleRow(Float32Array.of(1, 5, 5, 2), 3, { temperature: 0, seed: 9 })).toBe(1)
  })
  test('draws follow the softmax (χ², 4 ids, 40,000 draws)', () => {
    const logits = Float32Array.of(0.3, -1, 1.2, 0)
    const temperature = 0.8
    const weights = [...logits].map((l) => Math.exp(l / temperature))
    const sum = weights.reduce((a, b) => a + b)
    const counts = [0, 0, 0, 0]
    for (let i = 0; i < 40_000; i++) counts[sampleRow(logits, i, { temperature, seed: 5 })]!++
    const chi = counts.reduce((x, n, i) => x + (n - (40_000 * weights[i]!) / sum) ** 2 / ((40_000 * weights[i]!) / sum), 0)
    expect(chi).toBeLessThan(16.27) // 3 degrees of freedom, p = 0.001
  })
  test('uniform numbers are uniform and differ by seed and position', () => {
    const buckets = new Array<number>(16).fill(0)
    for (let i = 0; i < 16_000; i++) buckets[Math.floor(uniform(7, i) * 16)]!++
    expect(buckets.reduce((x, n) => x + (n - 1000) ** 2 / 1000, 0)).toBeLessThan(37.7) // 15 degrees, p = 0.001
    expect(uniform(7, 1)).not.toBe(uniform(8, 1))
  })
})

function difference(a: Float32Array, b: Float32Array): number {
  expect(a.length).toBe(b.length)
  return a.reduce((max, v, i) => Math.max(max, Math.abs(v - b[i]!)), 0)
}
