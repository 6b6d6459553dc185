import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { StepBatch, StepResult } from '$engine/runner/runner'
import { BlockPool } from '$engine/serving/blocks'
import { Scheduler } from '$engine/serving/scheduler'

/** A runner's answer: the k-th output of request r is (r·31 + k) mod 97, so that order and loss would show. */
function answer(batch: StepBatch, produced: Map<number, number>): StepResult {
  const steps = batch.steps ?? 1
  const tokens = new Int32Array(steps * batch.chunks.length).fill(-1)
  for (let s = 0; s < steps; s++) {
    for (const [i, c] of batch.chunks.entries()) {
      if (!c.sample) continue
      const k = produced.get(c.request) ?? 0
      tokens[s * batch.chunks.length + i] = (c.request * 31 + k) % 97
      produced.set(c.request, k + 1)
    }
  }
  return { tokens }
}

const workload = fc.record({
  limits: fc.record({ maxSequences: fc.integer({ min: 1, max: 8 }), maxBatchedTokens: fc.integer({ min: 1, max: 64 }), blocks: fc.integer({ min: 4, max: 40 }) }),
  requests: fc.array(fc.record({ prompt: fc.integer({ min: 1, max: 90 }), maxTokens: fc.integer({ min: 1, max: 40 }), after: fc.integer({ min: 0, max: 6 }) }), { minLength: 1, maxLength: 12 }),
  chain: fc.integer({ min: 1, max: 8 }),
})

describe('scheduler', () => {
  test('serves everyone what they asked for, within its limits, and gives every block back', () => {
    fc.assert(fc.property(workload, ({ limits, requests, chain }) => {
      const preempted: number[] = []
      const scheduler = new Scheduler(limits, (r) => preempted.push(r.id))
      const outputs = new Map<number, number[]>()
      const produced = new Map<number, number>()
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
          scheduler.add({ id: r.id, prompt: Array.from({ length: r.prompt }, (_, i) => i % 97), maxTokens: r.maxTokens, eos: [] })
        }
        idle++
        const batch = scheduler.next(chain)
        if (!batch) continue
        const steps = batch.steps ?? 1
        expect(batch.chunks.length).toBeLessThanOrEqual(limits.maxSequences)
        expect(batch.chunks.reduce((n, c) => n + c.tokens.length, 0)).toBeLessThanOrEqual(limits.maxBatchedTokens)
        expect(scheduler.blocksUsed).toBeLessThanOrEqual(limits.blocks)
        const held = batch.chunks.flatMap((c) => [...c.blockTable])
        expect(new Set(held).size, 'a block belongs to one sequence').toBe(held.length)
        for (const c of batch.chunks) {
          expect(c.blockTable.length * 16).toBeGreaterThanOrEqual(c.start + c.tokens.length - 1 + steps)
          if (steps > 1) expect(c.tokens.length).toBe(1)
        }
        // A recomputed request's sampled tokens go on from where it was.
        for (const p of scheduler.complete(batch, answer(batch, produced))) {
          const list = outputs.get(p.request.id) ?? []
          list.push(...p.sampled)
          outputs.set(p.request.id, list)
          // A chain may run past the end: what the runner made beyond it is dropped.
          if (p.finished) produced.set(p.request.id, list.length)
        }
      }
      expect(scheduler.blocksUsed).toBe(0)
      expect(outputs.size).toBe(requests.length - refused)
      for (const [id, tokens] of outputs) {
        expect(tokens).toEqual(Array.from({ length: requests[id]!.maxTokens }, (_, k) => (id * 31 + k) % 97))
      }
    }), { numRuns: 300 })
  })

  test('preempts the one admitted last, which starts over and still finishes', () => {
    const preempted: number[] = []
    const scheduler = new Scheduler({ maxSequences: 4, maxBatchedTokens: 256, blocks: 4 }, (r) => preempted.push(r.id))
    for (const id of [0, 1]) scheduler.add({ id, prompt: new Array(30).fill(1), maxTokens: 30, eos: [] })
    const produced = new Map<number, number>()
    const done: number[] = []
    for (let i = 0; i < 200 && !scheduler.idle; i++) {
      const batch = scheduler.next()!
      for (const p of scheduler.complete(batch, answer(batch, produced))) if (p.finished) done.push(p.request.id)
    }
    expect(preempted.length).toBeGreaterThan(0)
    expect(new Set(preempted)).toEqual(new Set([1]))
    expect(done).toEqual([0, 1])
  })

  test('admits first come, first served: a small one does not overtake a head that does not fit', () => {
    const scheduler = new Scheduler({ maxSequences: 4, maxBatchedTokens: 512, blocks: 8 })
    scheduler.add({ id: 0, prompt: new Array(80).fill(1), maxTokens: 8, eos: [] })
    scheduler.add({ id: 1, prompt: new Array(100).fill(1), maxTokens: 8, eos: [] })
    scheduler.add({ id: 2, prompt: [1], maxTokens: 8, eos: [] })
    expect(scheduler.next()!.chunks.map((c) => c.request)).toEqual([0])
    expect(scheduler.queueLength).toBe(2)
  })

  test('stops at an end-of-text token, also in the middle of a chain', () => {
    const scheduler = new Scheduler({ maxSequences: 1, maxBatchedTokens: 16, blocks: 8 })
    scheduler.add({ id: 0, prompt: [5], maxTokens: 20, eos: [2] })
    scheduler.complete(scheduler.next()!, { tokens: Int32Array.of(9) })
    const batch = scheduler.next(4)!
    expect(batch.steps).toBe(4)
    const [p] = scheduler.complete(batch, { tokens: Int32Array.of(8, 2, 7, 7) })
    expect(p).toMatchObject({ sampled: [8, 2], finished: true })
    expect(scheduler.blocksUsed).toBe(0)
  })

  test('chains nobody past someone in line', () => {
    const scheduler = new Scheduler({ maxSequences: 1, maxBatchedTokens: 16, blocks: 8 })
    scheduler.add({ id: 0, prompt: [5], maxTokens: 20, eos: [] })
    scheduler.complete(scheduler.next()!, { tokens: Int32Array.of(9) })
    scheduler.add({ id: 1, prompt: [5], maxTokens: 20, eos: [] })
    expect(scheduler.next(8)!.steps).toBe(1)
  })

  test('refuses what can never fit, with the reason', () => {
    const scheduler = new Scheduler({ maxSequences: 1, maxBatchedTokens: 16, blocks: 2 })
    expect(scheduler.refuses(30, 10)).toBe('it needs 3 KV blocks of 16 tokens, the pool has 2')
    expect(scheduler.refuses(0, 10)).toBe('the prompt is empty')
    expect(() => scheduler.add({ id: 4, prompt: new Array(30).fill(0), maxTokens: 10, eos: [] })).toThrow('request 4 cannot be served')
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
