import { readFile } from 'node:fs/promises'
import type { AffineCosts } from '../cost/affine'
import { fitLog, type FitError } from '../cost/fit'
import { errors as errorsOn, fitSteps, type FitErrors } from '../cost/step-fit'
import type { MeasuredProfile } from '../measure/profile'
import { BLOCK_SIZE } from '../runner/runner'
import { readTraceFile } from '../serving/trace-files'
import { userPath } from './place'
import { oneOf, parseFlags, UsageError } from './usage'

export const help = `expressway fit NAME.requests.jsonl|profile.json [options]

Fits a step cost of five numbers to a vLLM server's request log, through the scheduler: base + per
decoding sequence + per token of decode context + per prefill token + per prefill token × context.
Engine limits are read from NAME.meta.json beside the log (KV blocks absent: unbounded). The result's
steps and scheduler go straight into a scenario.

A profile that "expressway measure" wrote holds steps of many shapes: the same five numbers are fitted
to those.

  --fit-on WHICH    odd, even or all: the requests (of a profile: the shapes) whose times are fitted
                    (default all); the error is given on all and on the others
  --of MODEL        profile: the model whose steps are fitted (default: the one it begins with)
  --json            one JSON object on standard output
`

const FLAGS = { 'fit-on': { type: 'string' }, of: { type: 'string' }, json: { type: 'boolean' } } as const

/** What vLLM takes when its meta file does not say. */
const DEFAULTS = { max_num_seqs: 256, max_num_batched_tokens: 2048, block_size: 16 }
/** More blocks than any log can fill. */
const UNBOUNDED = 2 ** 24

export async function main([log, ...args]: readonly string[]): Promise<void> {
  if (log === undefined || log.startsWith('-')) throw new UsageError('the request log is missing: expressway fit NAME.requests.jsonl')
  const flags = parseFlags(args, FLAGS)
  const fitOn = oneOf(flags, 'fit-on', 'all', ['odd', 'even', 'all'])
  const file = userPath(log)
  const text = await readText(file)
  if (/^\s*\{/.test(text) && !/^[^\n]*\}\s*\n\s*\{/.test(text)) return print(fitProfile(text, file, fitOn, flags['of'] as string | undefined), Boolean(flags['json']))
  const trace = readTraceFile(text, file)
  if (trace.kind !== 'request-log-jsonl') throw new Error(`${file} is a ${trace.kind} trace, which does not hold what a server observed; fit needs a request log`)
  const meta = await readMeta(file.replace(/(\.requests)?\.jsonl$/, '.meta.json'))

  const limits = { maxSequences: meta.maxSequences, maxBatchedTokens: meta.maxBatchedTokens, blocks: meta.blocks ?? UNBOUNDED }
  const fit = fitLog(trace.requests, limits, fitOn)
  const scheduler = {
    policy: 'continuous', max_sequences: meta.maxSequences, max_batched_tokens: meta.maxBatchedTokens, chunked_prefill: true,
    ...(meta.blocks === undefined ? {} : { kv_blocks: meta.blocks }), block_size: meta.blockSize,
  }
  print({ steps: { kind: 'affine', ...fit.steps }, scheduler, error: fit.error, requests: trace.requests.length, preemptions: fit.preemptions }, Boolean(flags['json']))
}

interface Result {
  steps: { kind: 'affine' } & AffineCosts
  scheduler: object
  error: { all: FitError | FitErrors; others?: FitError | FitErrors }
  /** What was fitted to: requests of a log, with its preemptions, or shapes of a profile. */
  requests?: number
  preemptions?: number
  shapes?: number
}

function print(result: Result, json: boolean): void {
  if (json) return console.log(JSON.stringify(result))
  for (const [name, value] of Object.entries(result.steps)) if (typeof value === 'number') console.log(`${name.padEnd(30)} ${value.toPrecision(4)}`)
  console.log(`error on all: ${errors(result.error.all)}`)
  if (result.error.others) console.log(`error on those not fitted: ${errors(result.error.others)}`)
}

function errors(e: FitError | FitErrors): string {
  return Object.entries(e).map(([name, value]) => `${name.replace('_', ' ')} ${((value as number) * 100).toFixed(2)} %`).join(', ')
}

/** The five numbers of a measured profile's model, fitted anew to its shapes. */
function fitProfile(text: string, file: string, fitOn: 'odd' | 'even' | 'all', of: string | undefined): Result {
  let profile: Partial<MeasuredProfile>
  try {
    profile = JSON.parse(text) as typeof profile
  } catch (cause) {
    throw new Error(`${file} is not JSON: give a request log (.jsonl) or a profile that expressway measure wrote`, { cause })
  }
  const models = profile.models ?? []
  const model = of === undefined ? models[0] : models.find((m) => m.name === of)
  if (!model) throw new Error(models.length ? `${file} has no model ${of}; it has ${models.map((m) => m.name).join(', ')}` : `${file} holds no measured steps: give a request log (.jsonl) or a profile that expressway measure wrote`)
  const samples = model.fit.samples.map((sample, i) => ({ ...sample, held: fitOn !== 'all' && (i % 2 === 0) !== (fitOn === 'odd') }))
  const { steps, error } = fitSteps(samples)
  return {
    steps: { kind: 'affine', ...steps },
    scheduler: { policy: 'continuous', chunked_prefill: true, block_size: BLOCK_SIZE, ...profile.scheduler },
    error: { all: errorsOn(steps, samples), ...(fitOn === 'all' ? {} : { others: error }) },
    shapes: samples.length,
  }
}

interface Meta {
  maxSequences: number
  maxBatchedTokens: number
  /** Blocks requests can use; undefined where the file does not say. */
  blocks?: number
  blockSize: number
}

/** Limits of the engine that wrote the log; a missing file means vLLM's defaults, a damaged one is an error. */
async function readMeta(file: string): Promise<Meta> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause
    console.error(`${file} is not there: vLLM's default limits are assumed, KV blocks unbounded`)
    text = '{}'
  }
  let json: { engine_kwargs?: Record<string, unknown>; kv_cache?: Record<string, unknown> }
  try {
    json = JSON.parse(text) as typeof json
  } catch (cause) {
    throw new Error(`${file} is not JSON`, { cause })
  }
  const read = (from: Record<string, unknown> | undefined, key: keyof typeof DEFAULTS) => positive(from?.[key] ?? DEFAULTS[key], key, file)
  const blocks = json.kv_cache?.['num_gpu_blocks']
  const blockSize = read(json.kv_cache, 'block_size')
  if (blockSize !== 16) throw new Error(`${file}: block_size is ${blockSize}; the scheduler's blocks hold 16 tokens`)
  return {
    maxSequences: read(json.engine_kwargs, 'max_num_seqs'),
    maxBatchedTokens: read(json.engine_kwargs, 'max_num_batched_tokens'),
    // vLLM keeps block 0 for itself (its null block).
    blocks: blocks == null ? undefined : positive(blocks, 'num_gpu_blocks', file) - 1,
    blockSize,
  }
}

function positive(value: unknown, key: string, file: string): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value <= 0) throw new Error(`${file}: ${key} must be a positive whole number, is ${JSON.stringify(value)}`)
  return value
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    throw new Error(`${file} could not be read: ${(cause as NodeJS.ErrnoException).code === 'ENOENT' ? 'there is no such file' : (cause as Error).message}`, { cause })
  }
}
