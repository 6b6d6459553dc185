/** A mean of correlated observations and how sure it is. */
export interface Estimate {
  mean: number
  /** 95 % interval of the mean. */
  interval: [number, number]
}

/** Fewer batches make Student's t wide, more make them depend on one another. */
export const BATCHES = 25

/**
 * Mean and 95 % interval by batch means (Law & Kelton): the run is cut into 25 batches of equal length,
 * whose means are nearly independent even where neighbouring observations are not. Fewer than two
 * observations a batch: the interval is undefined (NaN). Throws RangeError for an empty run.
 */
export function batchMeans(values: ArrayLike<number>): Estimate {
  const n = values.length
  if (n === 0) throw new RangeError('no observations to average')
  let sum = 0
  for (let i = 0; i < n; i++) sum += values[i]!
  const mean = sum / n
  const size = Math.floor(n / BATCHES)
  if (size < 2) return { mean, interval: [NaN, NaN] }
  const means = Array.from({ length: BATCHES }, (_, b) => {
    let s = 0
    for (let i = b * size; i < (b + 1) * size; i++) s += values[i]!
    return s / size
  })
  const middle = means.reduce((a, b) => a + b) / BATCHES
  const variance = means.reduce((a, b) => a + (b - middle) ** 2, 0) / (BATCHES - 1)
  const half = studentT975(BATCHES - 1) * Math.sqrt(variance / BATCHES)
  return { mean, interval: [mean - half, mean + half] }
}

/** Half the width of an interval against its value; Infinity where the interval is unknown. */
export function relativeWidth(value: number, [low, high]: readonly [number, number]): number {
  const half = (high - low) / 2
  return Number.isNaN(half) ? Infinity : half === 0 ? 0 : value > 0 ? half / value : Infinity
}

/**
 * 97.5 % point of Student's t (Hill 1970, algorithm 396, the Cornish–Fisher part): within 0.001 of the
 * tables from 6 degrees of freedom on.
 */
export function studentT975(degrees: number): number {
  if (!(degrees >= 6)) throw new RangeError(`Student's t is given from 6 degrees of freedom on, not for ${degrees}`)
  const z = 1.959963984540054
  const g1 = (z ** 3 + z) / 4
  const g2 = (5 * z ** 5 + 16 * z ** 3 + 3 * z) / 96
  const g3 = (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / 384
  const g4 = (79 * z ** 9 + 776 * z ** 7 + 1482 * z ** 5 - 1920 * z ** 3 - 945 * z) / 92160
  return z + g1 / degrees + g2 / degrees ** 2 + g3 / degrees ** 3 + g4 / degrees ** 4
}
