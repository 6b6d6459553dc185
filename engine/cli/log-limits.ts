import { readFile } from 'node:fs/promises'
import { readServerLimits, UNBOUNDED, type ServerLimits } from '../diagnose/server'
import type { ScenarioJson } from '../serving/scenario'
import type { SchedulerLimits } from '../serving/scheduler'

/** Limits of the server that wrote NAME.requests.jsonl (or NAME.vllm.json), from NAME.meta.json beside it: as a replay wants them, and as a scenario says them. */
export async function readLimits(log: string): Promise<{ limits: SchedulerLimits; scheduler: NonNullable<ScenarioJson['scheduler']> }> {
  const meta = await readMeta(metaBeside(log))
  return {
    limits: { maxSequences: meta.maxSequences, maxBatchedTokens: meta.maxBatchedTokens, blocks: meta.blocks ?? UNBOUNDED },
    scheduler: {
      policy: 'continuous', max_sequences: meta.maxSequences, max_batched_tokens: meta.maxBatchedTokens, chunked_prefill: true,
      ...(meta.blocks === undefined ? {} : { kv_blocks: meta.blocks }), block_size: meta.blockSize,
    },
  }
}

/** NAME.meta.json beside NAME.requests.jsonl or NAME.vllm.json; a name of another kind stays as it is. */
export const metaBeside = (log: string) => log.replace(/(\.requests)?\.jsonl$|(\.vllm)?\.json$/, '.meta.json')

/** The meta file's own words; a missing file means vLLM's defaults, a damaged one is an error. */
export async function readMeta(file: string): Promise<ServerLimits> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause
    console.error(`${file} is not there: vLLM's default limits are assumed, KV blocks unbounded`)
    text = '{}'
  }
  return readServerLimits(text, file)
}
