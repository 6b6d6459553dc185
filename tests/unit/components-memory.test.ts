import { describe, expect, test } from 'vitest'
import fc from 'fast-check'
import { sampleTrace } from '$components/gallery/samples'
import { cellGrid, poolAt, poolCounts } from '$components/motif/kv-blocks'
import { cachedTokens, placeTree, treeOf, type Prompt } from '$components/motif/prefix-tree'
import type { Trace } from '$engine/trace/trace'

const requests = fc.array(fc.record({ arrival: fc.integer({ min: 0, max: 300 }), promptTokens: fc.integer({ min: 1, max: 90 }), outputs: fc.integer({ min: 1, max: 40 }) }), { minLength: 1, maxLength: 8 })

describe('the pool replayed from a Trace', () => {
  test('each running request holds the blocks of its tokens, the finished none', () => {
    fc.assert(
      fc.property(requests, fc.integer({ min: 0, max: 600 }), (rs, at) => {
        const trace = sampleTrace(rs.map((r) => ({ ...r, queue: 10, prefill: 30, tpot: 5 })))
        // Held as the Trace says it: no prefix cache here.
        for (const s of trace.steps) s.kvBlocks = 0
        const pool = poolAt(trace, at, { total: 256 })
        for (const { id } of trace.requests) {
          const over = trace.events.some((e) => e.request === id && e.kind === 'finished' && e.t <= at)
          const computed = Math.max(0, ...trace.steps.filter((s) => s.start <= at && s.batch[0]!.request === id).map((s) => s.batch[0]!.context + s.batch[0]!.tokens))
          const own = pool.blocks.filter((b) => b.owner === id)
          expect(own).toHaveLength(over ? 0 : Math.ceil(computed / 16))
          if (!over) expect(own.reduce((n, b) => n + (b.fill ?? 0) * 16, 0)).toBeCloseTo(computed, 6)
        }
      }),
    )
  })
  test('contiguous reserves the longest answer in one piece; what it does not fill is waste', () => {
    const trace = sampleTrace([{ promptTokens: 20, outputs: 60, queue: 0, prefill: 10, tpot: 10 }])
    for (const s of trace.steps) s.kvBlocks = 0
    const { blocks } = poolAt(trace, 15, { total: 16, policy: 'contiguous' })
    expect(blocks.map((b) => b.state)).toEqual(['used', 'used', 'waste', 'waste', 'waste', ...new Array<string>(11).fill('free')])
    expect(poolCounts({ blocks, host: [], blockSize: 16 })).toMatchObject({ used: 2, waste: 3, free: 11, emptyPositions: 5 * 16 - 21 })
  })
  test('what the Trace holds beyond the requests is the cache’s: shared once a request has taken from it', () => {
    const trace: Trace = {
      provenance: sampleTrace([{}]).provenance,
      requests: [{ id: 1, arrival: 0, promptTokens: 40, maxTokens: 4 }],
      events: [{ t: 1, request: 1, kind: 'cached', count: 32 }],
      steps: [{ start: 2, duration: 1, batch: [{ request: 1, tokens: 8, context: 32, sampled: true, soloFlops: 1, soloBytes: 1 }], flops: 1, bytes: 1, workingSet: 1, kvBlocks: 5 }],
      kvBlocksTotal: 8,
    }
    const states = (t: Trace) => poolAt(t, 10).blocks.map((b) => b.state).sort()
    expect(states(trace)).toEqual(['free', 'free', 'free', 'shared', 'shared', 'shared', 'shared', 'used'])
    expect(states({ ...trace, events: [] }).filter((s) => s === 'cached')).toHaveLength(2)
  })
  test('offloaded blocks lie on the host until the request is scheduled again', () => {
    const trace = sampleTrace([{ promptTokens: 40, outputs: 40, queue: 0, prefill: 10, tpot: 10 }])
    for (const s of trace.steps) s.kvBlocks = 0
    trace.events.push({ t: 25, request: 0, kind: 'preempted', reason: 'swap' }, { t: 205, request: 0, kind: 'scheduled' })
    trace.steps = trace.steps.filter((s) => s.start < 25 || s.start >= 205)
    expect(poolAt(trace, 100, { total: 8 })).toMatchObject({ host: [{ state: 'host' }, { state: 'host' }, { state: 'host' }] })
    expect(poolAt(trace, 100, { total: 8 }).blocks.every((b) => b.state === 'free')).toBe(true)
    expect(poolAt(trace, 300, { total: 8 }).host).toEqual([])
  })
  test('where the Trace says which blocks, those: nobody has another’s, a freed one is free, a shared one is nobody’s own', () => {
    const step = (start: number, request: number, tokens: number, context: number, blocks?: number[]) => ({ start, duration: 1, batch: [{ request, tokens, context, sampled: true, soloFlops: 1, soloBytes: 1, blocks }], flops: 1, bytes: 1, workingSet: 1, kvBlocks: 2 })
    const trace: Trace = {
      provenance: sampleTrace([{}]).provenance,
      requests: [{ id: 1, arrival: 0, promptTokens: 20, maxTokens: 40 }, { id: 2, arrival: 0, promptTokens: 20, maxTokens: 4 }],
      events: [{ t: 6, request: 1, kind: 'finished' }],
      steps: [step(1, 1, 20, 0, [7, 3]), step(2, 2, 20, 0, [7, 0]), step(3, 1, 12, 20), step(4, 1, 1, 32, [5])],
      kvBlocksTotal: 8,
    }
    const owners = (at: number) => poolAt(trace, at).blocks.map((b) => (b.state === 'used' ? b.owner : b.state))
    expect(owners(1.5)).toEqual(['free', 'free', 'free', 1, 'free', 'free', 'free', 1])
    expect(owners(4)).toEqual([2, 'free', 'free', 1, 'free', 1, 'free', 'shared'])
    expect(poolAt(trace, 4).blocks[5]).toMatchObject({ owner: 1, fill: 1 / 16 })
    expect(owners(7)).toEqual([2, 'free', 'free', 'free', 'free', 'free', 'free', 2])
  })
  test('without a size there is no pool', () => expect(() => poolAt(sampleTrace([{}]), 0)).toThrow(/give `total`/))
  test('cells fill their box and no more', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4000 }), fc.integer({ min: 60, max: 1100 }), fc.integer({ min: 60, max: 520 }), (n, w, h) => {
        const { columns, cell } = cellGrid(n, w, h)
        expect(columns * cell).toBeLessThanOrEqual(w + 1e-6)
        expect(Math.ceil(n / columns) * cell).toBeLessThanOrEqual(h + 1e-6)
      }),
    )
  })
})

