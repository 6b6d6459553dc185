// node scripts/run.mjs tests/bench/stress.ts [--steps 10000] [--loads 200] [--model tales-1m] [--threads 2]
//
// Does the WebAssembly runner's memory stay what it is? Opens and closes a model many times, then takes many
// mixed steps with one; prints the process's memory on the way and fails where it grew.

import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { folderReader, ROOT } from '$engine/cli/place'
import { loadModel } from '$engine/model/load'
import { BLOCK_SIZE } from '$engine/runner/runner'
import { createWasmRunner } from '$engine/runner/wasm'
import { collectGarbage } from '../support/collect'

/** What allocator and compiler may still take once everything has run, MB: a quarter of a megabyte for each of 200 loads. */
const SLACK_MB = 50

const { values: flags } = parseArgs({
  options: {
    steps: { type: 'string', default: '10000' }, loads: { type: 'string', default: '200' },
    model: { type: 'string', default: 'tales-1m' }, threads: { type: 'string', default: '2' },
  },
})
const { model } = await loadModel(flags.model, folderReader(join(ROOT, 'assets/models', flags.model)))
const options = { blocks: 256, threads: Number(flags.threads), kv: 'int8', weights: { format: 'int8' } } as const

const loads = await watch('model loads', Number(flags.loads), async () => {
  const runner = await createWasmRunner(model, options)
  await runner.run({ chunks: [chunk(0, 20, 0)] })
  runner.dispose()
})
const runner = await createWasmRunner(model, options)
const steps = await watch('steps', Number(flags.steps), async (i) => {
  const decodes = Array.from({ length: i % 7 }, (_, s) => chunk(s + 1, 1, 10 + (i % 300)))
  await runner.run({ chunks: [chunk(100 + i, 1 + (i % 40), 0), ...decodes], copies: [{ from: i % 4096, to: (i * 7) % 4096 }] })
  runner.release!(100 + i)
})
runner.dispose()
process.exit(loads && steps ? 0 : 1)

async function watch(what: string, times: number, once: (i: number) => Promise<void>): Promise<boolean> {
  const seen: number[] = []
  for (let i = 0; i < times; i++) {
    await once(i)
    if ((i + 1) % Math.ceil(times / 10) > 0) continue
    await collectGarbage()
    seen.push(process.memoryUsage.rss() / 2 ** 20)
  }
  const grown = seen.at(-1)! - seen[1]!
  console.log(`${times} ${what}: MB resident ${seen.map((mb) => mb.toFixed(0)).join(' ')}; ${grown < SLACK_MB ? 'no growth' : `GREW by ${grown.toFixed(0)} MB`}`)
  return grown < SLACK_MB
}

function chunk(request: number, length: number, start: number) {
  const first = (request * 20) % 200
  return {
    request, start, tokens: Int32Array.from({ length }, (_, t) => (t * 31 + request) % 2000), sample: true,
    blockTable: Int32Array.from({ length: Math.ceil((start + length) / BLOCK_SIZE) }, (_, b) => first + b),
  }
}
