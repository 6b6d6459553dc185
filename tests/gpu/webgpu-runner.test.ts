import { afterAll, afterEach, describe, expect, test, vi } from 'vitest'
import { materialize } from '$engine/model/synthetic'
import type { ModelConfig } from '$engine/model/config'
import type { Model } from '$engine/model/weights'
import { createReferenceRunner } from '$engine/runner/reference'
import { type KvPrecision, type Runner, type SequenceChunk, type StepBatch, type WeightPrecision } from '$engine/runner/runner'
import { sampleRow, uniform } from '$engine/runner/sampling'
import { createWebGpuRunner, probeWebGpu, type WebGpuOptions, type WebGpuRunner } from '$engine/runner/webgpu'
import { createWebGpuProbe } from '$engine/runner/webgpu/roofs'
import { largestDifference, randomFloats } from './webgpu-harness'

const BLOCKS = 64

/** Random weights with norms that are not all one, since a forgotten gain would not show otherwise. */
function toy(name: string, shape: Partial<ModelConfig>, seed: number): Model {
  const config: ModelConfig = {
    layers: 2, hidden: 64, heads: 4, kvHeads: 1, headDim: 32, ffn: 96, vocabSize: 131,
    rmsNormEps: 1e-5, ropeTheta: 1e4, maxPositions: 512, tied: true, eos: [], ...shape,
  }
  const weights = materialize(config, seed)
  for (const norm of [weights.finalNorm, ...weights.layers.flatMap((l) => [l.attentionNorm, l.ffnNorm])]) norm.set(randomFloats(norm.length, seed).map((v) => 1 + v / 2))
  return { name, config, source: { kind: 'tensors', weights }, trainedContext: 0 }
}

const gqa4 = toy('toy-gqa4', {}, 1) // head dimension 32, four query heads a KV head, an odd vocabulary
const gqa1 = toy('toy-gqa1', { heads: 2, kvHeads: 2, headDim: 64, hidden: 100, vocabSize: 90, tied: false }, 2)
const gqa2 = toy('toy-gqa2', { heads: 4, kvHeads: 2, headDim: 20, hidden: 36, ffn: 52, layers: 3 }, 3)

/** A mixture of five experts, with biases besides. */
const moe = toy('toy-moe', { layers: 2, hidden: 32, heads: 2, kvHeads: 1, headDim: 16, ffn: 20, experts: 5, expertsPerToken: 2, qkvBias: true }, 4)
if (moe.source.kind === 'tensors') {
  for (const [l, { qBias, kBias, vBias }] of moe.source.weights.layers.entries()) for (const bias of [qBias!, kBias!, vBias!]) bias.set(randomFloats(bias.length, 40 + l))
}

/** A runner is dear to build on a software adapter, so tests that do not break theirs share one. */
const runners = new Map<string, Promise<WebGpuRunner>>()
function runnerOf(model: Model, kernels: WebGpuOptions['kernels'] = {}): Promise<WebGpuRunner> {
  const key = model.name + JSON.stringify(kernels)
  let runner = runners.get(key)
  if (!runner) runners.set(key, runner = createWebGpuRunner(model, { blocks: BLOCKS, kernels }))
  return runner
}
afterAll(async () => {
  for (const runner of runners.values()) (await runner).dispose()
})
const oracleOf = (model: Model): Runner => createReferenceRunner(model, { blocks: BLOCKS })

const prompt = (length: number, salt = 0): Int32Array => Int32Array.from({ length }, (_, i) => (i * 37 + salt * 11 + 5) % 90)

/** Block tables of several sequences, shuffled through the pool; none shares a block. */
function tables(count: number, blocksEach: number, stride = 29): Int32Array[] {
  return Array.from({ length: count }, (_, s) => Int32Array.from({ length: blocksEach }, (_, b) => ((s * blocksEach + b) * stride + 3) % BLOCKS))
}

/** Three sequences of different lengths, brought to the point where they decode, beside one that still prefills. */
async function mixed(runner: Runner, wantLogits: boolean) {
  const [a, b, c, d] = tables(4, 5) as [Int32Array, Int32Array, Int32Array, Int32Array]
  await runner.run({ chunks: [
    { request: 1, tokens: prompt(33, 1), start: 0, blockTable: a, sample: true },
    { request: 2, tokens: prompt(1, 2), start: 0, blockTable: b, sample: true },
    { request: 3, tokens: prompt(18, 3), start: 0, blockTable: c, sample: false }, // a chunk of a longer prompt
  ] })
  return runner.run({
    chunks: [
      { request: 1, tokens: Int32Array.of(7), start: 33, blockTable: a, sample: true },
      { request: 3, tokens: prompt(21, 4), start: 18, blockTable: c, sample: true },
      { request: 2, tokens: Int32Array.of(-1), start: 1, blockTable: b, sample: true },
      { request: 4, tokens: prompt(9, 5), start: 0, blockTable: d, sample: false },
    ],
    wantLogits,
    allRows: wantLogits,
  })
}

