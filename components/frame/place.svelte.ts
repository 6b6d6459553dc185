import { getContext, setContext } from 'svelte'
import type { Params } from '$components/controls/params'
import type { SlideEntry } from './slide'

/** Where a slide stands: which one it is, how it is laid out, and whether anyone looks at it now. */
export interface Place {
  readonly slide: SlideEntry
  /** The 1600 × 900 stage, a column of the page's own width, or a sheet of paper. */
  readonly layout: 'stage' | 'page' | 'sheet'
  /** On screen, in a visible tab: only then may it run anything. */
  readonly active: boolean
  /** Values that are set for good: one of several settings side by side on paper. */
  readonly fixed?: Readonly<Record<string, number | string | boolean>>
  /** Told of the slide's parameters once it is built: `values` is live, to be read and to be set. */
  attach?(params: Params, values: Record<string, number | string | boolean>): void
  /** Set once the slide has drawn its first reading; the section's `data-ready`. */
  ready: boolean
  /** Whether its parameters were moved, and the way back. */
  readonly settings: Settings
}

/** A slide's parameters as its frame knows them. */
export class Settings {
  /** Some parameter does not stand at its default. */
  changed = $state(false)
  /** Puts all of this slide's parameters back, and no other's. */
  reset: () => void = () => {}
}

const KEY = Symbol('place')

export function providePlace(place: Place): Place {
  return setContext(KEY, place)
}

export function usePlace(): Place {
  return getContext<Place>(KEY)
}

/** Whether the tab is shown; a hidden tab's timers are throttled, so nothing is measured in one. */
class Tab {
  visible = $state(typeof document === 'undefined' || document.visibilityState === 'visible')
  constructor() {
    if (typeof document === 'undefined') return
    document.addEventListener('visibilitychange', () => { this.visible = document.visibilityState === 'visible' })
  }
}

export const tab = new Tab()

/** The time of day, to half a minute: what was measured "just now" is not so for long. */
class TimeOfDay {
  now = $state.raw(new Date())
  constructor() {
    if (typeof document !== 'undefined') setInterval(() => { this.now = new Date() }, 30_000)
  }
}

export const timeOfDay = new TimeOfDay()
