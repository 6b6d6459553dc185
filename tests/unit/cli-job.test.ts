import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { execute } from '$engine/cli/job'
import { folderReader } from '$engine/cli/place'
import { loadModel } from '$engine/model/load'
import { materialize } from '$engine/model/synthetic'
import { refusedPrecision } from '$engine/runner/create'
import { createReferenceRunner } from '$engine/runner/reference'
import type { Runner } from '$engine/runner/runner'
import { TINY, writeModelFolder } from '../support/model-folder'
import { fixture } from './fixtures'

let root = ''
beforeAll(() => void (root = mkdtempSync(join(tmpdir(), 'expressway-job-'))))
afterAll(() => rmSync(root, { recursive: true, force: true }))

function folder(name: string, options?: Parameters<typeof writeModelFolder>[1]): string {
  const path = join(root, name)
  writeModelFolder(path, options)
  return path
}

const bytes = (text: string) => Array.from(new TextEncoder().encode(text), (b) => 1 + b)

/** Logits of every position of `ids`, from one pass of the reference runner. */
async function logitsOf(path: string, ids: readonly number[]): Promise<Float32Array[]> {
  const { model } = await loadModel('tiny', folderReader(path))
  const runner = createReferenceRunner(model, { blocks: 16 })
  const { logits } = await runner.run({
    chunks: [{ request: 0, tokens: Int32Array.from(ids), start: 0, blockTable: Int32Array.from({ length: 16 }, (_, i) => i), sample: false }],
    wantLogits: true, allRows: true,
  })
  runner.dispose()
  return ids.map((_, i) => logits!.subarray(i * TINY.vocabSize, (i + 1) * TINY.vocabSize))
}

const nats = (row: Float32Array, id: number) => Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0)) - row[id]!

test('generate gives the greedy continuation, prompt ids and new ids apart', async () => {
  const path = folder('greedy')
  const result = await execute({ kind: 'generate', model: 'tiny', runner: 'reference', prompt: 'Once upon', maxTokens: 12 }, folderReader(path))
  expect(result.prompt_ids).toEqual(bytes('Once upon'))

  // Without cache, scheduler or serving loop: the whole text again for each token.
  const text = bytes('Once upon')
  for (let i = 0; i < 12 && text.at(-1) !== 0; i++) {
    const row = (await logitsOf(path, text)).at(-1)!
    text.push(row.indexOf(Math.max(...row)))
  }
  expect(result.token_ids).toEqual(text.slice(9))
  expect(result.target_steps).toBe(result.token_ids.length)
})

test('generate tells times that add up', async () => {
  const result = await execute({ kind: 'generate', model: 'tiny', runner: 'reference', prompt: 'A', maxTokens: 8, sampling: { temperature: 1, seed: 3 } }, folderReader(folder('times')))
  const n = result.token_ids.length
  expect(n).toBeGreaterThan(1)
  expect(result.ttft_ms).toBeGreaterThan(0)
  expect(result.ttft_ms + result.tpot_ms! * (n - 1)).toBeCloseTo(result.e2e_ms, 6)
  expect(result.dispatches).toBeUndefined()
})

test('the seed alone decides a sampled text', async () => {
  const read = folderReader(folder('seeds'))
  const ids = async (seed: number) => (await execute({ kind: 'generate', model: 'tiny', runner: 'reference', prompt: 'A', maxTokens: 16, sampling: { temperature: 1, seed } }, read)).token_ids
  expect(await ids(5)).toEqual(await ids(5))
  expect(await ids(5)).not.toEqual(await ids(6))
})

test('one token has no time per output token', async () => {
  const result = await execute({ kind: 'generate', model: 'tiny', runner: 'reference', prompt: 'A', maxTokens: 1 }, folderReader(folder('one')))
  expect(result).toMatchObject({ tpot_ms: null, target_steps: 1 })
})

test('past the trained context the times are all that counts, and the result says so', async () => {
  const read = folderReader(folder('short-sighted', { trainedContext: 16 }))
  const job = { kind: 'generate', model: 'tiny', runner: 'reference', prompt: 'ten bytes.' } as const
  expect((await execute({ ...job, maxTokens: 4 }, read)).timing_only).toBeUndefined()
  expect((await execute({ ...job, maxTokens: 12 }, read)).timing_only).toBe(true)
})

