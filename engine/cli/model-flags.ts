import { basename, resolve } from 'node:path'
import { RUNNERS, type EngineRunner } from '../runner/create'
import { modelFolder } from './place'
import { oneOf, required, UsageError, type Flags } from './usage'

/** Flags that every command running a model takes. */
export const MODEL_FLAGS = {
  model: { type: 'string' }, runner: { type: 'string' }, quant: { type: 'string' }, json: { type: 'boolean' },
} as const

export const MODEL_HELP = `  --model DIR       a folder in Hugging Face layout, or the name of a shipped model (tales-5m)
  --runner NAME     ${RUNNERS.join(', ')} (default wasm)
  --quant f32       precision of the weights; only f32 so far
  --json            print one JSON object`

export interface ModelChoice {
  folder: string
  /** What the model is called in messages and results. */
  name: string
  runner: EngineRunner
}

/** Throws UsageError naming the flag. */
export function modelChoice(flags: Flags): ModelChoice {
  const runner = oneOf(flags, 'runner', 'wasm', RUNNERS)
  const quant = oneOf(flags, 'quant', 'f32', ['f32', 'f16', 'int8', 'int4'])
  if (quant !== 'f32') throw new UsageError(`--quant ${quant} is not available yet: f32 only`)
  const folder = modelFolder(required(flags, 'model', 'a model folder, or the name of a shipped model'))
  return { folder, name: basename(resolve(folder)), runner }
}
