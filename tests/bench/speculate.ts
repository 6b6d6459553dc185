import { readFileSync } from 'node:fs'
import prompts from '../../assets/models/prompts.json'
import { loadModel } from '../../engine/model/load'
import { createWasmRunner } from '../../engine/runner/wasm'
import { WallClock } from '../../engine/serving/clock'
import { serve, type ServeRequest } from '../../engine/serving/serve'
import { expectedSpeedup, expectedTokens } from '../../engine/speculate/expected'
import type { SpeculateOptions } from '../../engine/speculate/options'
import { summarize } from '../../engine/trace/metrics'
import type { Trace } from '../../engine/trace/trace'

/** New tokens of each prompt. */
const TOKENS = 96

const METHODS: (SpeculateOptions | undefined)[] = [
  undefined, ...[2, 4, 6].map((k): SpeculateOptions => ({ method: 'linear', k })), { method: 'dynamic' }, { method: 'lookup' },
  { method: 'tree', depth: 6, branch: 2 }, { method: 'tree', depth: 4, branch: 3 },
]

/** What speculation comes to on the shown prompts: tales-0.3m drafting for tales-5m, WebAssembly, one prompt at a time and many together. */
export async function speculationRows(batches: readonly number[] = [1, 16]): Promise<string[][]> {
  const load = async (name: string) => (await loadModel(name, async (file) => new Uint8Array(readFileSync(`assets/models/${name}/${file}`)).buffer))
  const target = await load('tales-5m')
  const runner = await createWasmRunner(target.model, { blocks: 1024, threads: 1 })
  const draft = await createWasmRunner((await load('tales-0.3m')).model, { blocks: 1024, threads: 1 })
  const rows: string[][] = []
  for (const batch of batches) {
    const all = prompts.slice(0, Math.max(batch, 12)).map(({ text }, id): ServeRequest => {
      const prompt = Int32Array.from(target.tokenizer.encode(text))
      return { record: { id, arrival: 0, promptTokens: prompt.length, maxTokens: TOKENS }, prompt, queuedAt: 0, eos: target.model.config.eos }
    })
    let plain = 0
    for (const method of METHODS) {
      const run = () => serveAll(all, batch, method)
      await run()
      const trace = await run()
      const of = (kind: string) => trace.events.filter((e) => e.kind === kind)
      const verifications = of('verify')
      const accepted = verifications.reduce((n, e) => n + e.count!, 0)
      const target = trace.steps.filter((s) => s.role !== 'draft')
      const tpot = summarize(trace).tpot!.mean
      if (!method) plain = tpot
      const drafting = trace.steps.filter((s) => s.role === 'draft')
      const mean = (ms: number, n: number) => (n ? (ms / n).toFixed(2) : '–')
      const sum = (steps: typeof target) => steps.reduce((t, s) => t + s.duration, 0)
      const shares = target.reduce((n, s) => n + s.batch.filter((b) => b.context >= trace.requests[b.request]!.promptTokens).length, 0)
      const tokens = of('token').length - trace.requests.length
      rows.push([
        `${batch}`, method ? Object.values(method).join(' ') : 'plain', tpot.toFixed(2), (plain / tpot).toFixed(2),
        of('draft').length ? (accepted / of('draft').length).toFixed(2) : '–', (tokens / shares).toFixed(2), mean(sum(target), target.length), mean(sum(drafting), drafting.length),
      ])
    }
  }
  runner.dispose()
  draft.dispose()
  return rows

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
}
void [expectedSpeedup, expectedTokens]
for (const row of [['batch', 'method', 'TPOT', 'gain', 'accept', 'tok/step', 'target ms', 'draft ms'], ...(await speculationRows())]) console.log(row.map((c) => c.padStart(10)).join(' '))