test.each([
  ['an empty prompt', '', 4, 'the prompt is empty'],
  ['a prompt longer than the context', 'x'.repeat(300), 4, 'the prompt has 300 tokens'],
  ['an output that does not fit behind the prompt', 'x'.repeat(250), 7, 'passes the 256 that the model holds'],
])('%s is refused before anything runs', async (_what, prompt, maxTokens, words) => {
  const job = execute({ kind: 'generate', model: 'tiny', runner: 'reference', prompt, maxTokens }, folderReader(folder('refused')))
  await expect(job).rejects.toThrow(words)
})

test('a model that knows nothing needs log2(vocabulary) bits for every byte-sized token', async () => {
  const weights = materialize(TINY, 7)
  weights.embed.fill(0) // tied: every logit is 0
  const text = 'Es war einmal ein König.'
  const result = await execute({ kind: 'score', model: 'tiny', runner: 'reference', text }, folderReader(folder('blank', { weights })))
  expect(result.tokens).toBe(new TextEncoder().encode(text).length)
  expect(result.bits_per_byte).toBeCloseTo(Math.log2(512), 5)
  expect(result.nll_per_token).toBeCloseTo(Math.log(512), 5)
})

test('score slides its window: each token once, with at least half a window before it', async () => {
  const path = folder('windows', { trainedContext: 32 })
  const text = 'The princess lost her golden ball in the deep, deep well, and nobody came to help her find it.'
  const result = await execute({ kind: 'score', model: 'tiny', runner: 'reference', text }, folderReader(path))
  expect(result).toMatchObject({ window: 32, stride: 16, tokens: text.length })

  const ids = [0, ...bytes(text)]
  let expected = 0
  for (let i = 1; i < ids.length; i++) {
    // The first window that holds the token: windows start at multiples of 16 and take 32 inputs.
    const start = Math.max(0, Math.ceil((i - 32) / 16) * 16)
    const rows = await logitsOf(path, ids.slice(start, i))
    expected += nats(rows.at(-1)!, ids[i]!)
  }
  expect(result.nll_per_token).toBeCloseTo(expected / text.length, 4)
})

test('score refuses a text without a token', async () => {
  await expect(execute({ kind: 'score', model: 'tiny', runner: 'reference', text: '' }, folderReader(folder('empty')))).rejects.toThrow('no token to predict')
})

interface ScoreFixture {
  text: string
  bytes: number
  models: Record<string, { tokens: number; nll_per_token: number; bits_per_byte: number }>
}

const scores = fixture<Record<string, ScoreFixture>>('score.json')
const cases = Object.entries(scores ?? {}).flatMap(([name, { text, models }]) => Object.entries(models).map(([model, expected]) => ({ name, text, model, expected })))

test.skipIf(cases.length === 0).each(cases.length ? cases : [undefined!])('$model scores $name as PyTorch does, by wasm', async ({ text, model, expected }) => {
  const folder = `assets/models/${model}`
  if (!existsSync(folder)) throw new Error(`${folder} is not there, but tests/fixtures speaks of it`)
  const result = await execute({ kind: 'score', model, runner: 'wasm', text }, folderReader(folder))
  expect(result.tokens).toBe(expected.tokens)
  expect(result.nll_per_token).toBeCloseTo(expected.nll_per_token, 4)
  expect(result.bits_per_byte).toBeCloseTo(expected.bits_per_byte, 4)
})

test('a precision is computed with, in weights and in keys and values', async () => {
  const read = folderReader(folder('precise'))
  const score = async (options: object) => (await execute({ kind: 'score', model: 'tiny', runner: 'reference', text: 'Once upon a time there was a king.', ...options }, read)).nll_per_token
  const exact = await score({})
  expect(await score({ weights: { format: 'f32' }, kv: 'f32' })).toBe(exact)
  const off = async (options: object) => Math.abs((await score(options)) - exact)
  const [int8, int4, kv] = [await off({ weights: { format: 'int8' } }), await off({ weights: { format: 'int4', group: 128 } }), await off({ kv: 'int8' })]
  expect(int8).toBeGreaterThan(0)
  expect(int8).toBeLessThan(int4)
  expect(kv).toBeGreaterThan(0)
})

