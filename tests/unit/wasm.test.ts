import fc from 'fast-check'
import { describe, expect, test, vi } from 'vitest'
import type { ModelConfig } from '$engine/model/config'
import { materialize, timingModel } from '$engine/model/synthetic'
import type { Model } from '$engine/model/weights'
import { createReferenceRunner } from '$engine/runner/reference'
import { BLOCK_SIZE, RunnerError, type Runner, type SequenceChunk, type StepBatch } from '$engine/runner/runner'
import { sampleRow } from '$engine/runner/sampling'
import { pickVariant } from '$engine/runner/wasm/features'
import { createWasmRunner } from '$engine/runner/wasm'
import { DONE, FAILED, TICKET } from '$engine/runner/wasm/jobs'
import { wasmBytes } from '$engine/runner/wasm/source'
import { gatherTeam } from '$engine/runner/wasm/team'
import { difference } from '../support/plain-kernels'
import { fixture, floats, shipped, type Greedy, type Logits } from './fixtures'

const variants = pickVariant() === 'relaxed' ? (['relaxed', 'simd'] as const) : (['simd'] as const)
const config: ModelConfig = { layers: 2, hidden: 48, heads: 6, kvHeads: 2, headDim: 12, ffn: 100, vocabSize: 75, rmsNormEps: 1e-5, ropeTheta: 1e4, maxPositions: 300, tied: true, eos: [] }
const toy = model(config, 4)
const pool = { blocks: 40, tokens: 400 }

