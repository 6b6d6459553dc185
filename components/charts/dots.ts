/** Where one value of a dot histogram stands, px from the left and up from the base line. */
export interface Dot {
  x: number
  y: number
}

export interface DotLayout {
  radius: number
  dots: Dot[]
  /** Values in each column of dots. */
  counts: number[]
  /** Left edge of each column as a fraction of the width. */
  columns: number
}

/** Radius of the dots so that `total` of them fill about a third of the plot: it depends on nothing else, so it stays put while values come in. */
export function dotRadius(total: number, width: number, height: number): number {
  const fit = Math.sqrt((width * height) / (Math.max(total, 1) * 3 * 4))
  return Math.min(Math.max(fit, 1.5), 9)
}

/**
 * Stacks one dot a value into columns, in the order of the values: the n-th request keeps its place as
 * others finish. `position` maps a value to 0 … width. Stacks that would leave the plot are pressed
 * together rather than cut.
 */
export function stackDots(values: readonly number[], position: (value: number) => number, width: number, height: number, total = values.length): DotLayout {
  const radius = dotRadius(Math.max(total, values.length), width, height)
  const columns = Math.max(1, Math.floor(width / (2 * radius + 1)))
  const pitch = width / columns
  const counts = new Array<number>(columns).fill(0)
  const places = values.map((v) => {
    const column = Math.min(Math.max(Math.floor(position(v) / pitch), 0), columns - 1)
    return { column, level: counts[column]!++ }
  })
  const tallest = Math.max(1, ...counts)
  const rise = Math.min(2 * radius + 1, tallest > 1 ? (height - 2 * radius) / (tallest - 1) : Infinity)
  return { radius, columns, counts, dots: places.map((p) => ({ x: (p.column + 0.5) * pitch, y: radius + p.level * rise })) }
}
