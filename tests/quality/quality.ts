// npm run quality [-- --models tales-5m,tales-moe] [-- --runner wasm|reference] [-- --json]
//
// What fewer bits cost: every model at every precision, on passages written for this project. Bits per byte over all of
// them; Kullback-Leibler divergence from f32 and share of equal choices, position by position; and how far a greedy story
// is the same as in f32 (median over the prompts of assets/models, 64 tokens each). Where the runner has no kernels for a precision the numbers that
// it stores (quantize.ts) are computed in f32, and the row says so: those are the numbers every runner must give.

import { readdirSync, readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { score } from '$engine/cli/job-score'
import { folderReader } from '$engine/cli/place'
import { commonTokens, divergence } from '$engine/measure/quality'
import { loadModel, type LoadedModel } from '$engine/model/load'
import { storedWeights } from '$engine/model/quantize'
import { createRunner, type EngineRunner } from '$engine/runner/create'
import { BLOCK_SIZE, RunnerError, type KvPrecision, type Runner, type RunnerOptions, type WeightPrecision } from '$engine/runner/runner'

const PASSAGES = ['assets/models/passage.txt', 'tests/quality/lighthouse.txt']
const COMPARED = 256 // tokens of each passage whose logits are compared
const STORY = 64
const PROMPTS = 10

const PRECISIONS: { weights: WeightPrecision; kv: KvPrecision }[] = [
  { weights: { format: 'f32' }, kv: 'f32' },
  { weights: { format: 'f16' }, kv: 'f32' },
  { weights: { format: 'int8', group: 64 }, kv: 'f32' },
  ...([32, 64, 128] as const).flatMap((group) => [
    { weights: { format: 'int4' as const, group }, kv: 'f32' as const },
    { weights: { format: 'int4' as const, group, asymmetric: true }, kv: 'f32' as const },
  ]),
  { weights: { format: 'f32' }, kv: 'f16' },
  { weights: { format: 'f32' }, kv: 'int8' },
  { weights: { format: 'int8', group: 64 }, kv: 'int8' },
]

/** What the issue of quantization allows: share by which bits per byte may grow. */
const LIMITS: Record<string, number> = { int8: 0.01, 'int4 g64': 0.08 }

interface Row {
  model: string
  weights: string
  kv: KvPrecision
  bits_per_byte: number
  /** Against f32; 0.01 is one per cent more. */
  growth: number
  kl_nats_per_token: number
  same_choice: number
  /** Tokens of a greedy story before the first that differs, median; 64 is all of them. */
  same_tokens: number
  runner: string
}

const { values: flags } = parseArgs({
  options: { models: { type: 'string' }, runner: { type: 'string', default: 'wasm' }, json: { type: 'boolean', default: false } },
})
const kind = flags.runner as EngineRunner
const texts = PASSAGES.map((file) => readFileSync(file, 'utf8'))
const prompts = (JSON.parse(readFileSync('assets/models/prompts.json', 'utf8')) as { text: string }[]).slice(0, PROMPTS).map((p) => p.text)
const models = flags.models?.split(',') ?? readdirSync('assets/models').filter((name) => name.startsWith('tales-'))
const rows: Row[] = []
let missed = 0

if (!flags.json) console.log(`${'model'.padEnd(20)}${'weights'.padEnd(14)}${'KV'.padEnd(6)}${'bits/byte'.padStart(10)}${'growth'.padStart(9)}${'KL, nats'.padStart(11)}${'same choice'.padStart(13)}${'same tokens'.padStart(13)}  by`)
for (const name of models) {
  const loaded = await loadModel(name, folderReader(`assets/models/${name}`))
  let exact: Seen | undefined
  for (const { weights, kv } of PRECISIONS) {
    const seen = await look(loaded, weights, kv)
    exact ??= seen
    const between = seen.logits.map((logits, i) => divergence(exact!.logits[i]!, logits, loaded.model.config.vocabSize))
    const row: Row = {
      model: name, weights: nameOf(weights), kv, bits_per_byte: seen.bitsPerByte, growth: seen.bitsPerByte / exact.bitsPerByte - 1,
      kl_nats_per_token: mean(between.map((d) => d.kl)), same_choice: mean(between.map((d) => d.agreement)),
      same_tokens: median(seen.stories.map((story, i) => commonTokens(exact!.stories[i]!, story))), runner: seen.runner,
    }
    rows.push(row)
    const limit = LIMITS[row.weights]
    const missing = limit !== undefined && row.growth > limit
    if (missing) missed++
    if (!flags.json) print(row, missing)
  }
}
if (flags.json) console.log(JSON.stringify({ at: new Date().toISOString(), passages: PASSAGES, limits: LIMITS, rows }, null, 1))
else console.log(missed === 0 ? 'int8 and int4 g64 are within 1 % and 8 % of f32' : `${missed} rows pass the limit`)
process.exitCode = missed === 0 ? 0 : 1

interface Seen {
  bitsPerByte: number
  logits: Float32Array[]
  stories: number[][]
  runner: string
}

async function look(loaded: LoadedModel, weights: WeightPrecision, kv: KvPrecision): Promise<Seen> {
  let how: string = kind
  const withRunner = async <T>(positions: number, use: (runner: Runner) => Promise<T>): Promise<T> => {
    const { runner, by } = await make(loaded, { weights, kv, blocks: Math.ceil(positions / BLOCK_SIZE) })
    how = by
    try {
      return await use(runner)
    } finally {
      runner.dispose()
    }
  }
  let bits = 0
  let bytes = 0
  for (const text of texts) {
    const scored = await score(loaded, text, withRunner)
    bits += scored.bits_per_byte * scored.bytes
    bytes += scored.bytes
  }
  const logits: Float32Array[] = []
  const stories: number[][] = []
  await withRunner(COMPARED + STORY, async (runner) => {
    for (const text of texts) logits.push(await logitsOf(runner, loaded.tokenizer.encode(text).slice(0, COMPARED)))
    for (const prompt of prompts) stories.push(await story(runner, loaded.tokenizer.encode(prompt)))
  })
  return { bitsPerByte: bits / bytes, logits, stories, runner: how }
}

/** A runner of the precision, or one that is given the numbers that the precision stores. */
async function make({ model }: LoadedModel, options: RunnerOptions): Promise<{ runner: Runner; by: string }> {
  try {
    return { runner: await createRunner(kind, model, options), by: kind }
  } catch (error) {
    if (!(error instanceof RunnerError && error.code === 'unsupported')) throw error
  }
  if (options.kv !== 'f32' || model.source.kind !== 'tensors') return { runner: await createRunner('reference', model, options), by: 'reference' }
  const stored = { ...model, source: { kind: 'tensors' as const, weights: storedWeights(model.source.weights, options.weights!) } }
  try {
    return { runner: await createRunner(kind, stored, { blocks: options.blocks }), by: `${kind}, stored numbers` }
  } catch (error) {
    if (!(error instanceof RunnerError && error.code === 'unsupported')) throw error
    return { runner: await createRunner('reference', model, options), by: 'reference' }
  }
}

function table(runner: Runner): Int32Array {
  return Int32Array.from({ length: runner.limits.blocks }, (_, i) => i)
}

async function logitsOf(runner: Runner, ids: readonly number[]): Promise<Float32Array> {
  const { logits } = await runner.run({ wantLogits: true, allRows: true, chunks: [{ request: 0, tokens: Int32Array.from(ids), start: 0, blockTable: table(runner), sample: false }] })
  return logits!
}

async function story(runner: Runner, prompt: readonly number[]): Promise<number[]> {
  const out: number[] = []
  let tokens = Int32Array.from(prompt)
  for (let start = 0; out.length < STORY; start += tokens.length, tokens = Int32Array.of(out.at(-1)!)) {
    out.push((await runner.run({ chunks: [{ request: 1, tokens, start, blockTable: table(runner), sample: true }] })).tokens[0]!)
    if (runner.config.eos.includes(out.at(-1)!)) break
  }
  runner.release?.(1)
  return out
}

function nameOf({ format, group, asymmetric }: WeightPrecision): string {
  return format === 'int4' ? `int4 g${group}${asymmetric ? ' asym' : ''}` : format
}

function print(row: Row, missed: boolean): void {
  console.log(`${row.model.padEnd(20)}${row.weights.padEnd(14)}${row.kv.padEnd(6)}${row.bits_per_byte.toFixed(4).padStart(10)}${`${(100 * row.growth).toFixed(2)} %`.padStart(9)}${row.kl_nats_per_token.toExponential(1).padStart(11)}${`${(100 * row.same_choice).toFixed(1)} %`.padStart(13)}${String(row.same_tokens).padStart(13)}  ${row.runner}${missed ? '  TOO MUCH' : ''}`)
}

function mean(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0) / values.length
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!
}
