import { describe, expect, test } from 'vitest'
import { deck } from '$slides/deck'
import { find } from '$components/present/find'
import { behind, chapters, clockText, elapsed, plan } from '$components/present/schedule'

describe('plan of a talk', () => {
  const slots = plan(deck, 40 * 60_000)

  test('its slides fill it without a gap, in order, and its chapters are those of the deck', () => {
    expect(slots.map((s) => s.id)).toEqual(deck.map((s) => s.id))
    expect(slots[0]!.from).toBe(0)
    for (const [i, s] of slots.entries()) {
      expect(s.to).toBeGreaterThan(s.from)
      if (i) expect(s.from).toBe(slots[i - 1]!.to)
    }
    expect(slots.at(-1)!.to).toBeCloseTo(40 * 60_000, 6)
    const parts = chapters(slots)
    expect(parts.map((p) => p.chapter)).toEqual(['I', 'II', 'III', 'IV'])
    expect(parts.reduce((sum, p) => sum + p.to - p.from, 0)).toBeCloseTo(40 * 60_000, 6)
  })

  test('who says more gets more', () => {
    const [short, long] = [{ ...deck[3]!, notes: 'One word.' }, { ...deck[4]!, notes: 'word '.repeat(200) }]
    const [a, b] = plan([short, long], 60_000)
    expect(b!.to - b!.from).toBeGreaterThan(a!.to - a!.from)
  })

  test('behind, ahead and in time', () => {
    const slot = slots[10]!
    expect(behind(slots, slot.id, (slot.from + slot.to) / 2)).toBe(0)
    expect(behind(slots, slot.id, slot.to + 5000)).toBeCloseTo(5000, 6)
    expect(behind(slots, slot.id, slot.from - 5000)).toBeCloseTo(-5000, 6)
    expect(behind(slots, 'no such slide', 1)).toBe(0)
  })

  test('the watch stands, runs and is read', () => {
    expect(elapsed({ before: 5000, since: null }, 99_000)).toBe(5000)
    expect(elapsed({ before: 5000, since: 90_000 }, 99_000)).toBe(14_000)
    // A clock that was set back does not run backwards.
    expect(elapsed({ before: 5000, since: 90_000 }, 80_000)).toBe(5000)
    expect([0, 65_000, 3_750_000].map(clockText)).toEqual(['0:00', '1:05', '1:02:30'])
  })
})

describe('search', () => {
  test('nothing asked: all; a number: that slide', () => {
    expect(find(deck, ' ')).toHaveLength(deck.length)
    expect(find(deck, '7').map((s) => s.id)).toEqual(['07_output_dominates'])
    expect(find(deck, '99')).toEqual([])
  })
  test('a word of a headline comes first, a parameter is found by its name', () => {
    expect(find(deck, 'batches')[0]!.id).toBe('10_batch_size_tradeoff')
    expect(find(deck, 'burst').map((s) => s.id)).toContain('01_what_makes_slow')
  })
  test('all words must be there', () => {
    for (const s of find(deck, 'decode memory')) expect(`${s.headline} ${s.notes} ${s.tags.join(' ')} ${s.id}`.toLowerCase()).toMatch(/decode[\s\S]*memory|memory[\s\S]*decode/)
    expect(find(deck, 'decode xylophone')).toEqual([])
  })
})
