import type { StepCost, Work } from '../serving/step-cost'
import type { Provenance } from '../trace/provenance'

/** The five numbers that explain a vLLM server (REFERENCE §2): t = a + b·n + c·S + d·p + e·Σ(chunk × context). */
export interface AffineCosts {
  base_ms: number
  per_sequence_ms: number
  per_context_token_ms: number
  per_prefill_token_ms: number
  per_prefill_token_context_ms: number
}

/** vLLM 0.19 on one RTX 4090 with Llama-3.1-8B, fitted to a log of 300 requests (REFERENCE §2). */
export const RTX4090_LLAMA31_8B: AffineCosts = {
  base_ms: 17.04,
  per_sequence_ms: 0.0535,
  per_context_token_ms: 1.07e-4,
  per_prefill_token_ms: 0.0903,
  per_prefill_token_context_ms: 3.9e-7,
}

export function affine(costs: AffineCosts, provenance: Provenance): StepCost {
  const { base_ms: a, per_sequence_ms: b, per_context_token_ms: c, per_prefill_token_ms: d, per_prefill_token_context_ms: e } = costs
  return {
    provenance,
    step: (n, s, p, pc) => a + b * n + c * s + d * p + e * pc,
    counted: {
      rates: [a, b, c, d, e / 2],
      work(n, s, p, pc2, into: Work) {
        const { first, growth } = into
        first[0] = 1
        first[1] = n
        first[2] = s
        first[3] = p
        first[4] = pc2
        growth[2] = n // every context grows by one token
        into.steps = p > 0 ? 1 : Infinity
      },
    },
  }
}
