import type { Provenance } from '../trace/provenance'
import type { Roofs } from '../trace/trace'

/**
 * How long a step takes on some machine, as a function of four numbers and nothing else:
 * n decoding sequences, S = Σ of their contexts, p prefill tokens, and Σ chunk × context of the
 * prefill chunks (context as its tokens see it on average: what was there before and half the chunk).
 */
export interface StepCost {
  /** Milliseconds. */
  step(decodes: number, context: number, prefill: number, prefillContext: number): number
  readonly provenance: Provenance
  /** The same cost as whole numbers of work: runs of like steps then have a closed form. */
  readonly counted?: CountedCost
  /** What a step of that shape has to compute and move, and the roofs it is judged by; for costs that follow from them. */
  readonly machine?: Machine
}

export interface Machine {
  work(decodes: number, context: number, prefill: number, prefillContext: number): { flops: number; bytes: number }
  readonly roofs: Roofs
}

/** Kinds of work that a counted cost tells apart at most. */
export const WORKS = 5

/**
 * Time = Σ rate · work, where a step's work is a vector of whole numbers. Sums of whole numbers below
 * 2⁵³ are exact in doubles, in any order: k steps at once come to the same sums as one by one, and time
 * computed from the sums is the same to the last bit.
 */
export interface CountedCost {
  /** ms per unit of each kind of work. */
  readonly rates: readonly [number, number, number, number, number]
  /** Work of a step, into `into`, of which entries that this cost never uses are 0 and stay so; `prefillContext2` is twice Σ chunk × context, which is a whole number. */
  work(decodes: number, context: number, prefill: number, prefillContext2: number, into: Work): void
}

/** Work of a step, and of those that follow while every sequence decodes: the j-th takes first + j · growth. */
export class Work {
  readonly first = new Float64Array(WORKS)
  readonly growth = new Float64Array(WORKS)
  /** ms beyond the formula; only in steps that no run contains, that is with prefill in them. */
  extra = 0
  /** So many steps in a row follow the formula. */
  steps = 1
}