async function greedy(runner: Runner, tokens: Int32Array, blockTable: Int32Array, count: number, request = 50): Promise<number[]> {
  const out = [(await runner.run({ chunks: [{ request, tokens, start: 0, blockTable, sample: true }] })).tokens[0]!]
  while (out.length < count) {
    const steps = Math.min(runner.limits.chain, count - out.length)
    const chunk: SequenceChunk = { request, tokens: Int32Array.of(-1), start: tokens.length + out.length - 1, blockTable, sample: true }
    out.push(...(await runner.run({ chunks: [chunk], steps })).tokens)
  }
  return out
}

// A graphics card's kernels are dear to compile on a software adapter (12 s a model): one model for the whole,
// and each kernel, those without subgroups too, on its own in webgpu-kernels.test.ts.
const variants: [Model, NonNullable<WebGpuOptions['kernels']>, string][] = [
  [gqa4, {}, 'the kernels of this adapter'],
  [gqa1, {}, 'the kernels of this adapter'],
  [gqa2, {}, 'the kernels of this adapter'],
  [gqa4, { software: false }, 'a graphics card’s kernels'],
]

for (const [model, kernels, label] of variants) {
  const { heads, kvHeads, headDim } = model.config
  const name = `${heads} heads on ${kvHeads} of ${headDim}, ${label}`

  test(`${name}: a mixed ragged batch has the oracle’s logits and tokens`, async () => {
    const got = await mixed(await runnerOf(model, kernels), true)
    const expected = await mixed(oracleOf(model), true)
    expect(largestDifference(got.logits!, expected.logits!)).toBeLessThan(1e-3)
    expect([...got.tokens]).toEqual([...expected.tokens])
    expect(got.tokens[3], 'nothing is drawn from a chunk that is not to be sampled').toBe(-1)
  })

  test(`${name}: 48 greedy tokens equal the oracle’s`, async () => {
    const [blockTable] = tables(1, 6)
    expect(await greedy(await runnerOf(model, kernels), prompt(23), blockTable!, 48)).toEqual(await greedy(oracleOf(model), prompt(23), blockTable!, 48))
  })
}

