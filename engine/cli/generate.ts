import { writeFile } from 'node:fs/promises'
import { parseSpeculate, type SpeculateOptions } from '../speculate/options'
import { toPerfetto } from '../trace/perfetto'
import { MODEL_FLAGS, MODEL_HELP, modelChoice } from './model-flags'
import { modelFolder, userPath } from './place'
import { runJob } from './run-job'
import { numeric, parseFlags, required, UsageError, type Flags } from './usage'

export const help = `expressway generate --model DIR --prompt TEXT [options]

Continues a text, and says how long it took. Times are taken after a short warm-up.

${MODEL_HELP}
  --prompt TEXT     what to continue
  --max-tokens N    new tokens at most (default 64)
  --temperature T   0 takes the likeliest token each time (default 0)
  --seed S          seed of the draws when T > 0 (default 1)
  --speculate HOW   guess tokens ahead and verify many at a time: linear:4 (four in a row), dynamic, lookup
                    (from the text itself), tree:6x2 (six deep, two alternatives); the text stays the same
  --draft DIR       the small model that guesses; lookup needs none
  --trace FILE      also write what happened in the Chrome trace-event format, which Perfetto opens
`

const FLAGS = {
  ...MODEL_FLAGS,
  prompt: { type: 'string' }, 'max-tokens': { type: 'string' }, temperature: { type: 'string' }, seed: { type: 'string' },
  speculate: { type: 'string' }, draft: { type: 'string' }, trace: { type: 'string' },
} as const

export async function main(args: readonly string[]): Promise<void> {
  const flags = parseFlags(args, FLAGS)
  const maxTokens = numeric(flags, 'max-tokens', 64, { low: 1, high: 1_000_000, whole: true })
  const temperature = numeric(flags, 'temperature', 0, { low: 0, high: 100, whole: false })
  const seed = numeric(flags, 'seed', 1, { low: 0, high: 2 ** 32 - 1, whole: true })
  const prompt = required(flags, 'prompt', 'the text to continue')
  if (prompt === '') throw new UsageError('--prompt is empty: give it a word or two')
  const { folder, name, ...choice } = modelChoice(flags)
  const { speculate, draft } = speculation(flags)

  const traceFile = flags['trace'] as string | undefined
  const { trace, ...result } = await runJob({ kind: 'generate', model: name, ...choice, prompt, maxTokens, sampling: temperature > 0 ? { temperature, seed } : undefined, speculate, trace: traceFile !== undefined }, { target: folder, draft })
  if (traceFile !== undefined) await writeFile(userPath(traceFile), JSON.stringify(toPerfetto(trace!)))
  if (result.timing_only) console.error(`expressway generate: this is past the context ${name} was trained at; read the times, not the text`)
  if (flags['json']) console.log(JSON.stringify(result))
  else {
    const pace = result.tpot_ms === null ? '' : `, then ${result.tpot_ms.toPrecision(3)} ms/token`
    console.log(prompt + result.text)
    console.error(`\n${result.token_ids.length} tokens by ${result.runner} (${result.device}): first after ${result.ttft_ms.toPrecision(3)} ms${pace}`)
    if (speculate) console.error(`${result.target_steps} steps of ${name}; ${result.accepted} of ${result.drafted} drafted tokens accepted`)
  }
}

/** Throws UsageError naming the flag. */
function speculation(flags: Flags): { speculate?: SpeculateOptions; draft?: string } {
  const how = flags['speculate']
  const draft = flags['draft']
  if (typeof how !== 'string') {
    if (draft !== undefined) throw new UsageError('--draft names the model that guesses, and needs --speculate linear:4, dynamic or tree:6x2')
    return {}
  }
  let speculate: SpeculateOptions
  try {
    speculate = parseSpeculate(how)
  } catch (error) {
    throw new UsageError(`--speculate: ${(error as Error).message}`)
  }
  if (speculate.method === 'lookup') {
    if (draft !== undefined) throw new UsageError('--speculate lookup guesses from the text itself: leave out --draft')
    return { speculate }
  }
  return { speculate, draft: modelFolder(required(flags, 'draft', `the small model that guesses, for --speculate ${how}`), '--draft') }
}
