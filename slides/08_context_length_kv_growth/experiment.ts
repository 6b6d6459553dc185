import { choice, define, integer, power2, type Values } from '$components/controls/params'
import type { Context, Reading } from '$components/frame/experiment'
import { percentile, perRequest } from '$engine/trace/metrics'
import type { Trace } from '$engine/trace/trace'

const RANGE = { from: 64, to: 8192 }

export const params = define({
  context: power2({ ...RANGE, default: 1024, label: 'Context', unit: 'tok', tone: 'decode', hint: 'Tokens in the cache while the next one is made.' }),
  batch: integer({ from: 1, to: 16, default: 1, label: 'Batch', unit: 'seq', hint: 'Requests that decode together, each with a cache of its own.' }),
  kv_heads: choice({ options: ['1', '2', '4', '8'], default: '2', label: 'KV heads', hint: 'Heads of keys and values: fewer of them are shared by more query heads.' }),
  kv_precision: choice({ options: ['f16', 'int8'], default: 'f16', label: 'KV values', hint: 'How keys and values are stored.' }),
})

/** Decode steps timed at each length; the last one fills it. */
const STEPS = 16
/** Times round the lengths: each length is seen in several moments of a busy machine. */
const ROUNDS = 3
/** KV blocks set aside at most, for one KV head; two heads take as much memory with half of them. */
const BLOCKS = 16448
const BLOCK = 16

/** What decoding took at one length. */
export interface Point {
  context: number
  /** Every gap between two tokens, ms, all rounds together. */
  gaps: number[]
  /** Their median. */
  tpot: number
}

export interface ContextReading extends Reading {
  /** The run at the reader's own setting, the first; while `complete` is false the others follow. */
  trace: Trace
  /** Ascending in context. */
  points: Point[]
  /** Longest context that the blocks set aside hold for so many requests. */
  room: number
}

/**
 * Decode steps at each length of context, the reader's own first. What is in the cache is declared, not
 * computed: a step takes as long whatever the keys say, and a prefill of thousands of tokens would take
 * the time of all of it. On the timing model, whose weights do not fit the processor's cache.
 */
export async function* run(p: Values<typeof params>, { engine, signal }: Context): AsyncGenerator<ContextReading> {
  const perSequence = (context: number) => Math.ceil(context / BLOCK)
  const kvBlocks = Math.min(p.batch * perSequence(RANGE.to), Math.floor(BLOCKS / Number(p.kv_heads)))
  const room = Math.floor(kvBlocks / p.batch) * BLOCK
  const serve = (context: number) => engine.serve({
    model: 'timing', kv: p.kv_precision, kvHeads: Number(p.kv_heads), kvBlocks, maxSequences: p.batch,
    requests: Array.from({ length: p.batch }, () => ({ prompt: 1, context: context - STEPS - 2, maxTokens: STEPS + 1, ignoreEos: true })),
  }, { signal })

  const lengths = nearestFirst(p.context).filter((context) => context <= room)
  const gaps = new Map<number, number[]>()
  let trace: Trace | undefined
  for (let round = 0; round < ROUNDS; round++) {
    for (const context of lengths) {
      const served = await serve(context)
      trace ??= served
      gaps.set(context, [...(gaps.get(context) ?? []), ...perRequest(served).flatMap((r) => r.itl)])
      yield { trace, points: pointsOf(gaps), room, complete: false }
    }
  }
  if (!trace) throw new Error(`${p.batch} requests leave room for ${room} tokens of context each, and the shortest looked at is ${RANGE.from}: take fewer requests or fewer KV heads`)
  yield { trace, points: pointsOf(gaps), room, complete: true }
}

function pointsOf(gaps: ReadonlyMap<number, number[]>): Point[] {
  return [...gaps].map(([context, all]) => ({ context, gaps: all, tpot: percentile(all, 50) })).sort((a, b) => a.context - b.context)
}

/** All lengths, the reader's own first and the others by how far they are from it. */
function nearestFirst(own: number): number[] {
  const all = Array.from({ length: Math.log2(RANGE.to / RANGE.from) + 1 }, (_, i) => RANGE.from * 2 ** i)
  return all.sort((a, b) => Math.abs(Math.log2(a / own)) - Math.abs(Math.log2(b / own)))
}

