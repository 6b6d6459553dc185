import { roofline } from '../../cost/roofline'
import { BLOCK_SIZE } from '../../runner/runner'
import { Random } from '../../serving/random'
import { replay } from '../../serving/replay'
import type { StepCost } from '../../serving/step-cost'
import { A100_2023, batchMs, kvTokens } from './roofs'

const PROMPT = 512
const MEAN_OUTPUT = 128
const REQUESTS = 1000
/** OPT's context: prompt and longest allowed answer together. */
const WORST = 2048
/** Tokens per step that the published configuration allows. */
const STEP_TOKENS = 8100
/** The static server's batch in the published configuration for the longest cap. */
const STATIC_BATCH = 4

export interface Batching {
  /** Tokens per second, prompt and answer counted, as the benchmark counts them. */
  static: number
  continuousWorstCase: number
  continuousExact: number
  paged: number
  /** The same with as many places for static and worst case as the paged server's memory has room for. */
  sameMemory: { static: number; continuousWorstCase: number }
}

/**
 * Anyscale's benchmark: OPT-13B on one A100-40, 1,000 requests at once, prompts of 512 tokens, answers
 * Exp(128) cut off at 1,536 by drawing again. Four ways to batch on one roofline:
 * static: every batch runs as long as the longest answer of all, which is what its server asks for.
 * Continuous with the worst case reserved, or each request's own length (which a real server cannot
 * know). Paged: the scheduler of this engine.
 */
export function batching(): Batching {
  const cost = roofline({ ...A100_2023, model: 'opt-13b' })
  const lengths = answers(new Random(1))
  const tokens = lengths.reduce((sum, l) => sum + PROMPT + l, 0)
  const rate = (ms: number) => (1000 * tokens) / ms
  // The longest of n exponentials has the mean H(n) · mean; one draw of it would make the result a matter of luck.
  const longest = Math.round(MEAN_OUTPUT * harmonic(REQUESTS))
  const staticRate = (places: number) => rate(Math.ceil(REQUESTS / places) * batchMs(cost, places, PROMPT, longest))
  const pool = kvTokens(A100_2023.hardware, 'opt-13b')
  const places = Math.floor(pool / WORST)
  const requests = lengths.map((outputTokens) => ({ arrival: 0, inputTokens: PROMPT, outputTokens }))
  const { served } = replay(requests, cost, { maxSequences: 256, maxBatchedTokens: STEP_TOKENS, blocks: Math.floor(pool / BLOCK_SIZE) })
  return {
    static: staticRate(STATIC_BATCH),
    continuousWorstCase: rate(reserving(cost, lengths, STATIC_BATCH * WORST, () => WORST)),
    continuousExact: rate(reserving(cost, lengths, STEP_TOKENS, (l) => PROMPT + l)),
    paged: rate(Math.max(...served.map((s) => s.lastToken))),
    sameMemory: { static: staticRate(places), continuousWorstCase: rate(reserving(cost, lengths, pool, () => WORST)) },
  }
}

function answers(random: Random): number[] {
  return Array.from({ length: REQUESTS }, () => {
    for (;;) {
      const length = Math.round(MEAN_OUTPUT * random.exponential())
      if (length <= WORST - PROMPT) return Math.max(1, length)
    }
  })
}

function harmonic(n: number): number {
  let sum = 0
  for (let k = 1; k <= n; k++) sum += 1 / k
  return sum
}

/**
 * Continuous batching that sets `reserved(answer)` tokens of `pool` aside for each request, from its
 * admission to its end: time until all are done, ms. Prompts are computed whole in the step that admits.
 */
export function reserving(cost: StepCost, lengths: readonly number[], pool: number, reserved: (length: number) => number): number {
  const running: { length: number; done: number }[] = []
  let free = pool
  let next = 0
  let ms = 0
  while (next < lengths.length || running.length > 0) {
    const decodes = running.length
    const context = running.reduce((sum, r) => sum + PROMPT + r.done, 0)
    let prefill = 0
    while (next < lengths.length && reserved(lengths[next]!) <= free && prefill + PROMPT <= STEP_TOKENS) {
      free -= reserved(lengths[next]!)
      running.push({ length: lengths[next++]!, done: 0 })
      prefill += PROMPT
    }
    if (running.length === 0) throw new RangeError(`a request reserves ${reserved(lengths[next]!)} tokens, the pool has ${pool}`)
    ms += cost.step(decodes, context, prefill, (prefill * PROMPT) / 2)
    for (let i = running.length - 1; i >= 0; i--) {
      const r = running[i]!
      if (++r.done < r.length) continue
      free += reserved(r.length)
      running.splice(i, 1)
    }
  }
  return ms
}

/** Share of the KV memory held that holds no token, over all steps of all requests. */
export interface Waste {
  /** A stretch for the longest text there can be, per request. */
  contiguous: number
  /** Blocks of 16 as they are reached. */
  paged: number
}

/** Prompts and answers exponential with the given means, prompt and answer together at most `limit` tokens. */
export function waste(meanPrompt: number, meanAnswer: number, limit: number, requests = 4000): Waste {
  const random = new Random(1)
  let used = 0
  let contiguous = 0
  let paged = 0
  for (let i = 0; i < requests; i++) {
    const prompt = Math.min(limit - 1, Math.ceil(meanPrompt * random.exponential()))
    const answer = Math.min(limit - prompt, Math.ceil(meanAnswer * random.exponential()))
    for (let tokens = prompt + 1; tokens <= prompt + answer; tokens++) {
      used += tokens
      contiguous += limit
      paged += Math.ceil(tokens / BLOCK_SIZE) * BLOCK_SIZE
    }
  }
  return { contiguous: 1 - used / contiguous, paged: 1 - used / paged }
}
