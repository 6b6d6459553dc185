import { readFile } from 'node:fs/promises'
import { MODEL_FLAGS, MODEL_HELP, modelChoice } from './model-flags'
import { userPath } from './place'
import { runJob } from './run-job'
import { parseFlags, required } from './usage'

export const help = `expressway score --model DIR --text FILE [options]

How well a model predicts a text: nats per token, and bits per byte (comparable across tokenizers).
The text follows an end-of-text token; windows of up to 1,024 tokens advance by half their length, and
every token is counted once.

${MODEL_HELP}
  --text FILE       the text, UTF-8
`

const FLAGS = { ...MODEL_FLAGS, text: { type: 'string' } } as const

export async function main(args: readonly string[]): Promise<void> {
  const flags = parseFlags(args, FLAGS)
  const file = userPath(required(flags, 'text', 'the file to score'))
  const { folder, name, ...choice } = modelChoice(flags)
  const text = await readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new Error(`--text ${file} could not be read: ${cause.code === 'ENOENT' ? 'there is no such file' : cause.message}`, { cause })
  })
  const result = await runJob({ kind: 'score', model: name, ...choice, text }, { target: folder })
  if (flags['json']) console.log(JSON.stringify(result))
  else console.log(`${result.bits_per_byte.toFixed(4)} bits/byte, ${result.nll_per_token.toFixed(4)} nats/token over ${result.tokens} tokens (${result.model}, ${result.runner})`)
}
