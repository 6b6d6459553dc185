import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { ModelConfig } from '$engine/model/config'
import { materialize } from '$engine/model/synthetic'
import type { Model, Weights } from '$engine/model/weights'
import { createReferenceRunner } from '$engine/runner/reference'
import type { KvPrecision, RunnerOptions, SequenceChunk, StepBatch, StepResult, WeightPrecision } from '$engine/runner/runner'
import { createWasmRunner, type WasmRunnerOptions } from '$engine/runner/wasm'
import { pickVariant } from '$engine/runner/wasm/features'
import { f32s, difference } from '../support/plain-kernels'

const base: ModelConfig = { layers: 2, hidden: 48, heads: 4, kvHeads: 2, headDim: 12, ffn: 100, vocabSize: 75, rmsNormEps: 1e-5, ropeTheta: 1e4, maxPositions: 64, tied: true, eos: [] }
const weightPrecisions: WeightPrecision[] = [
  { format: 'f32' }, { format: 'f16' }, { format: 'int8' }, { format: 'int8', group: 32 }, { format: 'int4', group: 32 }, { format: 'int4' }, { format: 'int4', group: 128 },
  { format: 'int4', asymmetric: true, group: 32 }, { format: 'int4', asymmetric: true, group: 128 },
]
const kvPrecisions: KvPrecision[] = ['f32', 'f16', 'int8']
const shape = fc.record({
  layers: fc.integer({ min: 1, max: 2 }), hidden: fc.integer({ min: 7, max: 150 }), kvHeads: fc.integer({ min: 1, max: 3 }), group: fc.integer({ min: 1, max: 5 }),
  half: fc.integer({ min: 1, max: 20 }), ffn: fc.integer({ min: 1, max: 150 }), vocabSize: fc.integer({ min: 2, max: 90 }), tied: fc.boolean(), qkvBias: fc.boolean(),
})
const seed = fc.integer({ min: 1, max: 1000 })
const length = fc.integer({ min: 1, max: 60 })

/**
 * The reference computes with the same stored numbers in double precision. Inputs of 16 bits add 2⁻¹⁶ of a group's
 * largest; a key or value on the edge between two 8-bit codes may fall to either side, and costs a code.
 */
function tolerance(weights: WeightPrecision, kv: KvPrecision): number {
  return kv === 'int8' ? 0.06 : kv === 'f16' || weights.format.startsWith('int') ? 4e-3 : 1e-3
}

test.each(weightPrecisions)('weights in $format, groups of $group, asymmetric $asymmetric: the reference runner’s logits', async (weights) => {
  await fc.assert(fc.asyncProperty(shape, length, seed, fc.constantFrom(...kvPrecisions), async (s, length, seed, kv) => {
    const m = random(configOf(s), seed)
    const [ours, theirs] = await both(m, { wantLogits: true, allRows: true, chunks: [prompt(m, length, seed)] }, { weights, kv })
    expect(difference(ours.logits!, theirs.logits!)).toBeLessThan(tolerance(weights, kv))
  }), { numRuns: 15 })
})

test.each(kvPrecisions)('keys and values in %s: a tree has its branches’ bits, copies carry scales, threads change nothing', async (kv) => {
  const m = random(base, 3)
  const one = await createWasmRunner(m, { blocks: 16, threads: 1, kv })
  const more = await createWasmRunner(m, { blocks: 16, threads: 3, kv })
  for (const r of [one, more]) await r.run({ chunks: [prompt(m, 20, 1)] })
  const parents = Int32Array.of(-1, 0, 0, 2, 1, -1)
  const tree = { ...prompt(m, 6, 2), start: 20, parents, sampleRows: true }
  const nodes = await one.run({ wantLogits: true, chunks: [tree] })
  expect((await more.run({ wantLogits: true, chunks: [tree] })).logits).toEqual(nodes.logits)
  const branch = [0, 2, 3]
  const chain = { ...tree, blockTable: Int32Array.of(4, 5, 6, 7), start: 0, parents: undefined, sampleRows: false, tokens: Int32Array.from([...prompt(m, 20, 1).tokens, ...branch.map((r) => tree.tokens[r]!)]) }
  expect((await one.run({ wantLogits: true, chunks: [chain] })).logits).toEqual(nodes.logits!.subarray(3 * 75, 4 * 75))
  const slot = (p: number) => tree.blockTable[p >> 4]! * 16 + (p & 15)
  const next = (chunk: SequenceChunk) => ({ ...chunk, start: 23, tokens: Int32Array.of(9), parents: undefined, sampleRows: false })
  const closed = await one.run({ wantLogits: true, copies: branch.map((r, d) => ({ from: slot(20 + r), to: slot(20 + d) })), chunks: [next(tree)] })
  expect(closed.logits).toEqual((await one.run({ wantLogits: true, chunks: [next(chain)] })).logits)
  more.dispose()
})

