import type { SeriesPoint } from '$components/charts/series'

type Kind = 'line' | 'dots' | 'histogram'

/** Props whose points can be exchanged as a whole. */
export function createProps(kind: Kind, first: readonly SeriesPoint[]) {
  let points = $state.raw(first)
  return {
    kind,
    get points() { return points },
    set points(next) { points = next },
  }
}
