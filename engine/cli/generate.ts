import { MODEL_FLAGS, MODEL_HELP, modelChoice } from './model-flags'
import { runJob } from './run-job'
import { numeric, parseFlags, required, UsageError } from './usage'

export const help = `expressway generate --model DIR --prompt TEXT [options]

Continues a text, and says how long it took. Times are taken after a short warm-up.

${MODEL_HELP}
  --prompt TEXT     what to continue
  --max-tokens N    new tokens at most (default 64)
  --temperature T   0 takes the likeliest token each time (default 0)
  --seed S          seed of the draws when T > 0 (default 1)
`

const FLAGS = {
  ...MODEL_FLAGS,
  prompt: { type: 'string' }, 'max-tokens': { type: 'string' }, temperature: { type: 'string' }, seed: { type: 'string' },
  speculate: { type: 'string' }, draft: { type: 'string' },
} as const

export async function main(args: readonly string[]): Promise<void> {
  const flags = parseFlags(args, FLAGS)
  for (const name of ['speculate', 'draft']) if (flags[name] !== undefined) throw new UsageError(`--${name} is not available yet: plain decoding only`)
  const maxTokens = numeric(flags, 'max-tokens', 64, { low: 1, high: 1_000_000, whole: true })
  const temperature = numeric(flags, 'temperature', 0, { low: 0, high: 100, whole: false })
  const seed = numeric(flags, 'seed', 1, { low: 0, high: 2 ** 32 - 1, whole: true })
  const prompt = required(flags, 'prompt', 'the text to continue')
  if (prompt === '') throw new UsageError('--prompt is empty: give it a word or two')
  const { folder, name, ...choice } = modelChoice(flags)

  const result = await runJob({ kind: 'generate', model: name, ...choice, prompt, maxTokens, sampling: temperature > 0 ? { temperature, seed } : undefined }, folder)
  if (result.timing_only) console.error(`expressway generate: this is past the context ${name} was trained at; read the times, not the text`)
  if (flags['json']) console.log(JSON.stringify(result))
  else {
    const pace = result.tpot_ms === null ? '' : `, then ${result.tpot_ms.toPrecision(3)} ms/token`
    console.log(prompt + result.text)
    console.error(`\n${result.token_ids.length} tokens by ${result.runner} (${result.device}): first after ${result.ttft_ms.toPrecision(3)} ms${pace}`)
  }
}