describe.each(variants)('%s', (variant) => {
  const logits = fixture<Record<string, Logits[]>>('logits.json')
  const greedy = fixture<Record<string, Greedy[]>>('greedy.json')

  test.skipIf(!logits)('logits are within 1e-3 of PyTorch’s', async () => {
    for (const [name, cases] of Object.entries(logits!)) {
      const runner = await createWasmRunner((await shipped(name)).model, { blocks: 64, tokens: 1024, threads: 1, variant })
      for (const c of cases) {
        const result = await runner.run({ wantLogits: true, chunks: [chunk(0, Int32Array.from(c.prompt_ids), 0, Int32Array.from({ length: 64 }, (_, i) => 63 - i))] })
        expect(difference(result.logits!, floats(c.logits)), name).toBeLessThan(1e-3)
      }
      runner.dispose()
    }
  })

  test.skipIf(!greedy)('greedy tokens equal PyTorch’s, all models, all prompts', async () => {
    for (const [name, cases] of Object.entries(greedy!)) {
      expect(cases.length).toBeGreaterThanOrEqual(20)
      const runner = await createWasmRunner((await shipped(name)).model, { blocks: 64, threads: 1, variant })
      for (const c of cases) expect(await generate(runner, Int32Array.from(c.prompt_ids), c.tokens.length), `${name}: ${c.prompt}`).toEqual(c.tokens)
      runner.dispose()
    }
  })

  test('models of any shape give the reference runner’s logits, row by row', async () => {
    const shapes = fc.record({
      layers: fc.integer({ min: 1, max: 3 }), hidden: fc.integer({ min: 7, max: 70 }), kvHeads: fc.integer({ min: 1, max: 3 }), group: fc.integer({ min: 1, max: 5 }),
      half: fc.integer({ min: 1, max: 20 }), ffn: fc.integer({ min: 1, max: 90 }), vocabSize: fc.integer({ min: 2, max: 90 }), tied: fc.boolean(),
    })
    await fc.assert(fc.asyncProperty(shapes, fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 1000 }), async ({ group, half, ...rest }, length, seed) => {
      const c: ModelConfig = { ...config, ...rest, heads: rest.kvHeads * group, headDim: 2 * half, maxPositions: 64 }
      const m = model(c, seed)
      const batch = { wantLogits: true, allRows: true, chunks: [chunk(1, ids(length, c, seed), 0, Int32Array.of(2, 0, 3, 1))] }
      const ours = await createWasmRunner(m, { blocks: 4, threads: 1, variant })
      const theirs = createReferenceRunner(m, { blocks: 4 })
      expect(difference((await ours.run(batch)).logits!, (await theirs.run(batch)).logits!)).toBeLessThan(1e-3) // double precision on the other side
    }), { numRuns: 25 })
  })

  test('a ragged batch of prefill chunks and decodes gives each sequence the very bits it gets alone', async () => {
    const runner = await createWasmRunner(toy, { ...pool, threads: 1, variant })
    const lengths = [1, 37, 2, 130, 64, 5, 16, 33]
    const sequences = lengths.map((n, i) => ({ tokens: ids(n + 1, config, i + 1), table: Int32Array.from({ length: 9 }, (_, b) => (i * 9 + b * 7) % 40) }))
    const alone: Float32Array[] = []
    for (const { tokens, table } of sequences) {
      const last = tokens.length - 1
      await runner.run({ chunks: [chunk(0, tokens.subarray(0, last), 0, table)] })
      const decode = await runner.run({ wantLogits: true, chunks: [chunk(0, tokens.subarray(last), last, table)] })
      const prefill = await runner.run({ wantLogits: true, chunks: [chunk(0, tokens, 0, table)] })
      expect(decode.logits, `${last} tokens, then one`).toEqual(prefill.logits)
      alone.push(prefill.logits!)
    }
    // Together: every other one is a decode on a cache filled before, the rest are whole prompts. Blocks of their own now.
    const big = await createWasmRunner(toy, { blocks: 80, tokens: 400, threads: 1, variant })
    const chunks: SequenceChunk[] = []
    for (const [i, { tokens }] of sequences.entries()) {
      const table = Int32Array.from({ length: 9 }, (_, b) => i * 9 + b)
      const last = tokens.length - 1
      if (i % 2) chunks.push(chunk(i, tokens, 0, table))
      else {
        await big.run({ chunks: [chunk(i, tokens.subarray(0, last), 0, table)] })
        chunks.push(chunk(i, tokens.subarray(last), last, table))
      }
    }
    const together = await big.run({ wantLogits: true, chunks })
    for (const [i, expected] of alone.entries()) {
      expect(together.logits!.subarray(i * config.vocabSize, (i + 1) * config.vocabSize), `sequence ${i}`).toEqual(expected)
      expect(together.tokens[i]).toBe(sampleRow(expected, 0))
    }
  })

  test('a prompt cut into chunks, in shuffled blocks, gives the very bits of the whole in a row', async () => {
    const runner = await createWasmRunner(toy, { ...pool, threads: 1, variant })
    const tokens = ids(200, config, 9)
    const whole = (await runner.run({ wantLogits: true, allRows: true, chunks: [chunk(0, tokens, 0, Int32Array.from({ length: 13 }, (_, b) => b))] })).logits!
    const shuffled = Int32Array.from({ length: 13 }, (_, b) => 39 - ((b * 7) % 13))
    const parts: number[] = []
    for (let from = 0, n = 1; from < tokens.length; from += n, n = Math.min(2 * n + 1, tokens.length - from)) {
      parts.push(...(await runner.run({ wantLogits: true, allRows: true, chunks: [chunk(1, tokens.subarray(from, from + n), from, shuffled)] })).logits!)
    }
    expect(Float32Array.from(parts)).toEqual(whole)
  })

  test.each([2, 3])('%i threads give the very bits of one', async (threads) => {
    const m = model({ ...config, hidden: 96, ffn: 300, vocabSize: 500 }, 6)
    const one = await createWasmRunner(m, { ...pool, threads: 1, variant })
    const more = await createWasmRunner(m, { ...pool, threads, variant })
    expect(more.device).toMatchObject({ threads, name: expect.stringContaining(`${threads} threads`) as string })
    const table = Int32Array.from({ length: 13 }, (_, b) => b * 3)
    const prefill = { wantLogits: true, allRows: true, chunks: [chunk(0, ids(150, m.config, 2), 0, table)] }
    expect((await more.run(prefill)).logits).toEqual((await one.run(prefill)).logits)
    for (let i = 0; i < 40; i++) {
      const decode = { wantLogits: true, chunks: [chunk(0, Int32Array.of(-1), 150 + i, table)] }
      expect((await more.run(decode)).logits).toEqual((await one.run(decode)).logits)
    }
    more.dispose()
  })
})

