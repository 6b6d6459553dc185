import type { Component } from 'svelte'

export const CHAPTERS = {
  I: 'Measure',
  II: 'Where the time goes',
  III: 'Queueing and scheduling',
  IV: 'Levers',
} as const

export type Chapter = keyof typeof CHAPTERS

/** What a slide moves (metrics) and what it is about (resources): the words of `data-tags`. */
export type Tag = 'ttft' | 'tpot' | 'p99' | 'compute' | 'memory' | 'queue' | 'network'

/** One slide of the deck; its place in the list is its number. */
export interface SlideEntry {
  /** Section id and folder: "05_latency_components". */
  id: string
  /** The finding, in at most nine words. */
  headline: string
  chapter: Chapter
  tags: readonly Tag[]
  /** The dark stage theme instead of the light one. */
  dark?: boolean
  /** Fetched when the reader comes near. */
  load: () => Promise<{ default: Component }>
  /** Speaker notes, Markdown. */
  notes: string
}

/** "05_latency_components" → 5. */
export function slideNumber(id: string): number {
  return Number.parseInt(id, 10)
}

/** A parameter's name in the page's URL: slide number without leading zero, dot, name ("5.prompt"). */
export function parameterKey(id: string, name: string): string {
  return `${slideNumber(id)}.${name}`
}
