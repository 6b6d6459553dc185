/** Limits of the engine that wrote a log, as its meta file tells them. */
export interface ServerLimits {
  maxSequences: number
  maxBatchedTokens: number
  /** Blocks requests can use; undefined where the file does not say. */
  blocks?: number
  blockSize: number
}

/** What vLLM takes when its meta file does not say. */
const DEFAULTS = { max_num_seqs: 256, max_num_batched_tokens: 2048, block_size: 16 }
/** More blocks than any log can fill. */
export const UNBOUNDED = 2 ** 24

/** Reads NAME.meta.json; an empty object gives vLLM's defaults. Throws Error naming the key that is wrong. */
export function readServerLimits(text: string, file: string): ServerLimits {
  let json: { engine_kwargs?: Record<string, unknown>; kv_cache?: Record<string, unknown> }
  try {
    json = JSON.parse(text) as typeof json
  } catch (cause) {
    throw new Error(`${file} is not JSON`, { cause })
  }
  if (typeof json !== 'object' || json === null) throw new Error(`${file} is not a JSON object`)
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
