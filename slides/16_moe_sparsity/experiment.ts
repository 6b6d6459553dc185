import prompts from '$assets/models/prompts.json'
import { define, integer, power2, type Values } from '$components/controls/params'
import type { Context, Reading } from '$components/frame/experiment'
import type { Trace } from '$engine/trace/trace'
import type { WorkloadRequest } from '$engine/worker/protocol'
import { decodeSteps } from './routes'

/** Experts of every mixture on this slide. */
export const EXPERTS = 8
export const MOST = 64

export const params = define({
  top_k: integer({ from: 1, to: EXPERTS, default: 2, label: 'Experts per token', unit: 'of 8', tone: 'decode', hint: 'How many experts the router sends each token to.' }),
  batch: power2({ from: 1, to: MOST, default: 1, label: 'Batch', unit: 'seq', hint: 'Sequences that decode together, each with a text of its own.' }),
})

const MODEL = 'tales-moe'
/** Tokens written to be looked at, and by each of the many that batches are drawn from. */
const WRITTEN = 24
const WIDE = 12
/** Decode steps timed for each number of experts, several times over so that a busy moment does not hit one alone. */
const STEPS = 8
const ROUNDS = 3

/** Decode steps of the timing model with one number of experts a token. */
export interface Timed {
  topK: number
  /** Durations of steps in which the whole batch decodes, ms. */
  steps: number[]
  /** The last run: how its numbers are known, what it moved and computed. */
  trace: Trace
}

export interface MixtureReading extends Reading {
  /** The reader's batch on the trained mixture, with the experts of every token. */
  trace: Trace
  /** As many texts as the largest batch has: smaller batches are drawn from them. */
  wide?: Trace
  /** Ascending in topK. */
  timed: Timed[]
}

/** Drawn, not greedy, so that two texts with the same beginning go their own ways. */
function texts(count: number, maxTokens: number): WorkloadRequest[] {
  return Array.from({ length: count }, (_, i) => ({ prompt: prompts[i % prompts.length]!.text, maxTokens, ignoreEos: true, sampling: { temperature: 1, seed: i + 1 } }))
}

/**
 * The trained mixture for what routers choose; the timing model of as many experts, whose weights do not fit the
 * processor's cache, for what a step takes with each number of experts a token: the reader's own first, then all
 * eight to compare with, then the others.
 */
export async function* run(p: Values<typeof params>, { engine, signal }: Context): AsyncGenerator<MixtureReading> {
  const route = (count: number, maxTokens: number) =>
    engine.serve({ model: MODEL, expertsPerToken: p.top_k, wantExperts: true, maxSequences: count, requests: texts(count, maxTokens) }, { signal })
  const trace = await route(p.batch, WRITTEN)
  yield { trace, timed: [], complete: false }
  const wide = await route(MOST, WIDE)
  yield { trace, wide, timed: [], complete: false }

  const timed = new Map<number, Timed>()
  const reading = (complete: boolean): MixtureReading => ({ trace, wide, timed: [...timed.values()].sort((a, b) => a.topK - b.topK), complete })
  const order = [...new Set([p.top_k, EXPERTS, ...Array.from({ length: EXPERTS }, (_, i) => i + 1)])]
  for (let round = 0; round < ROUNDS; round++) {
    for (const topK of order) {
      const served = await engine.serve({
        model: 'timing', experts: EXPERTS, expertsPerToken: topK, maxSequences: p.batch,
        requests: Array.from({ length: p.batch }, (_, i) => ({ prompt: 1, maxTokens: STEPS + 1, ignoreEos: true, sampling: { temperature: 1, seed: i + 1 } })),
      }, { signal })
      timed.set(topK, { topK, trace: served, steps: [...(timed.get(topK)?.steps ?? []), ...decodeSteps(served).map((s) => s.duration)] })
      yield reading(false)
    }
  }
  yield reading(true)
}