describe('batches', () => {
  test('a ragged batch equals its sequences one by one', async () => {
    const runner = await runnerOf(gqa4)
    const [a, b, c] = tables(3, 4) as [Int32Array, Int32Array, Int32Array]
    const chunks: SequenceChunk[] = [
      { request: 11, tokens: prompt(40, 1), start: 0, blockTable: a, sample: true },
      { request: 12, tokens: prompt(2, 2), start: 0, blockTable: b, sample: true },
      { request: 13, tokens: prompt(17, 3), start: 0, blockTable: c, sample: true },
    ]
    const together = await runner.run({ chunks, wantLogits: true })
    const apart: number[] = []
    for (const chunk of chunks) apart.push(...(await runner.run({ chunks: [chunk], wantLogits: true })).logits!)
    expect(largestDifference(together.logits!, apart)).toBeLessThan(1e-5)
  })

  test('where the blocks lie changes no bit', async () => {
    const runner = await runnerOf(gqa4)
    const at = async (blockTable: Int32Array) => (await runner.run({ chunks: [{ request: 14, tokens: prompt(50), start: 0, blockTable, sample: true }], wantLogits: true, allRows: true })).logits!
    expect([...(await at(Int32Array.of(9, 63, 0, 31)))]).toEqual([...(await at(Int32Array.of(0, 1, 2, 3)))])
  })

  test('a prompt in chunks equals the prompt at once', async () => {
    const runner = await runnerOf(gqa2)
    const tokens = prompt(50)
    const [blockTable] = tables(1, 4)
    const whole = await runner.run({ chunks: [{ request: 15, tokens, start: 0, blockTable: blockTable!, sample: true }], wantLogits: true })
    await runner.run({ chunks: [{ request: 15, tokens: tokens.slice(0, 19), start: 0, blockTable: blockTable!, sample: false }] })
    const rest = await runner.run({ chunks: [{ request: 15, tokens: tokens.slice(19), start: 19, blockTable: blockTable!, sample: true }], wantLogits: true })
    expect(largestDifference(rest.logits!, whole.logits!)).toBeLessThan(1e-4)
  })

  test('chained steps equal single ones, for a batch of several', async () => {
    const runner = await runnerOf(gqa4)
    const blockTables = tables(5, 5)
    const start = () => runner.run({ chunks: blockTables.map((blockTable, i) => ({ request: 20 + i, tokens: prompt(4 + 7 * i, i), start: 0, blockTable, sample: true })) })
    const chunks = (s: number): SequenceChunk[] => blockTables.map((blockTable, i) => ({
      request: 20 + i, tokens: Int32Array.of(-1), start: 4 + 7 * i + s, blockTable, sample: true,
      sampling: i % 2 ? { temperature: 0.9, seed: 77 + i } : undefined,
    }))
    await start()
    const chained = await runner.run({ chunks: chunks(0), steps: 20 })
    await start()
    const single: number[] = []
    for (let s = 0; s < 20; s++) single.push(...(await runner.run({ chunks: chunks(s) })).tokens)
    expect([...chained.tokens]).toEqual(single)
    if ((await probe()).adapter.features.has('timestamp-query')) {
      expect(chained.ends).toHaveLength(20)
      expect(chained.ends!.at(-1)).toBe(1)
      expect([...chained.ends!].sort((a, b) => a - b)).toEqual(chained.ends)
      expect(chained.ends![0]).toBeGreaterThan(0)
    }
  })

  test('batches handed in without waiting are done in order', async () => {
    const runner = await runnerOf(gqa4)
    const [blockTable] = tables(1, 4)
    const first = await greedy(runner, prompt(9), blockTable!, 9, 60)
    const results = [runner.run({ chunks: [{ request: 61, tokens: prompt(9), start: 0, blockTable: blockTable!, sample: true }] })]
    for (let i = 0; i < 8; i++) results.push(runner.run({ chunks: [{ request: 61, tokens: Int32Array.of(-1), start: 9 + i, blockTable: blockTable!, sample: true }] }))
    expect((await Promise.all(results)).map((r) => r.tokens[0])).toEqual(first)
  })

  test('draws equal sampleRow’s on the same logits, whatever the batch', async () => {
    const runner = await runnerOf(gqa4)
    const blockTables = tables(6, 3)
    const chunks = blockTables.map((blockTable, i): SequenceChunk => ({
      request: 30 + i, tokens: prompt(5 + i, i), start: 0, blockTable, sample: true, sampling: { temperature: [0.5, 1, 1.7][i % 3]!, seed: 900 + i },
    }))
    const { logits, tokens } = await runner.run({ chunks, wantLogits: true })
    const vocab = gqa4.config.vocabSize
    let agree = 0
    for (const [i, chunk] of chunks.entries()) {
      const row = logits!.subarray(i * vocab, (i + 1) * vocab)
      const position = chunk.start + chunk.tokens.length
      const expected = sampleRow(row, position, chunk.sampling)
      if (tokens[i] === expected) agree++
      else expect(boundaryDistance(row, position, chunk.sampling!)).toBeLessThan(1e-5)
      const alone = await runner.run({ chunks: [chunk], wantLogits: true })
      expect(alone.tokens[0]).toBe(tokens[i])
    }
    expect(agree).toBeGreaterThanOrEqual(5)
  })

  test('more logits than are kept at a time come in turns', async () => {
    const wide = toy('toy-wide', { layers: 1, hidden: 8, heads: 2, kvHeads: 1, headDim: 4, ffn: 8, vocabSize: 40_001 }, 5)
    const runner = await createWebGpuRunner(wide, { blocks: 40, tokens: 450 })
    const batch: StepBatch = {
      chunks: [
        { request: 1, tokens: prompt(30), start: 0, blockTable: Int32Array.of(38, 39), sample: true },
        { request: 2, tokens: prompt(412), start: 0, blockTable: Int32Array.from({ length: 27 }, (_, i) => i), sample: true },
      ],
      wantLogits: true,
      allRows: true,
    }
    const got = await runner.run(batch)
    const expected = await createReferenceRunner(wide, { blocks: 40, tokens: 450 }).run(batch)
    expect(largestDifference(got.logits!, expected.logits!)).toBeLessThan(1e-3)
    expect([...got.tokens]).toEqual([...expected.tokens])
    runner.dispose()
  })

  for (const weights of [{ format: 'f32' }, { format: 'f16' }, { format: 'int8', group: 32 }, { format: 'int4', group: 64 }, { format: 'int4', group: 32, asymmetric: true }] satisfies WeightPrecision[]) {
    test(`weights made on the device give what materialize() gives: ${weights.format}${weights.asymmetric ? ' with minima' : ''}`, async () => {
      const synthetic: Model = { name: 'seeded', config: weights.format === 'f32' ? gqa1.config : moe.config, source: { kind: 'synthetic', seed: 12 }, trainedContext: 0 }
      const runner = await createWebGpuRunner(synthetic, { blocks: BLOCKS, weights })
      const batch: StepBatch = { chunks: [{ request: 1, tokens: prompt(12), start: 0, blockTable: Int32Array.of(4), sample: true }], wantLogits: true, allRows: true }
      const expected = await createReferenceRunner(synthetic, { blocks: BLOCKS, weights }).run(batch)
      // One code that falls to the other side of a tie, or a half rounded otherwise, is a step in one weight of thousands.
      expect(largestDifference((await runner.run(batch)).logits!, expected.logits!)).toBeLessThan(1e-3)
      runner.dispose()
    })
  }

  test('64 sequences at once equal each by itself', async () => {
    const runner = await createWebGpuRunner(gqa4, { blocks: BLOCKS, sequences: 64 })
    const blockTables = Array.from({ length: 64 }, (_, i) => Int32Array.of((i * 29 + 3) % BLOCKS))
    const lengths = blockTables.map((_, i) => (i % 5 === 0 ? 7 : 1)) // mixed prefills and decodes
    const chunks = blockTables.map((blockTable, i): SequenceChunk => ({ request: 200 + i, tokens: prompt(lengths[i]!, i), start: 0, blockTable, sample: true }))
    const together = await runner.run({ chunks, wantLogits: true })
    const next = chunks.map((c, i): SequenceChunk => ({ ...c, tokens: Int32Array.of(-1), start: lengths[i]! }))
    const chained = await runner.run({ chunks: next, steps: 4 })
    const oracle = createReferenceRunner(gqa4, { blocks: BLOCKS, sequences: 64 })
    for (const [i, chunk] of chunks.entries()) {
      const alone = await oracle.run({ chunks: [chunk], wantLogits: true })
      expect(largestDifference(together.logits!.subarray(i * 131, (i + 1) * 131), alone.logits!)).toBeLessThan(1e-3)
      const later = await oracle.run({ chunks: [next[i]!], steps: 4 })
      expect([together.tokens[i], ...[0, 1, 2, 3].map((s) => chained.tokens[s * 64 + i])]).toEqual([alone.tokens[0], ...later.tokens])
    }
    runner.dispose()
  })

  for (const kernels of [{}, { software: false }]) {
    const label = kernels.software === false ? 'a graphics card’s kernels' : 'the kernels of this adapter'

    test(`a tree’s rows have the logits of the paths to them: ${label}`, async () => {
      const runner = await runnerOf(gqa4, kernels)
      const [blockTable, other] = tables(2, 4) as [Int32Array, Int32Array]
      const start = 19
      const parents = Int32Array.of(-1, 0, 0, 1, 1, 2, 5, -1, 7)
      const tokens = Int32Array.from(parents, (_, t) => (t * 13 + 7) % 90)
      const oracle = oracleOf(gqa4)
      await runner.run({ chunks: [{ request: 90, tokens: prompt(start), start: 0, blockTable, sample: false }] })
      const tree = await runner.run({
        chunks: [
          { request: 91, tokens: prompt(6, 8), start: 0, blockTable: other, sample: true },
          { request: 90, tokens, start, blockTable, sample: false, parents, sampleRows: true },
        ],
        wantLogits: true,
      })
      expect(tree.rowTokens).toHaveLength(parents.length)
      expect(tree.tokens[1], 'nothing is kept of a chunk that is not to be sampled').toBe(-1)
      for (const t of parents.keys()) {
        const path: number[] = []
        for (let a = t; a >= 0; a = parents[a]!) path.unshift(tokens[a]!)
        const expected = await oracle.run({ chunks: [{ request: 1, tokens: Int32Array.of(...prompt(start), ...path), start: 0, blockTable: Int32Array.of(0, 1, 2), sample: true }], wantLogits: true })
        expect(largestDifference(tree.logits!.subarray((t + 1) * 131, (t + 2) * 131), expected.logits!), `row ${t}`).toBeLessThan(1e-3)
        expect(tree.rowTokens![t]).toBe(expected.tokens[0])
      }
      // The accepted branch 0, 2, 5, 6 closes up: what lay in slots start + 2, 5, 6 moves behind start.
      const slot = (place: number) => blockTable[Math.floor(place / 16)]! * 16 + (place % 16)
      const next = await runner.run({
        copies: [2, 5, 6].map((t, i) => ({ from: slot(start + t), to: slot(start + 1 + i) })),
        chunks: [{ request: 90, tokens: Int32Array.of(33), start: start + 4, blockTable, sample: true }],
        wantLogits: true,
      })
      const whole = Int32Array.of(...prompt(start), ...[0, 2, 5, 6].map((t) => tokens[t]!), 33)
      const expected = await oracle.run({ chunks: [{ request: 1, tokens: whole, start: 0, blockTable: Int32Array.of(0, 1, 2), sample: true }], wantLogits: true })
      expect(largestDifference(next.logits!, expected.logits!)).toBeLessThan(1e-3)
    })
  }

  test('copies are made in their order, more than fit at a time too', async () => {
    const runner = await runnerOf(gqa4)
    const run = (blockTable: Int32Array, copies?: { from: number; to: number }[]) =>
      runner.run({ copies, wantLogits: true, chunks: [{ request: 92, tokens: Int32Array.of(5), start: 16, blockTable, sample: true }] })
    await runner.run({ chunks: [{ request: 92, tokens: prompt(16), start: 0, blockTable: Int32Array.of(1), sample: false }] })
    const expected = (await run(Int32Array.of(1, 2))).logits!
    // Block 1 travels through blocks 10, 11, … 63 and 10 again, each copy reading what the one before wrote.
    const places = [1, ...Array.from({ length: 3 * 54 }, (_, i) => 10 + (i % 54))]
    const copies = places.slice(1).flatMap((to, i) => Array.from({ length: 16 }, (_, p) => ({ from: places[i]! * 16 + p, to: to * 16 + p })))
    expect(copies.length).toBeGreaterThan(2048)
    expect([...(await run(Int32Array.of(places.at(-1)!, 2), copies)).logits!]).toEqual([...expected])
  })

  test('every row sampled: the ids of each row, and the chunk goes on from its last', async () => {
    const runner = await runnerOf(gqa1)
    const blockTable = Int32Array.of(7, 8)
    const sampling = { temperature: 0.8, seed: 5 }
    const chunk: SequenceChunk = { request: 93, tokens: prompt(9), start: 0, blockTable, sample: true, sampleRows: true, sampling }
    const { tokens, rowTokens, logits } = await runner.run({ chunks: [chunk, { request: 94, tokens: prompt(3), start: 0, blockTable: Int32Array.of(9), sample: true }], wantLogits: true })
    expect(logits).toHaveLength(10 * 90)
    const expected = Array.from({ length: 9 }, (_, t) => sampleRow(logits!.subarray(t * 90, (t + 1) * 90), t + 1, sampling))
    expect([...rowTokens!]).toEqual(expected)
    expect(tokens[0]).toBe(expected.at(-1))
    const next = await runner.run({ chunks: [{ request: 93, tokens: Int32Array.of(-1), start: 9, blockTable, sample: true }], wantLogits: true })
    const same = await runner.run({ chunks: [{ request: 93, tokens: Int32Array.of(tokens[0]!), start: 9, blockTable, sample: true }], wantLogits: true })
    expect([...next.logits!]).toEqual([...same.logits!])
  })

  test('a bad batch and a token that is not held are refused in words, and nothing breaks', async () => {
    const runner = await runnerOf(gqa4)
    const chunk = { request: 70, tokens: prompt(5), start: 0, blockTable: Int32Array.of(1), sample: true }
    await expect(runner.run({ chunks: [] })).rejects.toThrow('the batch is empty')
    await expect(runner.run({ chunks: [{ ...chunk, tokens: Int32Array.of(-1) }] })).rejects.toThrow(/chunk 0 \(request 70\): token −1/)
    await runner.run({ chunks: [chunk] })
    await runner.run({ chunks: [{ ...chunk, tokens: Int32Array.of(-1), start: 5 }] })
    runner.release(70)
    await expect(runner.run({ chunks: [{ ...chunk, tokens: Int32Array.of(-1), start: 6 }] })).rejects.toMatchObject({ name: 'RunnerError', code: 'bad-batch' })
  })

  test('the last tokens of a thousand requests are held, then the oldest gives way', async () => {
    const runner = await runnerOf(gqa4)
    const chunk = (request: number, start: number): SequenceChunk => ({ request, tokens: Int32Array.of(start === 0 ? request % 90 : -1), start, blockTable: Int32Array.of(request % 16), sample: true })
    for (let first = 1000; first < 2040; first += 16) await runner.run({ chunks: Array.from({ length: 16 }, (_, i) => chunk(first + i, 0)) })
    await expect(runner.run({ chunks: [chunk(1000, 1)] })).rejects.toThrow('sampled nothing')
    expect((await runner.run({ chunks: [chunk(2039, 1)] })).tokens[0]).toBeGreaterThanOrEqual(0)
    for (let request = 1000; request < 2040; request++) runner.release(request)
  })
})

