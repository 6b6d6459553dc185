import type { Chapter, SlideEntry } from '$components/frame/slide'
import { paragraphs } from './steps'

/** Words a minute of somebody who explains, and what a press of the clicker takes to be seen. */
const WORDS_PER_MINUTE = 130
const STEP_MS = 12_000
/** To look at a new picture. */
const LOOK_MS = 20_000

export interface Slot {
  id: string
  chapter: Chapter
  /** Planned beginning and end, ms of the talk. */
  from: number
  to: number
}

/**
 * A talk of this length, shared out among the slides by what their notes ask for: words to say, directions
 * to play, a picture to look at.
 */
export function plan(deck: readonly SlideEntry[], totalMs: number): Slot[] {
  const wants = deck.map(({ notes }) => {
    const parts = paragraphs(notes).flat()
    const words = parts.reduce((n, part) => n + ('words' in part ? part.words.trim().split(/\s+/).length : 0), 0)
    const steps = parts.filter((part) => 'direction' in part).length
    return LOOK_MS + (words / WORDS_PER_MINUTE) * 60_000 + steps * STEP_MS
  })
  const all = wants.reduce((a, b) => a + b, 0)
  let from = 0
  return deck.map(({ id, chapter }, i) => {
    const slot = { id, chapter, from, to: from + (totalMs * wants[i]!) / all }
    from = slot.to
    return slot
  })
}

/** Chapters of a plan with their times. */
export function chapters(slots: readonly Slot[]): { chapter: Chapter; from: number; to: number }[] {
  const list: { chapter: Chapter; from: number; to: number }[] = []
  for (const { chapter, from, to } of slots) {
    const last = list.at(-1)
    if (last?.chapter === chapter) last.to = to
    else list.push({ chapter, from, to })
  }
  return list
}

/** How far the talk is behind its plan, ms; negative: ahead of it; 0 within the slide's own time. */
export function behind(slots: readonly Slot[], id: string, elapsedMs: number): number {
  const slot = slots.find((s) => s.id === id)
  if (!slot) return 0
  return elapsedMs > slot.to ? elapsedMs - slot.to : elapsedMs < slot.from ? elapsedMs - slot.from : 0
}

/** A stopwatch that survives a reload: what ran before it was last stopped, and since when it runs. */
export interface Timer {
  before: number
  /** Time of day it was started at, ms; null: it stands. */
  since: number | null
}

export function elapsed({ before, since }: Timer, now: number): number {
  return before + (since === null ? 0 : Math.max(0, now - since))
}

/** "7:05", "1:02:30". */
export function clockText(ms: number): string {
  const s = Math.floor(ms / 1000)
  const two = (n: number) => String(n).padStart(2, '0')
  const hours = Math.floor(s / 3600)
  return `${hours ? `${hours}:${two(Math.floor(s / 60) % 60)}` : Math.floor(s / 60)}:${two(s % 60)}`
}
