import { CHAPTERS, slideNumber, type SlideEntry } from '$components/frame/slide'
import { directions } from './steps'

/**
 * Slides that hold all the words asked for, best first: a number is a slide's own; a word in the headline counts
 * more than a tag or a parameter, and these more than a word in the notes. Nothing asked: all of them.
 */
export function find(deck: readonly SlideEntry[], asked: string): SlideEntry[] {
  const text = asked.trim().toLowerCase()
  if (text === '') return [...deck]
  if (/^\d+$/.test(text)) return deck.filter((s) => slideNumber(s.id) === Number(text))
  const words = text.split(/\s+/)
  return deck
    .map((slide) => ({ slide, score: words.reduce((sum, word) => sum * score(slide, word), 1) }))
    .filter(({ score }) => score > 0)
    .sort((a, b) => b.score - a.score)
    .map(({ slide }) => slide)
}

function score({ id, headline, chapter, tags, notes }: SlideEntry, word: string): number {
  if (headline.toLowerCase().split(/[^\p{L}\d]+/u).includes(word)) return 6
  if (headline.toLowerCase().includes(word)) return 5
  if (id.includes(word) || tags.some((t) => t.startsWith(word)) || directions(notes).some((d) => d.name.startsWith(word))) return 3
  if (CHAPTERS[chapter].toLowerCase().includes(word)) return 2
  return notes.toLowerCase().includes(word) ? 1 : 0
}