describe('mixtures of experts, and biases', () => {
  for (const kernels of [{}, { software: false }]) {
    test(`each token is sent where the oracle sends it, few and many: ${kernels.software === false ? 'a graphics card’s kernels' : 'the kernels of this adapter'}`, async () => {
      const runner = await createWebGpuRunner(moe, { blocks: BLOCKS, kernels })
      const oracle = oracleOf(moe)
      const [a, b] = tables(2, 5) as [Int32Array, Int32Array]
      const compare = async (batch: StepBatch) => {
        const [got, expected] = [await runner.run(batch), await oracle.run(batch)]
        if (batch.wantLogits) expect(largestDifference(got.logits!, expected.logits!)).toBeLessThan(1e-3)
        expect([...got.tokens]).toEqual([...expected.tokens])
        expect(got.expertsTouched).toBe(expected.expertsTouched)
        expect([...(got.experts ?? [])]).toEqual([...(expected.experts ?? [])])
        return got
      }
      const long: SequenceChunk = { request: 1, tokens: prompt(50), start: 0, blockTable: a, sample: true }
      const short: SequenceChunk = { request: 2, tokens: prompt(3, 1), start: 0, blockTable: b, sample: true }
      const { experts } = await compare({ chunks: [long, short], wantLogits: true, allRows: true, wantExperts: true })
      expect(experts).toHaveLength(2 * 53 * 2)
      expect(new Set(experts).size, 'more than one expert is in use').toBeGreaterThan(3)
      const more = [{ ...long, tokens: Int32Array.of(-1), start: 50 }, { ...short, tokens: Int32Array.of(-1), start: 3 }]
      await compare({ chunks: more, wantLogits: true, wantExperts: true })
      await compare({ chunks: more.map((c) => ({ ...c, start: c.start + 1 })), wantExperts: true, steps: 4 })
      for (const expertsPerToken of [1, 5]) await compare({ chunks: [{ ...short, tokens: prompt(17, 2) }], expertsPerToken, wantLogits: true, allRows: true, wantExperts: true })
      runner.dispose()
    })
  }
})

