// node scripts/run.mjs tests/bench/speculate.ts
//
// What speculation comes to on the shown prompts, tales-0.3m drafting for tales-5m, WebAssembly, one thread; and
// what the same acceptance gains by roofline where a large model is served.

import { readFileSync } from 'node:fs'
import prompts from '../../assets/models/prompts.json'
import { loadModel } from '../../engine/model/load'
import { createWasmRunner } from '../../engine/runner/wasm'
import { WallClock } from '../../engine/serving/clock'
import { serve, type ServeRequest } from '../../engine/serving/serve'
import { gain, hurtsFrom, type Served } from '../../engine/speculate/gain'
import type { SpeculateOptions } from '../../engine/speculate/options'
import { percentile, summarize } from '../../engine/trace/metrics'
import type { Step, Trace } from '../../engine/trace/trace'

/** New tokens of each prompt. */
const TOKENS = 96

const METHODS: (SpeculateOptions | undefined)[] = [
  undefined, ...[2, 4, 6].map((k): SpeculateOptions => ({ method: 'linear', k })), { method: 'dynamic' }, { method: 'lookup' },
  { method: 'tree', depth: 6, branch: 2 }, { method: 'tree', depth: 4, branch: 3 },
]

const SERVED: Served = { hardware: 'h100-sxm', tensorParallel: 4, target: 'llama-3.1-70b', draft: 'llama-3.1-8b' }
const CONTEXT = 512

const load = (name: string) => loadModel(name, async (file) => new Uint8Array(readFileSync(`assets/models/${name}/${file}`)).buffer)
const { model, tokenizer } = await load('tales-5m')
const runner = await createWasmRunner(model, { blocks: 1024, threads: 1 })
const draft = await createWasmRunner((await load('tales-0.3m')).model, { blocks: 1024, threads: 1 })

const rows = [['batch', 'method', 'ms/token', 'gain', 'acceptance', 'tokens/step', 'target ms', 'draft ms', 'H100 x4', 'hurts from']]
for (const batch of [1, 16]) {
  const requests = prompts.slice(0, 16).map(({ text }, id): ServeRequest => {
    const prompt = Int32Array.from(tokenizer.encode(text))
    return { record: { id, arrival: 0, promptTokens: prompt.length, maxTokens: TOKENS }, prompt, queuedAt: 0, eos: model.config.eos }
  })
  let plain = 0
  for (const method of METHODS) {
    const trace = await serveAll(requests, batch, method)
    const count = (kind: string) => trace.events.filter((e) => e.kind === kind).length
    const accepted = trace.events.reduce((n, e) => n + (e.kind === 'verify' ? e.count! : 0), 0)
    const decoded = count('token') - requests.length
    const verifications = decoded - accepted
    const drafting = trace.steps.filter((s) => s.role === 'draft')
    const target = trace.steps.filter((s) => s.role !== 'draft' && s.batch.every((b) => b.context >= requests[b.request]!.prompt.length))
    const tpot = summarize(trace).tpot!.median
    if (!method) plain = tpot
    const each = {
      tokens: decoded / verifications, rows: 1 + count('draft') / verifications,
      draftSteps: drafting.reduce((n, s) => n + s.batch.filter((b) => b.sampled).length, 0) / verifications,
    }
    const served = { ...SERVED, draft: method?.method === 'lookup' ? undefined : SERVED.draft }
    rows.push([
      `${batch}`, method ? Object.values(method).join(' ') : 'plain', tpot.toFixed(2), (plain / tpot).toFixed(2),
      method ? (accepted / count('draft')).toFixed(2) : '-', each.tokens.toFixed(2), median(target), median(drafting),
      method ? gain(served, each, batch, CONTEXT).toFixed(2) : '-',
      method ? String(hurtsFrom(served, each, Array.from({ length: 128 }, (_, i) => 4 * (i + 1)), CONTEXT) ?? '-') : '-',
    ])
  }
}
for (const row of rows) console.log(row.map((cell) => cell.padStart(12)).join(' '))
runner.dispose()
draft.dispose()

function median(steps: readonly Step[]): string {
  return steps.length ? percentile(steps.map((s) => s.duration), 50).toFixed(2) : '-'
}

async function serveAll(requests: ServeRequest[], batch: number, method: SpeculateOptions | undefined): Promise<Trace> {
  const trace: Trace = { provenance: { how: 'measured', device: runner.device, at: new Date().toISOString() }, requests: requests.map((r) => r.record), events: [], steps: [] }
  await serve(requests, {
    runner, clock: new WallClock(), limits: { maxSequences: batch }, speculate: method && { ...method, runner: draft },
    emit: ({ events, steps }) => {
      for (const e of events) trace.events.push(e)
      for (const s of steps) trace.steps.push(s)
    },
  })
  return trace
}
