import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import type { ModelConfig } from '$engine/model/config'
import { materialize } from '$engine/model/synthetic'
import type { Model } from '$engine/model/weights'
import { BLOCK_SIZE, type Runner, type SequenceChunk, type StepBatch } from '$engine/runner/runner'
import { sampleRow } from '$engine/runner/sampling'
import { createWasmRunner } from '$engine/runner/wasm'

/** Long enough for several splits of attention (256 positions each), small enough to run in milliseconds. */
const config: ModelConfig = { layers: 2, hidden: 48, heads: 6, kvHeads: 2, headDim: 12, ffn: 100, vocabSize: 75, rmsNormEps: 1e-5, ropeTheta: 1e4, maxPositions: 1200, tied: true, eos: [] }
const model: Model = { name: 'toy', config, source: { kind: 'tensors', weights: materialize(config, 4) }, trainedContext: 0 }
const BLOCKS = 1600
const open = (threads: number) => createWasmRunner(model, { blocks: BLOCKS, tokens: 512, threads })
const runners = new Map(await Promise.all([1, 2, 3].map(async (threads) => [threads, await open(threads)] as const)))
afterAll(() => runners.forEach((runner) => runner.dispose()))
const one = runners.get(1)!

describe('a batch gives each sequence the very bits it gets alone', () => {
  const lengths = Array.from({ length: 64 }, (_, i) => [3, 17, 40, 255, 256, 257, 530, 800][i % 8]! + (i >> 3))

  test.each([1, 2, 3])('64 decodes at contexts from 3 to 807, %i threads', async (threads) => {
    const runner = runners.get(threads)!
    const sequences = await fill(runner, lengths)
    const alone: Float32Array[] = []
    for (const chunk of sequences) alone.push((await one.run({ wantLogits: true, chunks: [chunk] })).logits!)
    const together = await runner.run({ wantLogits: true, chunks: sequences })
    for (const [i, expected] of alone.entries()) {
      expect(row(together.logits!, i), `sequence ${i}`).toEqual(expected)
      expect(together.tokens[i]).toBe(sampleRow(expected, 0))
    }
  })

  test('decodes, prefill chunks and a lone long sequence, on threads that split its context among them', async () => {
    const runner = runners.get(3)!
    const chunks = await fill(runner, [900, 4, 300])
    const prompt = { ...chunks[1]!, request: 9, tokens: ids(120, 5), start: 0, blockTable: table(1500, 8) }
    const long = [chunks[0]!]
    expect((await runner.run({ wantLogits: true, chunks: long })).logits).toEqual((await one.run({ wantLogits: true, chunks: long })).logits)
    const mixed = { wantLogits: true, chunks: [chunks[2]!, prompt, chunks[0]!, chunks[1]!] }
    const parts: number[] = []
    for (const chunk of mixed.chunks) parts.push(...(await one.run({ wantLogits: true, chunks: [chunk] })).logits!)
    expect((await runner.run(mixed)).logits).toEqual(Float32Array.from(parts))
  })

  test('a prompt of 700 in one chunk and in many gives the same bits', async () => {
    const wide = await createWasmRunner(model, { blocks: 64, tokens: 700, threads: 1 })
    const prompt = ids(700, 2)
    const whole = await wide.run({ wantLogits: true, allRows: true, chunks: [{ ...decode(0, 0, table(1, 48)), tokens: prompt }] })
    const parts: number[] = []
    for (let from = 0, n = 1; from < 700; from += n, n = Math.min(2 * n + 1, 700 - from, 400)) {
      const chunk = { ...decode(0, from, table(1, 48)), tokens: prompt.subarray(from, from + n) }
      parts.push(...(await one.run({ wantLogits: true, allRows: true, chunks: [chunk] })).logits!)
    }
    expect(Float32Array.from(parts)).toEqual(whole.logits)
    wide.dispose()
  })
})