describe('fewer bits', () => {
  const precisions: [WeightPrecision, KvPrecision][] = [[{ format: 'f16' }, 'f16'], [{ format: 'int8', group: 32 }, 'int8'], [{ format: 'int4', group: 32 }, 'f32'], [{ format: 'int4', group: 64, asymmetric: true }, 'f16']]
  for (const [weights, kv] of precisions) {
    test(`${weights.format}${weights.asymmetric ? ' with minima' : ''}, cache ${kv}: logits of the oracle with the same numbers`, async () => {
      const runner = await createWebGpuRunner(moe, { blocks: BLOCKS, weights, kv })
      const oracle = createReferenceRunner(moe, { blocks: BLOCKS, weights, kv })
      const got = await mixed(runner, true)
      const expected = await mixed(oracle, true)
      // A key on the edge between two codes may fall to either: a hundredth of a step's width shows in the logits.
      expect(largestDifference(got.logits!, expected.logits!)).toBeLessThan(kv === 'int8' ? 2e-2 : kv === 'f16' ? 3e-3 : 1e-3)
      expect(runner.widths!.weight).toBeCloseTo({ f16: 2, int8: 1 + 4 / 32, int4: 0.5 + 4 / weights.group!, f32: 4 }[weights.format], 6)
      expect(runner.widths!.kv).toBe({ f32: 4, f16: 2, int8: 1 + 4 / 16 }[kv])
      runner.dispose()
    })
  }

  test('slots are copied with their scales', async () => {
    const runner = await createWebGpuRunner(gqa2, { blocks: BLOCKS, kv: 'int8' })
    const at = (blockTable: Int32Array, copies?: StepBatch['copies']) => runner.run({ copies, wantLogits: true, chunks: [{ request: 1, tokens: Int32Array.of(5), start: 10, blockTable, sample: true }] })
    await runner.run({ chunks: [{ request: 1, tokens: prompt(10), start: 0, blockTable: Int32Array.of(1), sample: false }] })
    const expected = (await at(Int32Array.of(1))).logits!
    expect([...(await at(Int32Array.of(60), Array.from({ length: 10 }, (_, p) => ({ from: 16 + p, to: 60 * 16 + p })))).logits!]).toEqual([...expected])
    runner.dispose()
  })
})

