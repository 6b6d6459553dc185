import type { Params } from '$components/controls/params'

export interface LiveSlide {
  id: string
  params: Params
}

/** Slides that run something, in the deck's order: a folder with an experiment is one, nothing has to be written here. */
export const LIVE: readonly LiveSlide[] = Object.entries(import.meta.glob<{ params: Params }>('../../slides/*/experiment.ts', { eager: true }))
  .map(([path, { params }]) => ({ id: path.split('/').at(-2)!, params }))
  .sort((a, b) => (a.id < b.id ? -1 : 1))

export const numberOf = (id: string): number => Number.parseInt(id, 10)
