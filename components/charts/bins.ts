/** Values counted into equal columns from `from` to `to`. */
export interface Bins {
  from: number
  to: number
  counts: readonly number[]
}

/** Counts values into `count` equal columns; what lies outside goes to the outermost. Throws RangeError on an empty range. */
export function binned(values: ArrayLike<number>, from: number, to: number, count: number): Bins {
  if (!(from < to && count > 0)) throw new RangeError(`${count} columns from ${from} to ${to} hold nothing`)
  const counts = new Array<number>(count).fill(0)
  for (let i = 0; i < values.length; i++) counts[Math.min(Math.max(Math.floor(((values[i]! - from) / (to - from)) * count), 0), count - 1)]!++
  return { from, to, counts }
}
