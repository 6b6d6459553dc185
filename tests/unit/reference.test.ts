import { describe, expect, test } from 'vitest'
import { materialize } from '$engine/model/synthetic'
import { forward } from '$engine/runner/reference/forward'
import { createReferenceRunner } from '$engine/runner/reference'
import { PagedKv } from '$engine/runner/reference/kv'
import { RunnerError } from '$engine/runner/runner'
import { sampleRow, uniform } from '$engine/runner/sampling'
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
    const whole = forward(model.source.weights, config, new PagedKv(config, 16), table, prompt, 0)
    const kv = new PagedKv(config, 16)
    const parts = [[0, 5], [5, 21], [21, 37]].map(([a, b]) => forward(model.source.weights, config, kv, table, prompt.subarray(a, b), a!))
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
