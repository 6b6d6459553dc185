import type { MessagePort } from 'node:worker_threads'
import { loadModel } from '../model/load'
import { createRunner, type EngineRunner } from '../runner/create'
import type { KvPrecision, WeightPrecision } from '../runner/runner'
import { MonotonicClock } from '../server/clock'
import { runEngine } from '../server/engine'
import { enableDawn } from './dawn'
import { folderReader } from './place'

/** What the engine's thread is started with. */
export interface EngineThread {
  folder: string
  name: string
  runner: EngineRunner
  weights: WeightPrecision
  kv: KvPrecision
  maxSequences: number
  maxBatchedTokens: number
  blocks: number
  prefixCache: boolean
  /** The server's time 0 on the machine's monotonic clock, ns. */
  origin: bigint
}

/** The engine's thread of `expressway serve`: loads the model, makes the runner, serves what comes through the port. */
export async function runEngineThread({ port, folder, name, runner: kind, weights, kv, maxSequences, maxBatchedTokens, blocks, prefixCache, origin }: EngineThread & { port: MessagePort }): Promise<void> {
  try {
    if (kind === 'webgpu' && !(await enableDawn())) {
      throw new Error('a server on the webgpu runner needs the npm package "webgpu" (Dawn for Node): install it, or use --runner wasm')
    }
    const loaded = await loadModel(name, folderReader(folder))
    const runner = await createRunner(kind, loaded.model, { blocks, sequences: maxSequences, tokens: Math.max(maxBatchedTokens, maxSequences), weights, kv })
    await warmUp(runner)
    await runEngine(port, { loaded, runner, clock: new MonotonicClock(origin), maxSequences, maxBatchedTokens, prefixCache })
  } catch (error) {
    port.postMessage({ kind: 'broke', message: error instanceof Error ? error.message : String(error) })
    port.close()
  }
}

/** Compiles what is compiled late: the first client does not wait for it. */
async function warmUp(runner: Awaited<ReturnType<typeof createRunner>>): Promise<void> {
  const tokens = Int32Array.from({ length: Math.min(16, runner.limits.tokens) }, (_, i) => i % runner.config.vocabSize)
  const blockTable = Int32Array.of(0, Math.min(1, runner.limits.blocks - 1))
  await runner.run({ chunks: [{ request: -1, tokens, start: 0, blockTable, sample: true }] })
  for (let i = 0; i < 8 && tokens.length + i < 2 * 16; i++) await runner.run({ chunks: [{ request: -1, tokens: Int32Array.of(1), start: tokens.length + i, blockTable, sample: true }] })
  runner.release?.(-1)
}
