import type { TraceIndex } from './track'

/** Sizes of cars on the road: one set for a whole Trace, so that all its cars compare. */
export interface Layout {
  /** Lanes of the whole road: 3, or 6 or 9 narrower ones when many requests run at once. */
  lanes: number
  /** Size of a car: 1 on a road of three lanes, more where few drive. */
  scale: number
  /** Length of deck that the longest output takes. */
  reach: number
  /** Bumper to bumper. */
  carLength: number
  /** From the car to its trailer; kept free behind a car without one. */
  hitch: number
  /** Least distance to the car ahead. */
  gap: number
  /** Length of road that a KV block takes in a trailer. */
  blockLength: number
  /** Where blocks are too thin to be told apart, so many are drawn as one. */
  blocksPerBox: number
  /** Length of deck that an output token is worth. */
  tokenLength: number
  /** Largest prompt plus output, in blocks. */
  maxBlocks: number
}

/** Requests on ramp and deck that are drawn as cars; the rest is a number. */
export const MOST_CARS = 64

/** Share of the reach that a trailer takes at most. */
const LONGEST_TRAILER = 0.3

/** Room for `concurrent` cars at once, the longest output driving the whole `reach` of the deck. */
export function layoutOf(index: TraceIndex, concurrent: number, reach: number): Layout {
  const cars = Math.min(Math.max(concurrent, 1), MOST_CARS)
  const lanes = cars <= 9 ? 3 : cars <= 18 ? 6 : 9
  const scale = cars <= 3 ? 1.25 : lanes === 3 ? 1 : lanes === 6 ? 0.64 : 0.44
  const carLength = 2.5 * scale
  const gap = 0.7 * scale
  const hitch = 0.35 * scale
  const rows = Math.ceil(cars / lanes)
  let maxOutput = 1
  let maxBlocks = 1
  for (const { record } of index.tracks) {
    maxOutput = Math.max(maxOutput, record.maxTokens)
    maxBlocks = Math.max(maxBlocks, Math.ceil((record.promptTokens + record.maxTokens) / index.blockSize))
  }
  // Rows of cars in step may take up to 60 % of the deck; the rest is to drive on.
  const room = Math.min(LONGEST_TRAILER * reach, rows === 1 ? Infinity : (0.6 * reach) / rows - carLength - hitch - gap)
  const blockLength = Math.min(0.74 * scale, room / maxBlocks)
  const rowLength = carLength + hitch + maxBlocks * blockLength + gap
  return {
    lanes, scale, reach, carLength, hitch, gap, blockLength, maxBlocks,
    blocksPerBox: Math.max(1, Math.ceil(0.2 / blockLength)),
    tokenLength: (reach - (rows - 1) * rowLength) / maxOutput,
  }
}
