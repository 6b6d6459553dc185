import { getContext, setContext } from 'svelte'
import type { SlideEntry } from './slide'
import type { PageOptions } from './url'

/** What all slides of a page share besides the engine. */
export interface Page {
  readonly deck: readonly SlideEntry[]
  readonly options: PageOptions
}

const KEY = Symbol('page')

export function providePage(page: Page): Page {
  return setContext(KEY, page)
}

export function usePage(): Page {
  return getContext<Page>(KEY)
}

/** The slide that the address names; undefined where it names none of them. */
export function slideInHash(deck: readonly SlideEntry[], hash: string): string | undefined {
  const id = hash.replace(/^#\/?/, '').split('/')[0]!
  return deck.find((s) => s.id === id)?.id
}
