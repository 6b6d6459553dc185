// node scripts/run.mjs tests/bench/wasm.ts [--model tales-5m|24e6] [--ms 300] [--threads 1,2] [--variants relaxed,simd]
//   [--weights f32,f16,int8,int4] [--kv f32]
//
// The WebAssembly runner in detail: decode at growing batches and contexts, prefill at growing chunks,
// beside what the same kernels' threads can read and multiply. Best of many short calls, so that other
// load on the machine disturbs little; the median stands beside it.

import { cpus, availableParallelism, loadavg } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { folderReader, ROOT } from '$engine/cli/place'
import { loadModel } from '$engine/model/load'
import { timingModel } from '$engine/model/synthetic'
import type { KvPrecision, WeightPrecision } from '$engine/runner/runner'
import { pickVariant } from '$engine/runner/wasm/features'
import { decodeFigure, openWasm, prefillFigure, wasmRoofs, type Figure } from './wasm-figures'

const { values: flags } = parseArgs({
  allowPositionals: true,
  options: {
    model: { type: 'string', default: 'tales-5m' },
    ms: { type: 'string', default: '300' },
    threads: { type: 'string', default: availableParallelism() > 1 ? '1,2' : '1' },
    weights: { type: 'string', default: 'f32,f16,int8,int4' },
    kv: { type: 'string', default: 'f32' },
    variants: { type: 'string', default: pickVariant() === 'relaxed' ? 'relaxed,simd' : 'simd' },
  },
})
const forMs = Number(flags.ms)
const model = Number(flags.model) > 0
  ? timingModel(Number(flags.model))
  : (await loadModel(flags.model, folderReader(join(ROOT, 'assets/models', flags.model)))).model

console.log(`${cpus()[0]?.model.trim()}, ${availableParallelism()} cores, Node ${process.version}, load ${loadavg()[0]!.toFixed(1)}; ${model.name}`)
for (const variant of flags.variants.split(',') as ('relaxed' | 'simd')[]) {
  for (const threads of flags.threads.split(',').map(Number)) {
    const options = { variant, threads }
    const roofs = await wasmRoofs(options, forMs)
    console.log(`\n${variant}, ${threads} thread${threads > 1 ? 's' : ''}`)
    console.log(`  reads GB/s     ${roofs.read.map((r) => `${r.gbps.toFixed(0)} (${r.bytes / 2 ** 20} MB)`).join('  ')}`)
    console.log(`  GFLOP/s        ${roofs.madd.toFixed(1)} on registers, ${roofs.matmul.toFixed(1)} matmul kernel`)
    for (const format of flags.weights.split(',') as WeightPrecision['format'][]) {
      const runner = await openWasm(model, { ...options, weights: { format }, kv: flags.kv as KvPrecision, blocks: 1600, tokens: 512 })
      console.log(`  weights in ${format}, keys and values in ${flags.kv}`)
      const line = (what: string, f: Figure, each: number) => console.log(
        `    ${what.padEnd(22)}${(f.ms.best / each).toFixed(4)} ms/token (median ${(f.ms.median / each).toFixed(4)})  ${f.gbps.toFixed(1)} GB/s  ${f.gflops.toFixed(1)} GFLOP/s = ${((f.gflops / roofs.madd / threads) * 100).toFixed(0)} %`)
      const steps = new Map<number, number>()
      for (const batch of [1, 2, 3, 4, 8, 16, 32, 64]) {
        const f = await decodeFigure(runner, batch, 64, forMs)
        steps.set(batch, f.ms.best)
        line(`decode ×${batch}`, f, batch)
      }
      const latency = steps.get(64)! / steps.get(1)!
      console.log(`    batch 64 over batch 1: ${(64 / latency).toFixed(1)}× the throughput, ${latency.toFixed(1)}× the latency a token`)
      for (const context of [512, 2048, 8000]) line(`decode at ${context}`, await decodeFigure(runner, 1, context, forMs), 1)
      for (const tokens of [16, 64, 256, 512]) line(`prefill ${tokens}`, await prefillFigure(runner, tokens, forMs), tokens)
      runner.dispose()
    }
  }
}