describe('what a token costs', () => {
  test('a decode is five dispatches a layer and three around them', async () => {
    const runner = await runnerOf(gqa2)
    const [blockTable] = tables(1, 3)
    const chunk = { request: 80, tokens: prompt(3), start: 0, blockTable: blockTable!, sample: true }
    await runner.run({ chunks: [chunk] })
    const { dispatches } = await runner.run({ chunks: [{ ...chunk, tokens: Int32Array.of(-1), start: 3 }], steps: 10 })
    expect(dispatches).toBe(10 * (5 * gqa2.config.layers + 3))
  })

  test('generating makes nothing but one command encoder a batch', async () => {
    const { device, made } = await countingDevice()
    const runner = await createWebGpuRunner(gqa4, { blocks: BLOCKS, device })
    expect(made.get('createBuffer'), 'the count counts').toBeGreaterThan(20)
    const [a, b] = tables(2, 5) as [Int32Array, Int32Array]
    made.clear()
    await runner.run({ chunks: [{ request: 1, tokens: prompt(20), start: 0, blockTable: a, sample: true }, { request: 2, tokens: prompt(3), start: 0, blockTable: b, sample: true }] })
    for (let i = 0; i < 3; i++) {
      await runner.run({ steps: 8, chunks: [{ request: 1, tokens: Int32Array.of(-1), start: 20 + 8 * i, blockTable: a, sample: true }, { request: 2, tokens: Int32Array.of(-1), start: 3 + 8 * i, blockTable: b, sample: true }] })
    }
    expect(Object.fromEntries(made)).toEqual({ createCommandEncoder: 4 })
    // Reading logits back, which generating never does, makes a buffer: so the count would have seen one.
    await runner.run({ wantLogits: true, chunks: [{ request: 3, tokens: prompt(3), start: 0, blockTable: a, sample: true }] })
    expect(made.get('createBuffer')).toBe(1)
    runner.dispose()
    device.destroy()
  })

  test('profiling times every dispatch', async (context) => {
    if (!(await probe()).adapter.features.has('timestamp-query')) return void console.warn('SKIPPED: this adapter has no timestamps'), context.skip()
    const runner = await createWebGpuRunner(gqa4, { blocks: BLOCKS, profile: true })
    const { dispatches } = await runner.run({ chunks: [{ request: 1, tokens: prompt(20), start: 0, blockTable: Int32Array.of(1, 2), sample: true }] })
    expect(runner.profile).toHaveLength(dispatches!)
    expect(runner.profile.map((k) => k.name.split('/')[0]).slice(0, 6)).toEqual(['embed', 'qkv', 'attention', 'residual', 'swiglu', 'residual'])
    expect(runner.profile.reduce((sum, k) => sum + k.ms, 0)).toBeGreaterThan(0)
    expect(runner.profile[1]).toMatchObject({ flops: 2 * 20 * 64 * 6 * 32, bytes: 4 * (64 * 192 + 64 * 20 + 192 * 20) })
    runner.dispose()
  })
})

