import prompts from '$assets/models/prompts.json'
import { choice, define, integer, power2, type Values } from '$components/controls/params'
import type { Context, Reading } from '$components/frame/experiment'
import { follow } from '$components/frame/follow'
import type { Trace } from '$engine/trace/trace'
import type { Workload } from '$engine/worker/protocol'

export const params = define({
  method: choice({
    options: { plain: 'Plain', linear: 'Linear', dynamic: 'Dynamic', lookup: 'Lookup', tree: 'Tree' },
    default: 'linear', label: 'Drafts', tone: 'decode', hint: 'Who guesses, and how: a small model in a row, as many as last time were right, the text itself, a tree of alternatives.',
  }),
  k: integer({ from: 1, to: 8, default: 4, label: 'Ahead', unit: 'tok', tone: 'decode', hint: 'Tokens guessed in a row.' }),
  depth: integer({ from: 1, to: 8, default: 6, label: 'Depth', unit: 'tok', tone: 'decode', hint: 'Tree: tokens ahead at most.' }),
  branch: integer({ from: 1, to: 4, default: 2, label: 'Branches', tone: 'decode', hint: 'Tree: alternatives after one token at most.' }),
  batch: power2({ from: 1, to: 32, default: 1, label: 'Batch', unit: 'seq', hint: 'Requests served together.' }),
})

export type Method = Values<typeof params>['method']
export const METHODS = ['plain', 'linear', 'dynamic', 'lookup', 'tree'] as const satisfies readonly Method[]

/** Model that is served, and the one that guesses for it. */
export const TARGET = 'tales-5m'
export const DRAFT = 'tales-0.3m'
/** Output of each request. */
export const OUTPUT = 48

export interface ProxyReading extends Reading {
  /** Finished runs by method, the reader's own among them. */
  runs: Partial<Record<Method, Trace>>
}

/**
 * The reader's method first, then plain decoding of the same prompts beside it, then the other methods: what is
 * drawn at once is what was asked for, and the comparison fills up.
 */
export async function* run(p: Values<typeof params>, { engine, signal }: Context): AsyncGenerator<ProxyReading> {
  const runs: ProxyReading['runs'] = {}
  let trace: Trace | undefined
  // What runs first pays for what is made when it is first used: an own short run takes that.
  await engine.serve({ ...workload(p, p.method), requests: [{ prompt: prompts[0]!.text, maxTokens: 4 }] }, { signal })
  for await (const followed of follow(engine, workload(p, p.method), signal)) {
    trace = followed.trace
    if (followed.complete) runs[p.method] = trace
    yield { trace, complete: false, runs: { ...runs } }
  }
  for (const method of METHODS) {
    if (method === p.method) continue
    runs[method] = await engine.serve(workload(p, method), { signal })
    yield { trace: trace!, complete: false, runs: { ...runs } }
  }
  yield { trace: trace!, complete: true, runs }
}

function workload({ k, depth, branch, batch }: Values<typeof params>, method: Method): Workload {
  return {
    model: TARGET,
    maxSequences: batch,
    requests: Array.from({ length: batch }, (_, i) => ({ prompt: prompts[i % prompts.length]!.text, maxTokens: OUTPUT })),
    speculate: method === 'plain' ? undefined : { method, k, depth, branch, draft: DRAFT },
  }
}
