import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { BLOCK_SIZE } from '$engine/runner/runner'
import { BlockPool } from '$engine/serving/blocks'
import { PrefixCache } from '$engine/serving/prefix-cache'
import { PrefixIds } from '$engine/serving/prefix-ids'
import type { Trace } from '$engine/trace/trace'
import { serveAll, type Wanted } from '../support/serve-run'
import { toyRunner } from '../support/toy-runner'

function prefixes(blocks: number, ttl = Infinity, now = () => 0) {
  const ids = new PrefixIds()
  const pool = new BlockPool(blocks)
  return { ids, pool, cache: new PrefixCache(BLOCK_SIZE, 1, ttl, now, pool, (id) => ids.contents(id)) }
}

const cached = (trace: Trace) => trace.requests.map((r) => trace.events.filter((e) => e.request === r.id && e.kind === 'cached').reduce((n, e) => n + e.count!, 0))
const computed = (trace: Trace) => trace.requests.map((r) => trace.events.filter((e) => e.request === r.id && e.kind === 'prefill').reduce((n, e) => n + e.count!, 0))
const counting = (from: number, length: number) => Array.from({ length }, (_, i) => (from + 5 * i) % 16)

describe('prefix cache of the live loop', () => {
  test('a warm prompt is computed from where it goes on: whole blocks are shared, the rest of one is copied', async () => {
    const { ids, cache } = prefixes(64)
    const first = counting(1, 70)
    const second = [...first.slice(0, 59), 15, 15, 15, ...first.slice(62)]
    const wanted = [first, first, second].map((prompt, i): Wanted => ({ prompt, maxTokens: 3, arrival: i, more: { prefix: ids.of(Int32Array.from(prompt)) } }))
    const runner = toyRunner()
    const { trace, outputs } = await serveAll(runner, wanted, { cache })
    // 70 tokens: four whole blocks are kept. The third agrees for 59: three blocks and eleven tokens of the fourth.
    expect(cached(trace)).toEqual([0, 64, 59])
    expect(computed(trace)).toEqual([70, 6, 11])
    expect(runner.runs.flatMap((r) => r.copies ?? []).length).toBe(11)
    const plain = await serveAll(toyRunner(), wanted)
    expect(outputs).toEqual(plain.outputs)
  })

  test('the same prompt of whole blocks: all but its last token is found', async () => {
    const { ids, cache } = prefixes(64)
    const prompt = counting(3, 48)
    const wanted = [0, 1].map((arrival): Wanted => ({ prompt, maxTokens: 2, arrival, more: { prefix: ids.of(Int32Array.from(prompt)) } }))
    const { trace, outputs } = await serveAll(toyRunner(), wanted, { cache })
    expect(cached(trace)).toEqual([0, 47])
    expect(outputs[1]).toEqual(outputs[0])
  })

  test('another first token is another prefix: nothing is found', async () => {
    const { ids, cache } = prefixes(64)
    const prompt = counting(3, 48)
    const other = [(prompt[0]! + 1) % 16, ...prompt.slice(1)]
    const wanted = [prompt, other].map((p, i): Wanted => ({ prompt: p, maxTokens: 2, arrival: i, more: { prefix: ids.of(Int32Array.from(p)) } }))
    expect(cached((await serveAll(toyRunner(), wanted, { cache })).trace)).toEqual([0, 0])
  })

  test('what is not taken up in time is forgotten', async () => {
    for (const [wait, hit] of [[90, 32], [110, 0]] as const) {
      let now = 0
      const { ids, cache } = prefixes(64, 100, () => now)
      const prompt = counting(3, 40)
      const wanted: Wanted[] = [{ prompt, maxTokens: 2, more: { prefix: ids.of(Int32Array.from(prompt)) } }]
      await serveAll(toyRunner(), wanted, { cache })
      now = wait
      const runner = toyRunner()
      const { trace } = await serveAll(runner, wanted, { cache }).catch(() => ({ trace: undefined }))
      // The second toy's slots are empty: a hit makes it throw, which is the hit.
      if (hit) expect(trace).toBeUndefined()
      else expect(cached(trace!)).toEqual([0])
    }
  })

  test('any prompts, pools and speculation, over several workloads: the text is the plain one, and no block is lost', async () => {
    const scene = fc.record({
      stems: fc.array(fc.array(fc.integer({ min: 0, max: 15 }), { minLength: 1, maxLength: 60 }), { minLength: 1, maxLength: 3 }),
      tails: fc.array(fc.tuple(fc.nat(2), fc.array(fc.integer({ min: 0, max: 15 }), { maxLength: 20 })), { minLength: 2, maxLength: 8 }),
      blocks: fc.integer({ min: 7, max: 40 }), sequences: fc.integer({ min: 1, max: 4 }), tokens: fc.integer({ min: 6, max: 40 }), speculate: fc.boolean(),
    })
    let hits = 0
    await fc.assert(fc.asyncProperty(scene, async ({ stems, tails, blocks, sequences, tokens, speculate }) => {
      const limits = { blocks, sequences, tokens, vocabSize: 17 }
      const { ids, pool, cache } = prefixes(blocks)
      const wanted = tails.map(([stem, tail], i): Wanted => {
        const prompt = [...stems[stem % stems.length]!, ...tail]
        return { prompt, maxTokens: 1 + (i % 9), arrival: i % 3, more: { prefix: ids.of(Int32Array.from(prompt)) } }
      })
      const plain = await serveAll(toyRunner({ vocabSize: 17 }), wanted)
      const runner = toyRunner(limits)
      for (let round = 0; round < 2; round++) {
        const { outputs, trace } = await serveAll(runner, wanted, { cache, speculate: speculate ? { method: 'tree', runner: toyRunner({ ...limits, noise: 0.3 }) } : undefined })
        expect(outputs).toEqual(plain.outputs)
        hits += cached(trace).reduce((a, b) => a + b)
      }
      // All that is still held is the cache's, and can be had.
      expect(pool.used).toBe(cache.evictable)
      cache.evict(cache.evictable)
      expect(pool.used).toBe(0)
    }), { numRuns: 120 })
    expect(hits).toBeGreaterThan(500)
  })
})

test('ids are exact: equal ids mean equal text from the beginning', () => {
  fc.assert(fc.property(fc.array(fc.array(fc.integer({ min: 0, max: 1 }), { minLength: 0, maxLength: 50 }), { minLength: 2, maxLength: 6 }), (texts) => {
    const ids = new PrefixIds()
    const all = texts.map((t) => ids.of(Int32Array.from(t)))
    for (const [i, a] of all.entries()) for (const [j, b] of all.entries()) for (let k = 0; k < Math.min(a.length, b.length); k++) {
      const same = texts[i]!.slice(0, 16 * (k + 1)).join() === texts[j]!.slice(0, 16 * (k + 1)).join()
      expect(a[k] === b[k]).toBe(same)
    }
  }))
})