test('chained decodes, −1 and sampling: the tokens of single steps and of sampleRow', async () => {
  const sampling = { temperature: 0.9, seed: 77 }
  const table = Int32Array.from({ length: 4 }, (_, b) => 9 - b)
  const first = { chunks: [{ ...chunk(0, ids(20, config, 1), 0, table), sampling }, chunk(5, ids(9, config, 2), 0, Int32Array.of(20, 21))] }
  const chained = await createWasmRunner(toy, { ...pool, threads: 1 })
  await chained.run(first)
  const next = [{ ...chunk(0, Int32Array.of(-1), 20, table), sampling }, chunk(5, Int32Array.of(-1), 9, Int32Array.of(20, 21))]
  const seven = (await chained.run({ chunks: next, steps: 7 })).tokens

  const single = await createWasmRunner(toy, { ...pool, threads: 1 })
  let last = [...(await single.run(first)).tokens]
  for (let s = 0; s < 7; s++) {
    const chunks = next.map((c, i) => ({ ...c, start: c.start + s, tokens: Int32Array.of(last[i]!) }))
    const { tokens, logits } = await single.run({ wantLogits: true, chunks })
    expect([...seven.subarray(2 * s, 2 * s + 2)]).toEqual([...tokens])
    expect(tokens[0]).toBe(sampleRow(logits!.subarray(0, 75), 21 + s, sampling))
    expect(tokens[1]).toBe(sampleRow(logits!.subarray(75), 10 + s))
    last = [...tokens]
  }
  expect(new Set(seven).size).toBeGreaterThan(3)
})

test('logits come back for the rows that were asked for, in order', async () => {
  const runner = await createWasmRunner(toy, { ...pool, threads: 1, sequences: 3 })
  const chunks = [chunk(0, ids(5, config, 1), 0, Int32Array.of(0)), { ...chunk(1, ids(7, config, 2), 0, Int32Array.of(1)), sample: false }, chunk(2, ids(2, config, 3), 0, Int32Array.of(2))]
  const all = await runner.run({ wantLogits: true, allRows: true, chunks })
  const sampled = await runner.run({ wantLogits: true, chunks })
  expect(all.logits!.length).toBe(14 * 75)
  expect(sampled.logits).toEqual(Float32Array.of(...all.logits!.subarray(4 * 75, 5 * 75), ...all.logits!.subarray(13 * 75)))
  expect([...all.tokens]).toEqual([sampleRow(all.logits!.subarray(4 * 75, 5 * 75), 5), -1, sampleRow(all.logits!.subarray(13 * 75), 2)])
  expect(all.tokens).toEqual(sampled.tokens)
  expect((await runner.run({ chunks })).logits).toBeUndefined()
})

test('the timing model runs from its seed alone, as its materialized weights do', async () => {
  const timing = timingModel(2e6)
  const small: Model = { ...timing, config: { ...timing.config, layers: 2, vocabSize: 64 } }
  const generated = await createWasmRunner(small, { ...pool, threads: 1 })
  const loaded = await createWasmRunner(model(small.config, 1), { ...pool, threads: 1 })
  const batch = { wantLogits: true, chunks: [chunk(0, ids(40, small.config, 3), 0, Int32Array.of(5, 1, 4))] }
  expect((await generated.run(batch)).logits).toEqual((await loaded.run(batch)).logits)
})

