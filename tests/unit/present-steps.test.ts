import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { deck } from '$slides/deck'
import { backward, directions, forward, paragraphs, type Direction, type Played } from '$components/present/steps'

const NAMES = ['batch', 'policy', 'unknown']
const direction: fc.Arbitrary<Direction> = fc.record({ name: fc.constantFrom(...NAMES), text: fc.constantFrom('1', '8', '64') })

describe('stage directions', () => {
  test('are taken out of the notes, which are whole without them', () => {
    const parts = paragraphs('One. [set batch=1] Two.\nThree.\n\nFour. [set policy=static]')
    expect(parts).toEqual([
      [{ words: 'One. ' }, { direction: { name: 'batch', text: '1' }, index: 0 }, { words: ' Two. Three.' }],
      [{ words: 'Four. ' }, { direction: { name: 'policy', text: 'static' }, index: 1 }],
    ])
  })

  test.each(deck.map((s) => [s.id, s.notes] as const))('%s: as many as its notes have brackets', (_id, notes) => {
    expect(directions(notes)).toHaveLength(notes.split('[set ').length - 1)
  })

  test('each press changes something, presses end, and as many back restore what stood at first', () => {
    fc.assert(fc.property(fc.array(direction, { maxLength: 8 }), fc.constantFrom('1', '8', '64'), fc.constantFrom('1', '8'), (list, batch, policy) => {
      const first: Record<string, string> = { batch, policy }
      let texts = { ...first }
      let played: Played | undefined
      let presses = 0
      for (let press = forward(list, played, texts); press; press = forward(list, played, texts)) {
        const before = texts
        texts = { ...texts, ...press.set }
        expect(texts).not.toEqual(before)
        expect(Object.keys(texts)).toEqual(['batch', 'policy'])
        played = press.played
        expect(++presses).toBeLessThanOrEqual(list.length)
      }
      // All that are known are played: the last of each name stands.
      for (const name of ['batch', 'policy']) expect(texts[name]).toBe(list.filter((d) => d.name === name).at(-1)?.text ?? first[name])
      let back = 0
      for (let press = backward(list, played, texts); press; press = backward(list, played, texts)) {
        texts = { ...texts, ...press.set }
        played = press.played
        expect(++back).toBeLessThanOrEqual(presses)
      }
      expect(texts).toEqual(first)
      expect(back).toBe(presses)
    }))
  })

  test('a slide that is not built has none to play', () => {
    expect(forward([{ name: 'preset', text: 'rag' }], undefined, {})).toBeUndefined()
    expect(backward([], undefined, {})).toBeUndefined()
  })
})
