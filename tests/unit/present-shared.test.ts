import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isShared, readMessage, VERSION, type Message } from '$components/present/messages'
import { LAST_COUNT, Shared, type Entry } from '$components/present/shared'

const KEYS = ['slide', 'black', 'value:10_batch:batch', 'lens'] as const

/** What may happen to windows: one writes, or one of the messages under way arrives (in any order, twice too). */
const deed = fc.oneof(
  fc.record({ do: fc.constant('write' as const), window: fc.nat(2), key: fc.constantFrom(...KEYS), value: fc.nat(9) }),
  fc.record({ do: fc.constant('arrive' as const), pick: fc.nat(), again: fc.boolean() }),
)

describe('shared state', () => {
  test('windows that saw the same writes are equal, in whatever order and however often they saw them', () => {
    fc.assert(fc.property(fc.array(deed, { maxLength: 60 }), (deeds) => {
      const windows = ['a', 'b', 'c'].map((name) => new Shared(name))
      const underWay: { to: number; key: string; entry: Entry }[] = []
      for (const d of deeds) {
        if (d.do === 'write') {
          const entry = windows[d.window]!.set(d.key, d.value)
          for (const to of [0, 1, 2]) if (to !== d.window) underWay.push({ to, key: d.key, entry })
        } else if (underWay.length) {
          const at = d.pick % underWay.length
          const { to, key, entry } = underWay[at]!
          windows[to]!.merge(key, entry)
          if (!d.again) underWay.splice(at, 1)
        }
      }
      for (const { to, key, entry } of underWay.reverse()) windows[to]!.merge(key, entry)
      for (const key of KEYS) expect(windows.map((w) => w.get(key))).toEqual(Array(3).fill(windows[0]!.get(key)))
    }))
  })

  test('what was written after something was seen, wins over it everywhere', () => {
    const [a, b] = [new Shared('z'), new Shared('a')]
    b.merge('slide', a.set('slide', 'first'))
    const second = b.set('slide', 'second')
    expect(a.merge('slide', second)).toBe(true)
    expect(a.get('slide')).toBe('second')
    // The old one comes late to b: nothing changes.
    expect(b.merge('slide', { value: 'first', stamp: [1, 'z'] })).toBe(false)
    expect(b.get('slide')).toBe('second')
  })

  test('a window that comes late is told all', () => {
    const [a, late] = [new Shared('a'), new Shared('b')]
    a.set('slide', 'x')
    a.set('black', true)
    for (const [key, entry] of a.all()) late.merge(key, entry)
    expect(late.all()).toEqual(a.all())
    expect(late.set('slide', 'y').stamp[0]).toBeGreaterThan(2)
  })
})

describe('messages', () => {
  const good: Message[] = [
    { v: VERSION, kind: 'hello', from: 'w1', role: 'stage' },
    { v: VERSION, kind: 'bye', from: 'w1' },
    { v: VERSION, kind: 'set', from: 'w1', entries: [['value:10_batch_size_tradeoff:batch', { value: '32', stamp: [4, 'w1'] }], ['black', { value: true, stamp: [5, 'w1'] }]] },
    { v: VERSION, kind: 'told', from: 'w1', told: { slide: '10_batch_size_tradeoff', part: 'main', phase: 'done', runs: 1, values: '', reading: { complete: true, trace: { provenance: { how: 'measured' }, requests: [], events: [], steps: [] } } } },
    { v: VERSION, kind: 'again', from: 'w1', slide: '10_batch_size_tradeoff' },
  ]
  test.each(good.map((m) => [m.kind, m] as const))('%s is understood', (_kind, message) => {
    expect(readMessage(structuredClone(message))).toEqual(message)
  })

  test('anything else is not, and nothing throws', () => {
    fc.assert(fc.property(fc.anything({ withBigInt: true, withMap: true, withNullPrototype: true }), (anything) => {
      expect(readMessage(anything)).toBeUndefined()
    }), { numRuns: 2000 })
  })

  test('a message with one part replaced by something else is refused, or was as good', () => {
    const part = fc.constantFrom(...good)
    fc.assert(fc.property(part, fc.string(), fc.anything(), (message, key, value) => {
      const paths = Object.keys(message)
      const name = paths[key.length % paths.length]!
      const damaged = { ...structuredClone(message), [name]: value }
      const read = readMessage(damaged)
      if (read) expect(['v', 'kind', 'from', 'role', 'slide', 'entries', 'told']).toContain(name)
      if (read?.kind === 'set') for (const [k, e] of read.entries) expect(isShared(k, e.value)).toBe(true)
    }), { numRuns: 2000 })
  })

  test.each([
    ['a count that leaves no room above it', [['black', { value: true, stamp: [Number.MAX_SAFE_INTEGER, 'w'] }]]],
    ['a count beyond the last', [['black', { value: true, stamp: [LAST_COUNT + 1, 'w'] }]]],
    ['a count of no order', [['black', { value: true, stamp: [Number.NaN, 'w'] }]]],
    ['a key that is nobody’s', [['__proto__', { value: true, stamp: [1, 'w'] }]]],
    ['a value of another kind', [['black', { value: 'yes', stamp: [1, 'w'] }]]],
    ['a replay at no moment', [['playhead:x:0', { value: { at: Number.NaN, playing: false, slowdown: 1, run: 1 }, stamp: [1, 'w'] }]]],
    ['a text without end', [['value:x:y', { value: 'x'.repeat(5000), stamp: [1, 'w'] }]]],
  ])('%s is refused', (_why, entries) => {
    expect(readMessage({ v: VERSION, kind: 'set', from: 'w', entries })).toBeUndefined()
  })

  test('another version is not heard', () => {
    expect(readMessage({ ...good[1], v: 2 })).toBeUndefined()
  })
})
