import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { BlockPool } from '$engine/serving/blocks'
import { Scheduler, type Batch, type Outcome } from '$engine/serving/scheduler'
import { PlainScheduler } from '../support/plain-scheduler'

/** Everyone decodes to their maxTokens; `lengths` may end a text before. */
function answer(batch: Batch, lengths = new Map<number, number>()): Outcome[] {
  return batch.grants.map(({ sequence: s, sample }) => {
    const left = (lengths.get(s.id) ?? s.maxTokens) - s.outputTokens
    const sampled = sample ? Math.min(batch.steps, left) : 0
    return { sampled, finished: sample && sampled === left }
  })
}

const workload = fc.record({
  limits: fc.record({ maxSequences: fc.integer({ min: 1, max: 8 }), maxBatchedTokens: fc.integer({ min: 1, max: 64 }), blocks: fc.integer({ min: 4, max: 40 }) }),
  requests: fc.array(fc.record({ prompt: fc.integer({ min: 1, max: 90 }), maxTokens: fc.integer({ min: 1, max: 40 }), after: fc.integer({ min: 0, max: 6 }) }), { minLength: 1, maxLength: 12 }),
  chain: fc.integer({ min: 1, max: 8 }),
})

describe('scheduler', () => {
  test('serves everyone what they asked for, within its limits, and gives every block back', () => {
    fc.assert(fc.property(workload, ({ limits, requests, chain }) => {
      const scheduler = new Scheduler(limits)
      const computed = new Map<number, number>() // output tokens seen, by request
      const started: number[] = []
      let refused = 0
      const coming = requests.map((r, id) => ({ ...r, id })).filter((r) => {
        if (!scheduler.refuses(r.prompt, r.maxTokens)) return true
        refused++
        return false
      })
      let idle = 0
      for (let step = 0; coming.length > 0 || !scheduler.idle; step++) {
        expect(step, 'the scheduler never finishes').toBeLessThan(5000)
        while (coming.length > 0 && idle >= coming[0]!.after) {
          const r = coming.shift()!
          idle = 0
          scheduler.add(r.id, r.prompt, r.maxTokens)
        }
        idle++
        const batch = scheduler.next(chain)
        if (!batch) continue
        const { grants, steps } = batch
        expect(grants.length).toBeLessThanOrEqual(limits.maxSequences)
        expect(grants.reduce((n, g) => n + g.tokens, 0)).toBeLessThanOrEqual(limits.maxBatchedTokens)
        expect(scheduler.blocksUsed).toBeLessThanOrEqual(limits.blocks)
        const held = grants.flatMap((g) => g.sequence.blockTable)
        expect(new Set(held).size, 'a block belongs to one sequence').toBe(held.length)
        for (const g of grants) {
          expect(g.tokens).toBeGreaterThan(0)
          expect(g.start).toBe(g.sequence.computed)
          expect(g.sequence.blockTable.length * 16).toBeGreaterThanOrEqual(g.start + g.tokens - 1 + steps)
          if (steps > 1) expect(g.tokens).toBe(1)
          if (!started.includes(g.sequence.id)) started.push(g.sequence.id)
        }
        const outcomes = answer(batch)
        scheduler.complete(batch, outcomes)
        for (const [i, g] of grants.entries()) {
          computed.set(g.sequence.id, (computed.get(g.sequence.id) ?? 0) + outcomes[i]!.sampled)
          // Everything but the newest token is in the cache once a request has caught up.
          if (g.sample && !outcomes[i]!.finished) expect(g.sequence.known - g.sequence.computed).toBe(1)
        }
      }
      expect(scheduler.blocksUsed).toBe(0)
      expect(computed.size).toBe(requests.length - refused)
      for (const [id, tokens] of computed) expect(tokens).toBe(requests[id]!.maxTokens)
      expect(started, 'first come, first served').toEqual([...started].sort((a, b) => a - b))
    }), { numRuns: 300 })
  })

  test('preempts the one admitted last, which starts over and still finishes', () => {
    const preempted: number[] = []
    const scheduler = new Scheduler({ maxSequences: 4, maxBatchedTokens: 256, blocks: 4 }, (s) => preempted.push(s.id))
    for (const id of [0, 1]) scheduler.add(id, 30, 30)
    const done: number[] = []
    for (let i = 0; i < 200 && !scheduler.idle; i++) {
      const batch = scheduler.next()!
      const outcomes = answer(batch)
      scheduler.complete(batch, outcomes)
      for (const [j, g] of batch.grants.entries()) if (outcomes[j]!.finished) done.push(g.sequence.id)
    }
    expect(preempted.length).toBeGreaterThan(0)
    expect(new Set(preempted)).toEqual(new Set([1]))
    expect(done).toEqual([0, 1])
  })

  test('a preempted request computes its prompt and its output so far again, as one prefill', () => {
    const scheduler = new Scheduler({ maxSequences: 4, maxBatchedTokens: 256, blocks: 4 })
    for (const id of [0, 1]) scheduler.add(id, 30, 30)
    const again: [number, number][] = []
    for (let i = 0; i < 200 && !scheduler.idle; i++) {
      const batch = scheduler.next()!
      for (const g of batch.grants) if (g.start === 0 && g.sequence.outputTokens > 0) again.push([g.sequence.id, g.tokens])
      scheduler.complete(batch, answer(batch))
    }
    expect(again.length).toBeGreaterThan(0)
    for (const [id, tokens] of again) expect([id, tokens > 30]).toEqual([1, true])
  })

  test('admits first come, first served: a small one does not overtake a head that does not fit', () => {
    const scheduler = new Scheduler({ maxSequences: 4, maxBatchedTokens: 512, blocks: 8 })
    scheduler.add(0, 80, 8)
    scheduler.add(1, 100, 8)
    scheduler.add(2, 1, 8)
    expect(scheduler.next()!.grants.map((g) => g.sequence.id)).toEqual([0])
    expect(scheduler.queueLength).toBe(2)
  })

  test('a text that ends in the middle of a chain leaves at once', () => {
    const scheduler = new Scheduler({ maxSequences: 1, maxBatchedTokens: 16, blocks: 8 })
    scheduler.add(0, 1, 20)
    const first = scheduler.next()!
    scheduler.complete(first, answer(first))
    const batch = scheduler.next(4)!
    expect(batch.steps).toBe(4)
    scheduler.complete(batch, answer(batch, new Map([[0, 3]])))
    expect(scheduler.idle).toBe(true)
    expect(scheduler.blocksUsed).toBe(0)
  })

  test('chains nobody past someone in line', () => {
    const scheduler = new Scheduler({ maxSequences: 1, maxBatchedTokens: 16, blocks: 8 })
    scheduler.add(0, 1, 20)
    const first = scheduler.next()!
    scheduler.complete(first, answer(first))
    scheduler.add(1, 1, 20)
    expect(scheduler.next(8)!.steps).toBe(1)
  })

  test('refuses what can never fit, with the reason', () => {
    const scheduler = new Scheduler({ maxSequences: 1, maxBatchedTokens: 16, blocks: 2 })
    expect(scheduler.refuses(30, 10)).toBe('it needs 3 KV blocks of 16 tokens, the pool has 2')
    expect(scheduler.refuses(0, 10)).toBe('the prompt is empty')
    expect(() => scheduler.add(4, 30, 10)).toThrow('request 4 cannot be served')
  })

  test('a cancelled request gives its place and its blocks back', () => {
    const scheduler = new Scheduler({ maxSequences: 1, maxBatchedTokens: 16, blocks: 8 })
    for (const id of [0, 1, 2]) scheduler.add(id, 10, 5)
    scheduler.complete(scheduler.next()!, [{ sampled: 1, finished: false }])
    expect([scheduler.cancel(1), scheduler.cancel(0), scheduler.cancel(7)]).toEqual([true, true, false])
    expect(scheduler.blocksUsed).toBe(0)
    expect(scheduler.next()!.grants.map((g) => g.sequence.id)).toEqual([2])
  })
})

