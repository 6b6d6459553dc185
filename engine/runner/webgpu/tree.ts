import type { SequenceChunk } from '../runner'

/** Position of each row of a tree: start + its depth. */
export function positionsOf(parents: Int32Array, start: number): Int32Array {
  const positions = new Int32Array(parents.length)
  for (const [t, parent] of parents.entries()) positions[t] = parent < 0 ? start : positions[parent]! + 1
  return positions
}

/** Slots of the sequence that the chunk's last row may look at. */
export function reachOf({ tokens, start }: Pick<SequenceChunk, 'tokens' | 'start'>): number {
  return start + tokens.length
}

/**
 * Writes for each row of a tree a mask over the tree's rows, bit r of word r / 32: its ancestors and itself.
 * ceil(rows / 32) words a row; returns how many in all.
 */
export function writeMasks(parents: Int32Array, to: Uint32Array, first: number): number {
  const words = Math.ceil(parents.length / 32)
  for (const [t, parent] of parents.entries()) {
    const at = first + t * words
    if (parent < 0) to.fill(0, at, at + words)
    else to.copyWithin(at, first + parent * words, first + (parent + 1) * words)
    to[at + (t >> 5)]! |= 1 << (t & 31)
  }
  return words * parents.length
}