describe('bad luck', () => {
  afterEach(() => void vi.unstubAllGlobals())

  test('a device lost in the middle of a generation: this run and later ones say so, and a new runner goes on', async () => {
    const device = await (await probe()).adapter.requestDevice()
    const runner = await createWebGpuRunner(gqa4, { blocks: BLOCKS, device })
    const [blockTable] = tables(1, 6)
    const expected = await greedy(runner, prompt(9), blockTable!, 20)
    const running = runner.run({ chunks: [{ request: 50, tokens: Int32Array.of(-1), start: 29, blockTable: blockTable!, sample: true }], steps: 32 })
    device.destroy()
    await expect(running).rejects.toMatchObject({ name: 'RunnerError', code: 'device-lost', message: expect.stringContaining('was taken away') as string })
    await expect(runner.run({ chunks: [{ request: 51, tokens: prompt(3), start: 0, blockTable: blockTable!, sample: true }] })).rejects.toMatchObject({ code: 'device-lost' })
    runner.dispose()
    const again = await createWebGpuRunner(gqa4, { blocks: BLOCKS })
    expect(await greedy(again, prompt(9), blockTable!, 20)).toEqual(expected)
    again.dispose()
  })

  test('a runner disposed of says so', async () => {
    const runner = await createWebGpuRunner(gqa4, { blocks: BLOCKS })
    const running = runner.run({ chunks: [{ request: 1, tokens: prompt(9), start: 0, blockTable: Int32Array.of(0), sample: true }] })
    runner.dispose()
    await expect(running).rejects.toMatchObject({ code: 'disposed' })
    await expect(runner.run({ chunks: [{ request: 1, tokens: prompt(9), start: 0, blockTable: Int32Array.of(0), sample: true }] })).rejects.toMatchObject({ code: 'disposed' })
  })

  test('a matrix larger than a buffer may be is refused with the megabytes, before anything is allocated', async () => {
    const { device, made } = await countingDevice({}) // default limits: 128 MiB a binding
    const config = { ...gqa4.config, hidden: 4096, ffn: 16_384 }
    const large: Model = { name: 'large', config, source: { kind: 'synthetic', seed: 1 }, trainedContext: 0 }
    await expect(createWebGpuRunner(large, { device })).rejects.toMatchObject({
      code: 'out-of-memory',
      message: 'large needs 537 MB in one buffer (layer 0 gateUp), the graphics card offers 135 MB. Choose a smaller model.',
    })
    await expect(createWebGpuRunner(gqa4, { device, blocks: 100_000 })).rejects.toThrow('Set aside fewer KV blocks than 100000')
    expect(made.get('createBuffer')).toBeUndefined()
    device.destroy()
  })

  test('memory the driver does not give is named, and what was given is returned', async () => {
    const { device, real } = await countingDevice()
    const destroyed = vi.spyOn(GPUBuffer.prototype, 'destroy')
    const stingy = new Proxy(device, {
      get: (target, key) => (key === 'popErrorScope' ? () => real.popErrorScope().then(() => new GPUOutOfMemoryError('no room')) : Reflect.get(target, key) as unknown),
    })
    await expect(createWebGpuRunner(gqa4, { device: stingy })).rejects.toMatchObject({ code: 'out-of-memory', message: expect.stringMatching(/^toy-gqa4 needs \d+ MB of graphics memory.*no room/) as string })
    expect(destroyed.mock.calls.length).toBeGreaterThan(20)
    destroyed.mockRestore()
    device.destroy()
  })

  test('a shape the kernels cannot hold is refused in words', async () => {
    const odd: Model = { ...gqa4, config: { ...gqa4.config, headDim: 18 } }
    await expect(createWebGpuRunner(odd)).rejects.toMatchObject({ code: 'unsupported', message: expect.stringContaining('head dimension of 18') as string })
  })

  test('no WebGPU, no adapter, a request that throws: each a sentence', async () => {
    const nothing = { requestAdapter: () => Promise.resolve(null) } as unknown as GPU
    expect(await probeWebGpu(nothing)).toEqual({ reason: expect.stringContaining('offers no adapter') as string })
    const broken = { requestAdapter: () => Promise.reject(new Error('driver crashed')) } as unknown as GPU
    expect(await probeWebGpu(broken)).toEqual({ reason: expect.stringContaining('driver crashed') as string })
    await expect(createWebGpuRunner(gqa4, { gpu: nothing })).rejects.toMatchObject({ code: 'unsupported' })
    vi.stubGlobal('navigator', {})
    expect(await probeWebGpu()).toEqual({ reason: 'This browser has no WebGPU (navigator.gpu is absent).' })
  })
})

