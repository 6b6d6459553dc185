import type { Sampling } from '../runner/runner'

/** Tokens proposed to follow a text: a chain, or a tree in which a token may have several successors. */
export interface Draft {
  /** Drafted ids, every one after the one that it follows. */
  tokens: Int32Array
  /** Index of the draft that each follows, −1 for the text itself. */
  parents: Int32Array
  /**
   * Distribution that each was drawn from (vocab): for siblings, what is left after the earlier ones. Absent
   * where drafts were not drawn but chosen (greedy decoding, lookup).
   */
  drawnFrom?: Float64Array[]
}

/** A request that wants drafts. */
export interface Ask {
  request: number
  /** Prompt and output so far. */
  text: readonly number[]
  /** Drafted tokens at most; at least 1. */
  most: number
  sampling?: Sampling
  /** Random numbers of this request; used only where it samples. */
  draws: () => number
}

/** Guesses for several requests at once, and learns from what became of it. */
export interface Speculator {
  /** Tokens it would like to draft for this request in its next step. */
  wants(request: number): number
  /** Drafts in the order of the asks; an empty one where there is nothing to propose. */
  draft(asks: readonly Ask[]): Promise<Draft[]>
  /** So many tokens ahead were drafted and so many of them accepted. */
  learn(request: number, drafted: number, accepted: number): void
  /** The request is over, or starts over. */
  release(request: number): void
}

export const NOTHING: Draft = { tokens: new Int32Array(), parents: new Int32Array() }

export function chain(tokens: ArrayLike<number>, drawnFrom?: Float64Array[]): Draft {
  return { tokens: Int32Array.from(tokens), parents: Int32Array.from({ length: tokens.length }, (_, i) => i - 1), drawnFrom }
}

export function isChain({ parents }: Draft): boolean {
  return parents.every((parent, i) => parent === i - 1)
}

/** How many tokens ahead of the text each draft is: 1 for those that follow it directly. */
export function depths({ parents }: Draft): Int32Array {
  const depth = new Int32Array(parents.length)
  for (const [i, parent] of parents.entries()) depth[i] = parent < 0 ? 1 : depth[parent]! + 1
  return depth
}
