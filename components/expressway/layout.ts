import type { TraceIndex } from './track'

/** Sizes of cars on the road: one set for a whole Trace, so that all its cars compare. */
export interface Layout {
  /** Lanes of a whole road: 3, or 6, 9 or 15 narrower ones when many requests run at once. */
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
  /** Length of a draft car, and the room kept free for it ahead of each; 0 where nothing is drafted. */
  draftLength: number
  draftRoom: number
}

/** Requests on ramp and deck that are drawn as cars; the rest is a number. */
export const MOST_CARS = 200

/** Share of the reach that a trailer takes at most. */
const LONGEST_TRAILER = 0.36

/** Room for `concurrent` cars at once on one road, the longest output driving the whole `reach` of the deck. */
export function layoutOf(index: TraceIndex, concurrent: number, reach: number, narrow = 1): Layout {
  const cars = Math.min(Math.max(concurrent, 1), MOST_CARS)
  const lanes = cars <= 9 ? 3 : cars <= 18 ? 6 : cars <= 64 ? 9 : 15
  const scale = narrow * (cars <= 3 ? 1.25 : lanes === 3 ? 1.08 : lanes === 6 ? 0.66 : lanes === 9 ? 0.45 : 0.27)
  const carLength = 2.5 * scale
  const gap = 0.7 * scale
  const hitch = 0.35 * scale
  const draftLength = index.drafting ? 1.5 * scale : 0
  const draftRoom = index.drafting ? 2 * scale : 0
  const rows = Math.ceil(cars / lanes)
  let maxOutput = 1
  let maxBlocks = 1
  for (const { record } of index.tracks) {
    maxOutput = Math.max(maxOutput, record.maxTokens)
    maxBlocks = Math.max(maxBlocks, Math.ceil((record.promptTokens + record.maxTokens) / index.blockSize))
  }
  // Rows of cars in step may take up to 70 % of the deck; the rest is to drive on.
  const room = Math.min(LONGEST_TRAILER * reach, rows === 1 ? Infinity : (0.7 * reach) / rows - carLength - hitch - gap - draftRoom)
  const blockLength = Math.min(0.78 * scale, Math.max(room, 0.2 * scale) / maxBlocks)
  const rowLength = carLength + hitch + maxBlocks * blockLength + gap + draftRoom
  return {
    lanes, scale, reach, carLength, hitch, gap, blockLength, maxBlocks, draftLength, draftRoom,
    blocksPerBox: Math.max(1, Math.ceil((0.26 * Math.min(1, Math.max(scale, 0.5))) / blockLength)),
    tokenLength: Math.max(0.1 * reach, reach - (rows - 1) * rowLength) / maxOutput,
  }
}
