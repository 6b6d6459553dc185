import type { Provenance } from '../trace/provenance'

/**
 * How long a step takes on some machine, as a function of four numbers and nothing else:
 * n decoding sequences, S = Σ of their contexts, p prefill tokens, and Σ chunk × context of the
 * prefill chunks (context as its tokens see it on average: what was there before and half the chunk).
 */
export interface StepCost {
  /** Milliseconds. */
  step(decodes: number, context: number, prefill: number, prefillContext: number): number
  readonly provenance: Provenance
}
