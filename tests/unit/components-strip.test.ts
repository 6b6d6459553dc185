import { describe, expect, test } from 'vitest'
import fc from 'fast-check'
import type { Event, Trace } from '$engine/trace/trace'
import { placeFlags } from '$components/motif/labels'
import { axisTicks, roundEnd, rulerAt } from '$components/motif/ruler'
import { stripAt, textParts } from '$components/motif/strip'

const device = { name: 'test', runner: 'recorded', model: 'none' } as const

function trace(events: Omit<Event, 'request'>[], prompt: string[] | number, arrival = 0): Trace {
  const promptTexts = Array.isArray(prompt) ? prompt : undefined
  return {
    provenance: { how: 'recorded', device, at: '2026-01-01T00:00:00Z' },
    requests: [{ id: 7, arrival, promptTokens: promptTexts?.length ?? (prompt as number), maxTokens: 8, promptTexts }],
    events: events.map((e) => ({ ...e, request: 7 })),
    steps: [],
  }
}

const story = trace(
  [
    { t: 0, kind: 'sent' },
    { t: 0, kind: 'gateway' },
    { t: 1, kind: 'queued' },
    { t: 40, kind: 'scheduled' },
    { t: 60, kind: 'prefill', count: 2 },
    { t: 100, kind: 'prefill', count: 1 },
    { t: 100, kind: 'token', text: ' a' },
    { t: 110, kind: 'token', text: ' b' },
    { t: 125, kind: 'token', text: '\n' },
    { t: 125, kind: 'finished' },
  ],
  ['One', ' two', ' three'],
)

describe('token strip', () => {
  const read = (at: number) => stripAt(story, 7, at)!.items.map((p) => ('kind' in p ? `${p.kind}:${p.text}${p.fresh ? '*' : ''}` : `…${p.count}`))

  test('prompt tokens wait, are computed chunk by chunk, then outputs follow', () => {
    expect(read(0)).toEqual(['waiting:One', 'waiting: two', 'waiting: three'])
    expect(read(60)).toEqual(['prefill:One', 'prefill: two', 'waiting: three'])
    expect(read(110)).toEqual(['prefill:One', 'prefill: two', 'prefill: three', 'decode: a', 'decode: b*'])
    expect(read(200)).toEqual(['prefill:One', 'prefill: two', 'prefill: three', 'decode: a', 'decode: b', 'decode:\n'])
  })

  test('scrubbing backwards gives what was there', () => {
    read(200)
    expect(read(60)).toEqual(['prefill:One', 'prefill: two', 'waiting: three'])
  })

  test('cached tokens are told apart; a preemption that recomputes makes all wait again', () => {
    const t = trace(
      [
        { t: 0, kind: 'sent' },
        { t: 1, kind: 'cached', count: 1 },
        { t: 5, kind: 'prefill', count: 1 },
        { t: 9, kind: 'preempted', reason: 'recompute' },
      ],
      ['a', 'b', 'c'],
    )
    const kinds = (at: number) => stripAt(t, 7, at)!.items.map((p) => 'kind' in p && p.kind)
    expect(kinds(5)).toEqual(['cached', 'prefill', 'waiting'])
    expect(kinds(9)).toEqual(['waiting', 'waiting', 'waiting'])
  })

  test('drafts follow the text, are accepted in their place or struck out, and fall off with the next ones', () => {
    const t = trace(
      [
        { t: 1, kind: 'prefill', count: 1 },
        { t: 1, kind: 'token', text: ' a' },
        { t: 2, kind: 'draft', text: ' b' },
        { t: 2, kind: 'draft', text: ' c' },
        { t: 2, kind: 'draft', text: ' d' },
        { t: 5, kind: 'verify', count: 1 },
        { t: 5, kind: 'token', text: ' b' },
        { t: 5, kind: 'token', text: ' x' },
        { t: 6, kind: 'draft', text: ' y' },
        { t: 9, kind: 'verify', count: 1 },
        { t: 9, kind: 'token', text: ' y' },
        { t: 9, kind: 'token', text: ' z' },
        { t: 9, kind: 'finished' },
      ],
      ['One'],
    )
    const at = (time: number) => stripAt(t, 7, time)!.items.slice(1).map((p) => 'kind' in p && `${p.kind}:${p.text}${p.fresh ? '*' : ''}`)
    const keys = (time: number) => stripAt(t, 7, time)!.items.map((p) => p.key)
    expect(at(2)).toEqual(['decode: a*', 'draft: b', 'draft: c', 'draft: d'])
    expect(at(5)).toEqual(['decode: a', 'accepted: b', 'decode: x*', 'rejected: c', 'rejected: d'])
    expect(at(6)).toEqual(['decode: a', 'accepted: b', 'decode: x*', 'draft: y'])
    expect(at(9)).toEqual(['decode: a', 'accepted: b', 'decode: x', 'accepted: y', 'decode: z'])
    expect(keys(5)[2], 'an accepted draft is the same pill').toBe(keys(2)[2])
    expect(new Set(keys(5)).size).toBe(keys(5).length)
  })

  test('of a drafted tree the likeliest branch is shown, and what was accepted off it still counts', () => {
    const t = trace(
      [
        { t: 1, kind: 'token', text: ' a' },
        { t: 2, kind: 'draft', text: ' b', parent: -1 },
        { t: 2, kind: 'draft', text: ' c', parent: -1 },
        { t: 2, kind: 'draft', text: ' d', parent: 0 },
        { t: 2, kind: 'draft', text: ' e', parent: 1 },
        { t: 5, kind: 'verify', count: 2, path: [1, 3] },
        { t: 5, kind: 'token', text: ' c' },
        { t: 5, kind: 'token', text: ' e' },
        { t: 5, kind: 'token', text: ' f' },
      ],
      ['One'],
    )
    const at = (time: number) => stripAt(t, 7, time)!.items.slice(1).map((p) => 'kind' in p && `${p.kind}:${p.text}`)
    expect(at(2)).toEqual(['decode: a', 'draft: b', 'draft: d'])
    expect(at(5)).toEqual(['decode: a', 'accepted: c', 'accepted: e', 'decode: f', 'rejected: b', 'rejected: d'])
  })

  test('a long prompt is left out in the middle, nothing is lost in the count', () => {
    const texts = Array.from({ length: 500 }, (_, i) => `t${i}`)
    const strip = stripAt(trace([{ t: 5, kind: 'prefill', count: 250 }], texts), 7, 5, { head: 6, tail: 4 })!
    const pills = strip.items.filter((i) => 'kind' in i)
    const more = strip.items.find((i) => 'count' in i)!
    expect(pills.map((p) => p.text)).toEqual(['t0', 't1', 't2', 't3', 't4', 't5', 't496', 't497', 't498', 't499'])
    expect(more.count + pills.length).toBe(500)
    expect(more.done).toBeCloseTo(244 / 490)
  })

  test('without a readable text there is none', () => {
    const t = trace([{ t: 5, kind: 'token', text: 'noise' }], 64)
    t.requests[0]!.timingOnly = true
    expect(stripAt(t, 7, 5)!.items).toEqual([
      { key: 'prompt', count: 64, done: 0, whole: true },
      { key: 'o0', kind: 'decode', text: null, fresh: true },
    ])
  })

  test('a request that is not there gives nothing', () => expect(stripAt(story, 8, 0)).toBeUndefined())

  test('white space is split off, and all of the text is kept', () => {
    expect(textParts(' two\n\n  x').map((p) => p.kind)).toEqual(['space', 'text', 'newline', 'newline', 'space', 'space', 'text'])
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(' ', '\n', '\r', '\t', '\u00a0', 'a', 'é', '…') }), (text) => {
        expect(textParts(text).map((p) => p.text).join('')).toBe(text)
      }),
    )
  })
})