describe('prefix tree', () => {
  const prompt = (...keys: string[]): Prompt => ({ segments: keys.map((key) => ({ key, label: key, tokens: 10 })) })
  test('common beginnings are one way, and count who came it', () => {
    const roots = treeOf([prompt('s', 'a'), prompt('s', 'b', 'a'), prompt('t')])
    expect(roots.map((r) => [r.label, r.hits, r.children.map((c) => c.label)])).toEqual([['s', 2, ['a', 'b']], ['t', 1, []]])
  })
  test('a hit is the longest common beginning: what comes after a difference is lost, however equal', () => {
    const roots = treeOf([prompt('s', 'a', 'q')])
    expect(cachedTokens(roots, prompt('s', 'a', 'r'))).toBe(20)
    expect(cachedTokens(roots, prompt('user', 's', 'a'))).toBe(0)
  })
  test('each stretch begins where the one before it ends; leaves have rows of their own', () => {
    const { nodes, rows, tokens } = placeTree(treeOf([prompt('s', 'a'), prompt('s', 'b', 'c'), prompt('t')]))
    for (const n of nodes) expect(n.from).toBe(n.parent?.to ?? 0)
    const leaves = nodes.filter((n) => n.node.children.length === 0)
    expect(new Set(leaves.map((n) => n.row)).size).toBe(rows)
    expect([rows, tokens]).toEqual([3, 30])
  })
  test('what the last request still has to compute is new', () => {
    const [root] = treeOf([prompt('s', 'a'), { ...prompt('s', 'b'), running: true }], true)
    expect([root!.state, ...root!.children.map((c) => c.state)]).toEqual(['used', 'cached', 'new'])
  })
})
