// node scripts/run.mjs tests/quality/cascade.ts [-- --small tales-0.3m] [--large tales-5m] [--tokens 64] [--runner wasm]
//
// The cascade on the shown prompts: which share of them the small model passes on at each threshold, what that costs or
// saves against the large model alone, and what deciding costs by itself. Times are means over the stories.

import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { folderReader } from '$engine/cli/place'
import { loadModel } from '$engine/model/load'
import { createRunner, type EngineRunner } from '$engine/runner/create'
import { cascade, escalationRate, type Answer } from '$engine/speculate/cascade'

const { values: flags } = parseArgs({
  options: { small: { type: 'string', default: 'tales-0.3m' }, large: { type: 'string', default: 'tales-5m' }, tokens: { type: 'string', default: '64' }, runner: { type: 'string', default: 'wasm' } },
})
const prompts = (JSON.parse(readFileSync('assets/models/prompts.json', 'utf8')) as { text: string }[]).map((p) => p.text)
const load = (name: string) => loadModel(name, folderReader(`assets/models/${name}`))
const [small, large] = [await load(flags.small), await load(flags.large)]
const pair = { small: await createRunner(flags.runner as EngineRunner, small.model, { blocks: 64 }), large: await createRunner(flags.runner as EngineRunner, large.model, { blocks: 64 }) }
const options = { maxTokens: Number(flags.tokens), clock: performance }


await answers(2) // warm
const confidences = (await answers(0)).map((a) => a.confidence)
const alone = mean((await answers(2)).map((a) => a.time.large))
console.log(`${flags.small} → ${flags.large}, ${prompts.length} prompts, ${flags.tokens} tokens each, ${flags.runner}; ${flags.large} alone takes ${alone.toFixed(1)} ms a story`)
console.log(`confidence of ${flags.small}: ${[0, 0.25, 0.5, 0.75, 1].map((q) => quantile(q).toFixed(3)).join('  ')} (least, quartiles, most)`)
console.log('threshold  escalated   ms a story   against the large one alone   of which deciding')
for (const q of [0, 0.25, 0.5, 0.75, 1]) {
  const threshold = q === 1 ? 1.01 : quantile(q)
  const got = await answers(threshold)
  const rate = mean(got.map((a) => Number(a.escalated)))
  if (rate !== escalationRate(confidences, threshold)) throw new Error('the same prompts gave another confidence')
  const time = mean(got.map((a) => a.time.small + a.time.large))
  const deciding = mean(got.map((a) => (a.escalated ? a.time.small : 0)))
  console.log(`${threshold.toFixed(3).padStart(9)}${`${(100 * rate).toFixed(0)} %`.padStart(11)}${time.toFixed(1).padStart(13)}${`${(100 * (time / alone - 1)).toFixed(0)} %`.padStart(30)}${`${deciding.toFixed(1)} ms`.padStart(20)}`)
}
pair.small.dispose()
pair.large.dispose()

async function answers(threshold: number): Promise<Answer[]> {
  const out: Answer[] = []
  for (const prompt of prompts) out.push(await cascade(Int32Array.from(large.tokenizer.encode(prompt)), pair, { ...options, threshold }))
  return out
}

function quantile(q: number): number {
  const sorted = [...confidences].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]!
}

function mean(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0) / values.length
}
