import { cpus } from 'node:os'
import { catalogueMachine } from '$engine/cost/machine'
import type { CurveRequest } from '$engine/worker/protocol'
import { Simulator } from '$engine/worker/simulator'

// node scripts/run.mjs tests/bench/curve.ts [--json] [--first]      --first: first curves only, in seconds
//
// p50 and p99 of TTFT over twenty loads, as slide 11 asks for them: how soon all are there, and when every band
// is narrow. Each curve in a simulator of its own; the first pays for compilation, as on a page just opened.

const LOADS = [0.3, 0.36, 0.42, 0.48, 0.54, 0.6, 0.65, 0.7, 0.74, 0.78, 0.82, 0.85, 0.88, 0.9, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98]
const CURVES: Record<string, Omit<CurveRequest, 'vary' | 'values'>> = {
  'continuous batching, 4 places': {
    machine: catalogueMachine({ hardware: 'h100-sxm', model: 'llama-3.1-8b' }),
    scenario: { input: { dist: 'fixed', mean: 32 }, output: { dist: 'lognormal', mean: 16, cv: 1, max: 400 }, scheduler: { max_sequences: 4 } },
  },
  'M/M/1': { scenario: { service: { kind: 'exponential', mean_ms: 100 } } },
}

const rows: { what: string; start: 'cold' | 'warm'; first_ms: number; settled_ms?: number }[] = []
for (const [what, request] of Object.entries(CURVES)) {
  for (const start of ['cold', 'warm'] as const) {
    const simulator = new Simulator({ yieldThread: () => new Promise((resolve) => setImmediate(resolve)) })
    const stop = new AbortController()
    const began = performance.now()
    let first: number | undefined
    const all = simulator.curve({ ...request, vary: 'load', values: LOADS }, {
      signal: stop.signal,
      onUpdate: () => {
        first ??= performance.now() - began
        if (start === 'cold' || process.argv.includes('--first')) stop.abort(new Error('seen'))
      },
    }).then(() => performance.now() - began, () => undefined)
    const settled = await all
    rows.push({ what, start, first_ms: Math.round(first!), settled_ms: settled && Math.round(settled) })
  }
}
if (process.argv.includes('--json')) console.log(JSON.stringify({ cpu: cpus()[0]?.model, loads: LOADS.length, rows }, null, 2))
else {
  console.log(`${cpus()[0]?.model.trim()}, one core, Node ${process.version}, ${LOADS.length} loads\n`)
  for (const r of rows) console.log(`${r.what.padEnd(32)}${r.start.padEnd(6)}first curve ${String(r.first_ms).padStart(6)} ms${r.settled_ms === undefined ? '' : `   every band within ±10 % (or at its most requests) ${(r.settled_ms / 1000).toFixed(1)} s`}`)
}
