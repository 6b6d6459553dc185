import { readFile } from 'node:fs/promises'
import type { ScenarioJson } from '../serving/scenario'
import type { SchedulerLimits } from '../serving/scheduler'

/** What vLLM takes when its meta file does not say. */
const DEFAULTS = { max_num_seqs: 256, max_num_batched_tokens: 2048, block_size: 16 }
/** More blocks than any log can fill. */
const UNBOUNDED = 2 ** 24

/** Limits of the server that wrote NAME.requests.jsonl (or NAME.vllm.json), from NAME.meta.json beside it: as a replay wants them, and as a scenario says them. */
export async function readLimits(log: string): Promise<{ limits: SchedulerLimits; scheduler: NonNullable<ScenarioJson['scheduler']> }> {
  const meta = await readMeta(log.replace(/(\.requests)?\.jsonl$|(\.vllm)?\.json$/, '.meta.json'))
  return {
    limits: { maxSequences: meta.maxSequences, maxBatchedTokens: meta.maxBatchedTokens, blocks: meta.blocks ?? UNBOUNDED },
    scheduler: {
      policy: 'continuous', max_sequences: meta.maxSequences, max_batched_tokens: meta.maxBatchedTokens, chunked_prefill: true,
      ...(meta.blocks === undefined ? {} : { kv_blocks: meta.blocks }), block_size: meta.blockSize,
    },
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