test('a batch of any size gives the bits of single rows, wherever tiles begin', async () => {
  const m = random({ ...base, hidden: 70, ffn: 130 }, 5)
  for (const variant of pickVariant() === 'relaxed' ? (['relaxed', 'simd'] as const) : (['simd'] as const)) {
    for (const weights of weightPrecisions) {
      const open = (at: number) => createWasmRunner(m, { blocks: 16, threads: 1, variant, weights, switchOver: { 0: at, 1: at, 2: at, 3: at, 4: at } })
      const [never, always] = [await open(1000), await open(1)]
      const batch: StepBatch = { wantLogits: true, allRows: true, chunks: [prompt(m, 47, 1)] }
      const single = (await never.run(batch)).logits
      expect((await always.run(batch)).logits, JSON.stringify(weights)).toEqual(single)
      expect((await (await open(5)).run(batch)).logits).toEqual(single)
    }
  }
})

test('int8 and f16 stay close to f32 on the same weights, int4 closer with smaller groups', async () => {
  const m = random({ ...base, hidden: 128, ffn: 256 }, 8)
  const batch: StepBatch = { wantLogits: true, allRows: true, chunks: [prompt(m, 40, 3)] }
  const logits = async (weights: WeightPrecision) => (await (await createWasmRunner(m, { blocks: 16, threads: 1, weights })).run(batch)).logits!
  const exact = await logits({ format: 'f32' })
  const off = async (weights: WeightPrecision) => rms(await logits(weights), exact)
  expect(await off({ format: 'f16' })).toBeLessThan(2e-3)
  expect(await off({ format: 'int8' })).toBeLessThan(0.05)
  const [fine, coarse] = [await off({ format: 'int4', group: 32 }), await off({ format: 'int4', group: 128 })]
  expect(fine).toBeLessThan(coarse)
  expect(fine).toBeGreaterThan(0.02) // four bits are not nothing
})

test('bytes a weight and a key are told as stored', async () => {
  const widths = async (options: RunnerOptions) => (await createWasmRunner(random(base, 1), { blocks: 2, threads: 1, ...options })).widths
  expect(await widths({})).toEqual({ weight: 4, kv: 4 })
  expect(await widths({ weights: { format: 'f16' }, kv: 'f16' })).toEqual({ weight: 2, kv: 2 })
  expect(await widths({ weights: { format: 'int8' }, kv: 'int8' })).toEqual({ weight: 1 + 2 / 64, kv: 1 + 4 / 12 })
  expect(await widths({ weights: { format: 'int4', group: 32, asymmetric: true } })).toEqual({ weight: 0.5 + 4 / 32, kv: 4 })
})