describe('a scheduler that keeps sums, against one that looks at everybody', () => {
  const limits = fc.record({
    maxSequences: fc.integer({ min: 1, max: 9 }), maxBatchedTokens: fc.integer({ min: 1, max: 64 }), blocks: fc.integer({ min: 8, max: 60 }), blockSize: fc.constantFrom(1, 5, 16, 1500),
    chunked: fc.boolean(), batching: fc.constantFrom('continuous' as const, 'prefill-first' as const),
  })
  const requests = fc.array(fc.record({ prompt: fc.integer({ min: 1, max: 90 }), output: fc.integer({ min: 1, max: 60 }), after: fc.integer({ min: 0, max: 12 }) }), { minLength: 1, maxLength: 25 })
  test.each([true, false])('decides the same in every step, preemptions included; block ids: %s', (blockIds) => {
    fc.assert(fc.property(limits, requests, (limits, requests) => {
      const preempted: number[] = []
      const { batching, blockSize, chunked: chunkedPrefill } = limits
      const kept = new Scheduler(limits, (s) => preempted.push(s.id), { batching, blockSize, chunkedPrefill, blockIds })
      const plain = new PlainScheduler(limits)
      let next = 0
      let since = 0
      for (let step = 0; next < requests.length || !kept.idle; step++) {
        expect(step).toBeLessThan(20_000)
        for (; next < requests.length && since >= requests[next]!.after; next++, since = 0) {
          const { prompt, output } = requests[next]!
          if (kept.refuses(prompt, output)) continue
          kept.add(next, prompt, output)
          plain.add(next, prompt, output, output)
        }
        since++
        const batch = kept.next()
        const grants = batch?.grants.map((g) => [g.sequence.id, g.start, g.tokens]) ?? []
        // Steps of the plain one happen at once; blocks are compared after them.
        expect(grants).toEqual(plain.step())
        if (batch) kept.complete(batch, batch.grants.map(({ sequence: s, sample }) => ({ sampled: sample ? 1 : 0, finished: sample && s.outputTokens + 1 === requests[s.id]!.output })))
        expect(kept.blocksUsed).toBe(plain.blocksUsed)
        expect(preempted).toEqual(plain.preempted)
      }
    }), { numRuns: 150 })
  })
})

describe('block pool', () => {
  test('hands out each block once, counts holders, and gets all of them back', () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 20 }), fc.array(fc.nat({ max: 2 }), { maxLength: 200 }), (total, moves) => {
      const pool = new BlockPool(total)
      const held: number[] = []
      for (const move of moves) {
        if (move === 0) {
          const block = pool.allocate()
          if (block === undefined) expect(new Set(held).size).toBe(total)
          else {
            expect(held).not.toContain(block)
            held.push(block)
          }
        } else if (held.length > 0 && move === 1) {
          pool.share(held[0]!)
          held.push(held[0]!)
        } else if (held.length > 0) pool.release(held.pop()!)
        expect(pool.used).toBe(new Set(held).size)
      }
      for (const block of held) pool.release(block)
      expect(pool.available).toBe(total)
    }))
  })
  test('a block that is not in use cannot be released or shared', () => {
    const pool = new BlockPool(2)
    expect(() => pool.release(0)).toThrow('not in use')
    expect(() => pool.share(1)).toThrow('not in use')
    expect(() => new BlockPool(0)).toThrow('positive')
  })
})