describe('trees', () => {
  const start = fc.constantFrom(1, 5, 15, 16, 17, 40, 250, 255, 256)
  const parents = fc.array(fc.double({ min: 0, max: 0.999, noNaN: true }), { minLength: 1, maxLength: 24 })
    .map((draws) => Int32Array.from(draws, (x, t) => Math.floor(x * (t + 1)) - 1))

  test('every node of any tree has the bits that its branch has as a plain chain', async () => {
    await fc.assert(fc.asyncProperty(start, parents, fc.constantFrom(1, 3), async (start, parents, threads) => {
      const runner = runners.get(threads)!
      const prefix = ids(start, 3)
      await runner.run({ chunks: [{ ...decode(1, 0, table(0, 24)), tokens: prefix }] })
      const draft = ids(parents.length, 8)
      const tree: SequenceChunk = { ...decode(1, start, table(0, 24)), tokens: draft, parents, sampleRows: true }
      const { logits, rowTokens, tokens } = await runner.run({ wantLogits: true, chunks: [tree] })
      for (let t = 0; t < parents.length; t++) {
        const branch = path(parents, t)
        const chain = { ...decode(2, 0, table(100, 24)), tokens: Int32Array.from([...prefix, ...branch.map((r) => draft[r]!)]) }
        const plain = await one.run({ wantLogits: true, chunks: [chain] })
        expect(row(logits!, t), `node ${t}`).toEqual(plain.logits)
        expect(rowTokens![t]).toBe(plain.tokens[0])
      }
      expect(tokens[0]).toBe(rowTokens!.at(-1))
    }), { numRuns: 25 })
  })

  test('an accepted branch closes up by copies, and decoding goes on with the bits of plain decoding', async () => {
    await fc.assert(fc.asyncProperty(start, parents, async (start, parents) => {
      const prefix = ids(start, 6)
      const draft = ids(parents.length, 7)
      await one.run({ chunks: [{ ...decode(1, 0, table(0, 24)), tokens: prefix }] })
      await one.run({ chunks: [{ ...decode(1, start, table(0, 24)), tokens: draft, parents, sampleRows: true }] })
      const branch = path(parents, parents.length - 1)
      const slot = (position: number) => table(0, 24)[position >> 4]! * BLOCK_SIZE + (position & 15)
      const copies = branch.map((r, depth) => ({ from: slot(start + r), to: slot(start + depth) }))
      const next = { ...decode(1, start + branch.length, table(0, 24)), tokens: Int32Array.of(11) }
      const after = await one.run({ wantLogits: true, copies, chunks: [next] })
      const plain = { ...decode(2, 0, table(100, 24)), tokens: Int32Array.from([...prefix, ...branch.map((r) => draft[r]!), 11]) }
      expect(after.logits).toEqual((await one.run({ wantLogits: true, chunks: [plain] })).logits)
    }), { numRuns: 20 })
  })

  test('rows are sampled each at its own depth; other chunks are not listed', async () => {
    const sampling = { temperature: 0.9, seed: 5 }
    const parents = Int32Array.of(-1, 0, 0, 1, -1)
    const tree = { ...decode(1, 20, table(0, 4)), tokens: ids(5, 4), parents, sampleRows: true, sampling }
    await one.run({ chunks: [{ ...decode(1, 0, table(0, 4)), tokens: ids(20, 1) }] })
    const other = { ...decode(2, 0, table(10, 4)), tokens: ids(9, 2) }
    const result = await one.run({ wantLogits: true, chunks: [other, { ...tree, sample: false }] })
    expect(result.logits!.length).toBe(6 * config.vocabSize)
    expect([...result.rowTokens!]).toEqual([0, 1, 1, 2, 0].map((depth, t) => sampleRow(row(result.logits!, t + 1), 21 + depth, sampling)))
    expect([...result.tokens]).toEqual([sampleRow(row(result.logits!, 0), 9), -1])
    expect((await one.run({ chunks: [other] })).rowTokens).toBeUndefined()
  })
})