describe('mixtures', () => {
  const mixture: ModelConfig = { ...base, experts: 5, expertsPerToken: 2 }

  test('any number of experts: the reference runner’s logits, routes and count of experts touched', async () => {
    const experts = fc.integer({ min: 2, max: 9 }).chain((experts) => fc.tuple(fc.constant(experts), fc.integer({ min: 1, max: experts }), fc.integer({ min: 1, max: experts })))
    await fc.assert(fc.asyncProperty(shape, experts, length, seed, async (s, [experts, expertsPerToken, asked], length, seed) => {
      const m = random({ ...configOf(s), experts, expertsPerToken }, seed)
      const [ours, theirs] = await both(m, { wantLogits: true, allRows: true, wantExperts: true, expertsPerToken: asked, chunks: [prompt(m, length, seed)] })
      expect(difference(ours.logits!, theirs.logits!)).toBeLessThan(1e-3)
      expect(ours.experts).toEqual(theirs.experts)
      expect(ours.expertsTouched).toBe(theirs.expertsTouched)
    }), { numRuns: 15 })
  })

  test.each(weightPrecisions)('experts in $format, groups of $group, asymmetric $asymmetric; rows have the bits they have alone', async (weights) => {
    const m = random(mixture, 21)
    const whole: StepBatch = { wantLogits: true, allRows: true, wantExperts: true, chunks: [prompt(m, 30, 4)] }
    const [ours, theirs] = await both(m, whole, { weights })
    expect(ours.experts).toEqual(theirs.experts)
    expect(difference(ours.logits!, theirs.logits!)).toBeLessThan(tolerance(weights, 'f32'))
    const runner = await createWasmRunner(m, { blocks: 8, threads: 2, weights })
    const parts: number[] = []
    let touched = 0
    for (let t = 0; t < 30; t++) {
      const one = await runner.run({ wantLogits: true, chunks: [{ ...whole.chunks[0]!, start: t, tokens: whole.chunks[0]!.tokens.subarray(t, t + 1) }] })
      parts.push(...one.logits!)
      touched += one.expertsTouched!
    }
    expect(Float32Array.from(parts)).toEqual(ours.logits)
    expect(touched).toBe(30 * mixture.layers * 2)
    expect(ours.expertsTouched).toBeLessThanOrEqual(mixture.layers * 5)
    runner.dispose()
  })

  test('chained steps count every step’s experts; a dense model has none to tell of', async () => {
    const m = random(mixture, 2)
    const runner = await createWasmRunner(m, { blocks: 8, threads: 1 })
    await runner.run({ chunks: [prompt(m, 5, 1)] })
    const chained = await runner.run({ steps: 3, wantExperts: true, chunks: [{ ...prompt(m, 1, 1), start: 5, tokens: Int32Array.of(-1) }] })
    expect(chained.expertsTouched).toBe(3 * mixture.layers * 2)
    expect(chained.experts!.length).toBe(3 * mixture.layers * 2)
    const dense = random(base, 2)
    const result = await (await createWasmRunner(dense, { blocks: 8, threads: 1 })).run({ wantExperts: true, chunks: [prompt(dense, 5, 1)] })
    expect([result.expertsTouched, result.experts]).toEqual([undefined, undefined])
  })
})

test('a synthetic mixture in 4 bits runs from its seed alone, as its materialized weights do', async () => {
  const c: ModelConfig = { ...base, experts: 3, expertsPerToken: 2, qkvBias: true, tied: false }
  const batch: StepBatch = { wantLogits: true, chunks: [{ request: 0, start: 0, tokens: Int32Array.of(1, 2, 3), blockTable: Int32Array.of(0), sample: true }] }
  for (const weights of [{ format: 'int4' }, { format: 'f32' }] as const) {
    const run = async (source: Model['source']) => (await (await createWasmRunner({ name: 'x', config: c, source, trainedContext: 0 }, { blocks: 2, threads: 1, weights })).run(batch)).logits
    expect(await run({ kind: 'synthetic', seed: 7 })).toEqual(await run({ kind: 'tensors', weights: materialize(c, 7) }))
  }
})

type Shape = typeof shape extends fc.Arbitrary<infer T> ? T : never

function configOf({ group, half, ...rest }: Shape): ModelConfig {
  return { ...base, ...rest, heads: rest.kvHeads * group, headDim: 2 * half }
}

/** A model with random weights, biases and norms included. */
function random(config: ModelConfig, seed: number): Model {
  const weights: Weights = materialize(config, seed)
  for (const [l, layer] of weights.layers.entries()) {
    for (const [i, name] of (['qBias', 'kBias', 'vBias'] as const).entries()) if (layer[name]) layer[name] = f32s(layer[name].length, seed + 7 * l + i)
    layer.ffnNorm = f32s(config.hidden, seed + 70 + l).map((x) => 1 + x / 4)
  }
  return { name: 'toy', config, source: { kind: 'tensors', weights }, trainedContext: 0 }
}

function prompt({ config }: Model, length: number, seed: number): SequenceChunk {
  const tokens = Int32Array.from({ length }, (_, i) => (i * 31 + seed * 17 + ((i * i) >> 2)) % config.vocabSize)
  return { request: 1, tokens, start: 0, blockTable: Int32Array.of(2, 0, 3, 1), sample: true }
}

async function both(m: Model, batch: StepBatch, options: WasmRunnerOptions = {}): Promise<[StepResult, StepResult]> {
  const ours = await createWasmRunner(m, { blocks: 8, threads: 1, ...options })
  const theirs = createReferenceRunner(m, { blocks: 8, ...options })
  return [await ours.run(batch), await theirs.run(batch)]
}

function rms(a: Float32Array, b: Float32Array): number {
  return Math.sqrt(a.reduce((sum, x, i) => sum + (x - b[i]!) ** 2, 0) / a.length)
}
