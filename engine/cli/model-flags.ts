import { basename, resolve } from 'node:path'
import { RUNNERS, type EngineRunner } from '../runner/create'
import type { KvPrecision, WeightPrecision } from '../runner/runner'
import { modelFolder } from './place'
import { oneOf, required, UsageError, type Flags } from './usage'

/** Flags that every command running a model takes. */
export const MODEL_FLAGS = {
  model: { type: 'string' }, runner: { type: 'string' }, quant: { type: 'string' }, group: { type: 'string' }, asymmetric: { type: 'boolean' }, kv: { type: 'string' }, json: { type: 'boolean' },
} as const

export const MODEL_HELP = `  --model DIR       a folder in Hugging Face layout, or the name of a shipped model (tales-5m)
  --runner NAME     ${RUNNERS.join(', ')} (default wasm)
  --quant FORMAT    weights in f32, f16, int8 or int4 (default f32)
  --group N         int8, int4: columns that share a scale: 32, 64 or 128 (default 64)
  --asymmetric      int4: a minimum beside each scale
  --kv FORMAT       keys and values in f32, f16 or int8 (default f32)
  --json            print one JSON object`

export interface ModelChoice {
  folder: string
  /** What the model is called in messages and results. */
  name: string
  runner: EngineRunner
  weights: WeightPrecision
  kv: KvPrecision
}

/** Throws UsageError naming the flag. */
export function modelChoice(flags: Flags): ModelChoice {
  const runner = oneOf(flags, 'runner', 'wasm', RUNNERS)
  const format = oneOf(flags, 'quant', 'f32', ['f32', 'f16', 'int8', 'int4'] as const)
  const grouped = format === 'int8' || format === 'int4'
  if (flags['group'] !== undefined && !grouped) throw new UsageError(`--group is for --quant int8 and int4; ${format} has no scales`)
  if (flags['asymmetric'] && format !== 'int4') throw new UsageError(`--asymmetric is for --quant int4, not ${format}`)
  const group = Number(oneOf(flags, 'group', '64', ['32', '64', '128'] as const)) as 32 | 64 | 128
  const kv = oneOf(flags, 'kv', 'f32', ['f32', 'f16', 'int8'] as const)
  const folder = modelFolder(required(flags, 'model', 'a model folder, or the name of a shipped model'))
  return { folder, name: basename(resolve(folder)), runner, weights: grouped ? { format, group, ...(flags['asymmetric'] ? { asymmetric: true } : {}) } : { format }, kv }
}