describe('latency ruler', () => {
  test('stages add up to the time that has passed', () => {
    const sum = (at: number) => rulerAt(story, 7, at)!.stages.reduce((n, s) => n + s.end - s.start, 0)
    for (const at of [1, 20, 40, 77, 100, 118, 125]) expect(sum(at)).toBeCloseTo(at, 9)
    expect(sum(500)).toBeCloseTo(125, 9)
  })

  test('TTFT appears when it has happened', () => {
    expect(rulerAt(story, 7, 99)!.ttft).toBeUndefined()
    expect(rulerAt(story, 7, 100)!.ttft).toBe(100)
  })

  test('one mark for each token after the first, end to end', () => {
    expect(rulerAt(story, 7, 125)!.tokens).toEqual([
      { start: 100, end: 110 },
      { start: 110, end: 125 },
    ])
    expect(rulerAt(story, 7, 124)!.tokens).toHaveLength(1)
  })

  test('a request in line is drawn up to now', () => {
    const waiting = trace([{ t: 10, kind: 'sent' }, { t: 10, kind: 'gateway' }, { t: 10, kind: 'queued' }], 4, 10)
    expect(rulerAt(waiting, 7, 60)!.stages).toEqual([{ kind: 'queue', start: 0, end: 50 }])
  })

  test('time counts from the scheduled arrival', () => {
    const late = trace([{ t: 1000, kind: 'sent' }, { t: 1000, kind: 'scheduled' }, { t: 1080, kind: 'token' }, { t: 1080, kind: 'finished' }], 4, 1000)
    expect(rulerAt(late, 7, 2000)!.ttft).toBe(80)
  })

  test('the axis ends at a round number that holds the value', () => {
    fc.assert(
      fc.property(fc.double({ min: 0.01, max: 1e6, noNaN: true }), (v) => {
        const end = roundEnd(v)
        expect(end).toBeGreaterThanOrEqual(v * (1 - 1e-9))
        expect(end).toBeLessThanOrEqual(v * 1.4)
      }),
    )
  })

  test.each([300, 700, 1092])('at most seven ticks, two at the least, at a width of %d', (width) => {
    for (const end of [12, 100, 120, 150, 250, 300, 600, 800, 12000]) {
      const t = axisTicks(end, width)
      expect(t.length).toBeLessThanOrEqual(7)
      expect(t.length).toBeGreaterThanOrEqual(2)
    }
  })
})

test('no flag label touches another, leaves the ruler or is crossed by another line', () => {
  const flags = fc.array(fc.record({ x: fc.integer({ min: 0, max: 600 }), width: fc.integer({ min: 20, max: 120 }) }), { maxLength: 6 })
  fc.assert(
    fc.property(flags, (all) => {
      const placed = placeFlags(all, 600)
      placed.forEach((a, i) => {
        expect(a.left).toBeGreaterThanOrEqual(0)
        expect(a.right).toBeLessThanOrEqual(600)
        expect(a.right - a.left).toBe(all[i]!.width)
        placed.forEach((b, j) => {
          if (i === j) return
          if (a.row === b.row) expect(a.left >= b.right || b.left >= a.right, 'labels apart').toBe(true)
          if (b.row >= a.row) expect(all[j]!.x <= a.left || all[j]!.x >= a.right, 'line beside label').toBe(true)
        })
      })
    }),
  )
})