test('the probe of this device reads, multiplies and returns what it did', async () => {
  const { software } = await probe()
  const roofs = await createWebGpuProbe()
  await expect(roofs.readPass()).rejects.toThrow('prepare() first')
  for (const bytes of roofs.sizes.slice(0, 2)) {
    await roofs.prepare(bytes)
    expect((await roofs.readPass()) % bytes).toBe(0)
  }
  expect(await roofs.matmulPass()).toBe(software ? 2 * 64 * 512 * 512 : 8 * 2 * 1024 ** 3)
  await roofs.emptyPass()
  roofs.dispose()
})

async function probe() {
  const found = await probeWebGpu()
  if ('reason' in found) throw new Error(found.reason)
  return found
}

/** A device that counts what is created on it. */
async function countingDevice(descriptor?: GPUDeviceDescriptor): Promise<{ device: GPUDevice; real: GPUDevice; made: Map<string, number> }> {
  const real = await (await probe()).adapter.requestDevice(descriptor)
  const made = new Map<string, number>()
  const device = new Proxy(real, {
    get(target, key) {
      const value = Reflect.get(target, key, target) as unknown
      if (typeof value !== 'function') return value
      return (...args: unknown[]) => {
        if (String(key).startsWith('create')) made.set(String(key), (made.get(String(key)) ?? 0) + 1)
        return (value as (...a: unknown[]) => unknown).apply(target, args)
      }
    },
  })
  return { device, real, made }
}

/** How far u lies from the nearest boundary between two tokens, as a share of the whole. */
function boundaryDistance(row: Float32Array, position: number, { temperature, seed }: { temperature: number; seed: number }): number {
  const weights = [...row].map((v) => Math.exp(v / temperature))
  const sum = weights.reduce((a, b) => a + b)
  let at = 0
  return weights.reduce((nearest, w) => Math.min(nearest, Math.abs(uniform(seed, position) - (at += w / sum))), 1)
}