describe('bad luck', () => {
  const good = chunk(8, ids(30, config, 1), 0, Int32Array.of(3, 4))

  test('a bad batch names the chunk and the fault, and the runner goes on', async () => {
    const runner = await createWasmRunner(toy, { ...pool, threads: 1 })
    const before = await runner.run({ wantLogits: true, chunks: [good] })
    const bad = (batch: StepBatch, words: string) => {
      expect(() => runner.run(batch)).toThrow(RunnerError)
      expect(() => runner.run(batch)).toThrow(words)
    }
    bad({ chunks: [] }, 'the batch is empty')
    bad({ chunks: [{ ...good, blockTable: Int32Array.of(1, 40) }] }, 'chunk 0 (request 8): block 40')
    bad({ chunks: [good, { ...good, request: 4, tokens: Int32Array.of(75) }] }, 'chunk 1 (request 4): token 75')
    bad({ chunks: [{ ...good, request: 99, tokens: Int32Array.of(-1) }] }, 'request 99) asks for its last sampled token before it has one')
    await runner.run({ chunks: [good] })
    runner.release!(8)
    bad({ chunks: [{ ...good, tokens: Int32Array.of(-1) }] }, 'before it has one')
    expect((await runner.run({ wantLogits: true, chunks: [good] })).logits).toEqual(before.logits)
  })

  test('after dispose it says so', async () => {
    const runner = await createWasmRunner(toy, { ...pool, threads: 2 })
    await runner.run({ chunks: [good] })
    runner.dispose()
    runner.dispose()
    expect(() => runner.run({ chunks: [good] })).toThrow('disposed')
  })

  test('a model that does not fit says how much it needs', async () => {
    const big = timingModel(2e9)
    await expect(createWasmRunner(big, { threads: 1 })).rejects.toMatchObject({
      name: 'RunnerError', code: 'out-of-memory', message: expect.stringMatching(/^timing-\d+m with 1024 KV blocks needs \d{4,} MB, WebAssembly offers 4096 MB at most\. Take a smaller model/) as string,
    })
    const memory = vi.spyOn(WebAssembly, 'Memory').mockImplementation(function () {
      throw new RangeError('WebAssembly.Memory(): could not allocate memory')
    })
    await expect(createWasmRunner(toy, { threads: 1 })).rejects.toMatchObject({ code: 'out-of-memory', message: expect.stringMatching(/^toy with 1024 KV blocks needs \d+ MB, which this device did not give/) as string })
    memory.mockRestore()
  })

  test('a kernel that traps becomes a RunnerError', async () => {
    // Passes the check, then turns into blocks far outside of the memory.
    const blockTable = Object.assign(Int32Array.of(3, 4), { subarray: () => Int32Array.of(5_000_000, 5_000_000) })
    const runner = await createWasmRunner(toy, { ...pool, threads: 1 })
    const lying = { ...good, blockTable }
    expect(() => runner.run({ chunks: [lying] })).toThrow(RunnerError)
    expect(() => runner.run({ chunks: [lying] })).toThrow('The WebAssembly kernels trapped')
  })

  test('a helper thread that dies is found out, and every later job refused', async () => {
    const variant = pickVariant()
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true })
    const team = await gatherTeam(await WebAssembly.compile(wasmBytes(variant, true)), memory, 2)
    expect(team.lost).toBeUndefined()
    // A job whose kernel does not exist: whichever helper claims it traps.
    const words = new Int32Array(memory.buffer)
    words[384 / 4] = 99
    words[388 / 4] = 1
    words[392 / 4] = 1
    Atomics.store(new BigInt64Array(memory.buffer), TICKET / 8, 1n << 32n)
    Atomics.notify(words, TICKET / 4 + 1)
    await vi.waitUntil(() => team.lost !== undefined, { timeout: 20_000 })
    expect(Atomics.load(words, FAILED / 4)).toBe(1)
    expect(Atomics.load(words, DONE / 4)).toBe(0)
    expect(team.lost).toMatch(/unreachable/)
    team.dismiss()
  })
})

function model(c: ModelConfig, seed: number): Model {
  return { name: 'toy', config: c, source: { kind: 'tensors', weights: materialize(c, seed) }, trainedContext: 0 }
}

function ids(count: number, c: ModelConfig, seed: number): Int32Array {
  return Int32Array.from({ length: count }, (_, i) => (i * 31 + seed * 17 + ((i * i) >> 2)) % c.vocabSize)
}

function chunk(request: number, tokens: Int32Array, start: number, blockTable: Int32Array): SequenceChunk {
  return { request, tokens, start, blockTable, sample: true }
}

/** Greedy decoding through chained steps. */
async function generate(runner: Runner, prompt: Int32Array, count: number): Promise<number[]> {
  const blockTable = Int32Array.from({ length: Math.ceil((prompt.length + count) / BLOCK_SIZE) }, (_, b) => (b * 5 + 2) % 64)
  const out = [...(await runner.run({ chunks: [chunk(0, prompt, 0, blockTable)] })).tokens]
  while (out.length < count) {
    const steps = Math.min(runner.limits.chain, count - out.length)
    out.push(...(await runner.run({ steps, chunks: [chunk(0, Int32Array.of(-1), prompt.length + out.length - 1, blockTable)] })).tokens)
  }
  return out
}