test('a runner that does not know a precision is refused, not taken for one that does', () => {
  const runner = { widths: undefined } as Runner
  expect(refusedPrecision(runner, { weights: { format: 'int8' } })).toBe('weights in int8')
  expect(refusedPrecision(runner, { kv: 'f16' })).toBe('keys and values in f16')
  expect(refusedPrecision(runner, { weights: { format: 'f32' }, kv: 'f32' })).toBeUndefined()
  expect(refusedPrecision({ ...runner, widths: { weight: 0.53, kv: 4 } }, { weights: { format: 'int4' } })).toBeUndefined()
})

test('generate with drafts: the same ids from fewer steps of the model, by greedy and by lookup', async () => {
  const read = folderReader(folder('target'))
  const job = { kind: 'generate', model: 'tiny', runner: 'reference', prompt: 'Once upon a time, once upon a time', maxTokens: 24 } as const
  const plain = await execute(job, read)
  expect(plain).toMatchObject({ drafted: 0, accepted: 0, target_steps: plain.token_ids.length })
  for (const speculate of [{ method: 'linear', k: 3 }, { method: 'tree', depth: 3, branch: 2 }] as const) {
    // A draft model that is the target: every draft is right.
    const result = await execute({ ...job, speculate }, read, read)
    expect(result.token_ids).toEqual(plain.token_ids)
    expect(result.accepted).toBe(result.token_ids.length - result.target_steps)
    expect(result.target_steps).toBeLessThan(0.7 * plain.target_steps)
    expect(result.drafted).toBeGreaterThanOrEqual(result.accepted)
  }
  const guessed = await execute({ ...job, speculate: { method: 'lookup' } }, read)
  expect(guessed.token_ids).toEqual(plain.token_ids)
  expect(guessed.target_steps).toBe(guessed.token_ids.length - guessed.accepted)
})

test('a draft model of another vocabulary is refused', async () => {
  const other = folderReader(folder('other', { config: { ...TINY, vocabSize: 600 } }))
  const job = { kind: 'generate', model: 'tiny', runner: 'reference', prompt: 'A', maxTokens: 4, speculate: { method: 'dynamic' } } as const
  await expect(execute(job, folderReader(folder('this')), other)).rejects.toThrow('the draft model knows 600 tokens and tiny 512: it cannot draft for it')
})

test('profile tells of every kernel of a prefill and a decode, whose operations add up to what the step asks for', async () => {
  const path = folder('profiled')
  const { phases, device } = await execute({ kind: 'profile', model: 'tiny', runner: 'wasm', prompt: 20, context: 33, batch: 3 }, folderReader(path))
  expect(device).toContain('WebAssembly')
  expect(phases.map((p) => p.phase)).toEqual(['prefill of 20', 'decode of 3 at 33'])
  for (const { kernels, stepMs, work } of phases) {
    expect(stepMs).toBeGreaterThan(0)
    const named = (name: string) => kernels.filter((k) => k.name === name)
    for (const name of ['q, k, v', 'attention', 'o', 'gate, up', 'down']) expect(named(name).length, name).toBe(TINY.layers)
    expect(named('unembed').length).toBe(1)
    // Panels are filled up to 32 rows, and norms and rotation are not counted as work: more, never less.
    const flops = kernels.reduce((sum, k) => sum + k.flops, 0)
    expect(flops).toBeGreaterThan(work.flops * 0.95)
    expect(flops).toBeLessThan(work.flops * 4)
    const ends = kernels.map((k) => k.start! + k.ms)
    expect(ends).toEqual([...ends].sort((a, b) => a - b))
  }
  await expect(execute({ kind: 'profile', model: 'tiny', runner: 'reference', prompt: 4, context: 4, batch: 1 }, folderReader(path))).rejects.toThrow('does not time its kernels')
})