test('copies go through in order, in every layer: a shared block copied on write leaves the sharer as it was', async () => {
  const prompt = ids(30, 9)
  await one.run({ chunks: [{ ...decode(1, 0, table(0, 3)), tokens: prompt }] })
  const mine = { ...decode(1, 30, table(0, 3)), tokens: Int32Array.of(7) }
  const expected = await one.run({ wantLogits: true, chunks: [mine] })
  const other = Int32Array.of(table(0, 3)[0]!, 77, 78) // its second block a copy, by way of block 76
  const copies = [76, 77].flatMap((to, i) => Array.from({ length: 14 }, (_, at) => ({ from: (i ? 76 : table(0, 3)[1]!) * 16 + at, to: to * 16 + at })))
  const theirs = await one.run({ wantLogits: true, copies, chunks: [{ ...mine, request: 2, blockTable: other }] })
  expect(theirs.logits).toEqual(expected.logits)
  await one.run({ chunks: [{ ...mine, request: 2, blockTable: other, tokens: Int32Array.of(60) }] })
  expect((await one.run({ wantLogits: true, chunks: [{ ...mine, tokens: Int32Array.of(8), start: 31 }] })).logits)
    .toEqual((await (async (): Promise<Float32Array> => {
      const chunk = { ...decode(3, 0, table(200, 3)), tokens: Int32Array.from([...prompt, 7, 8]) }
      return (await one.run({ wantLogits: true, chunks: [chunk] })).logits!
    })()))
  const many: StepBatch['copies'] = Array.from({ length: 3000 }, (_, i) => ({ from: 300 * 16 + i, to: 300 * 16 + i + 1 }))
  await one.run({ chunks: [{ ...decode(4, 0, Int32Array.of(300)), tokens: Int32Array.of(1) }] })
  await one.run({ copies: many, chunks: [{ ...decode(5, 0, Int32Array.of(299)), tokens: Int32Array.of(1) }] })
  const copied = { ...decode(4, 1, Int32Array.of(487)), tokens: Int32Array.of(2) } // slot 487 · 16 is one of the 3,000
  const original = { ...decode(4, 1, Int32Array.of(299)), tokens: Int32Array.of(2) }
  expect((await one.run({ wantLogits: true, chunks: [copied] })).logits).toEqual((await one.run({ wantLogits: true, chunks: [original] })).logits)
  expect(() => one.run({ copies: [{ from: 0, to: BLOCKS * 16 }], chunks: [copied] })).toThrow('leaves the pool')
})

/** Prompts of these lengths put into the caches of `runner` and of the single-threaded one; returns the decodes that follow. */
async function fill(runner: Runner, lengths: readonly number[]): Promise<SequenceChunk[]> {
  const chunks: SequenceChunk[] = []
  let block = 0
  for (const [i, length] of lengths.entries()) {
    const blockTable = table(block, Math.ceil((length + 1) / BLOCK_SIZE) + 1)
    block += blockTable.length
    chunks.push(decode(i, length, blockTable))
  }
  for (const r of new Set([runner, one])) {
    for (const chunk of chunks) {
      const prompt = ids(chunk.start, chunk.request)
      for (let from = 0; from < prompt.length; from += 512) await r.run({ chunks: [{ ...chunk, start: from, tokens: prompt.subarray(from, from + 512), sample: false }] })
    }
  }
  return chunks
}

function decode(request: number, start: number, blockTable: Int32Array): SequenceChunk {
  return { request, start, tokens: Int32Array.of((request * 7 + 3) % config.vocabSize), blockTable, sample: true }
}

/** `count` blocks from `first` on, last to first. */
function table(first: number, count: number): Int32Array {
  return Int32Array.from({ length: count }, (_, b) => first + count - 1 - b)
}

function ids(count: number, seed: number): Int32Array {
  return Int32Array.from({ length: count }, (_, i) => (i * 31 + seed * 17 + ((i * i) >> 2)) % config.vocabSize)
}

/** Rows from the root of node t's branch down to it. */
function path(parents: Int32Array, t: number): number[] {
  return t < 0 ? [] : [...path(parents, parents[t]!), t]
}

function row(logits: Float32Array, i: number): Float32Array {
  return logits.subarray(i * config.vocabSize, (i + 1) * config.vocabSize)
}
