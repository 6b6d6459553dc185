import type { StepCost, Work } from '../serving/step-cost'
import type { AffineCosts } from './affine'

/** Draft and verify (Leviathan et al. 2023), as far as a step cost needs to know it. */
export interface Speculation {
  /** Draft tokens per verification, K. */
  drafts: number
  /** Share of draft tokens that the target accepts, each independently of the others. */
  acceptance: number
  /** A draft step in target steps (of the same batch), c. */
  draft_cost: number
}

/** Tokens an iteration yields: the accepted run of drafts and the target's own token, (1 − a^(K+1)) / (1 − a). */
export function tokensPerIteration(acceptance: number, drafts: number): number {
  return acceptance === 1 ? drafts + 1 : (1 - acceptance ** (drafts + 1)) / (1 - acceptance)
}

/**
 * An affine step cost under speculation, per token: a verification of K drafts is one step in which every
 * draft costs what a prefill token does, K draft steps cost c each, and the iteration yields
 * `tokensPerIteration` tokens. In expectation, without the scatter of acceptance; what prompts add to a
 * step they add as before.
 */
export function speculativeAffine(plain: StepCost, costs: AffineCosts, speculation: Speculation): StepCost {
  const { drafts, draft_cost } = speculation
  const tokens = tokensPerIteration(speculation.acceptance, drafts)
  const a = (costs.base_ms * (1 + drafts * draft_cost)) / tokens
  const b = (costs.per_sequence_ms * (1 + drafts * draft_cost) + drafts * costs.per_prefill_token_ms) / tokens
  const c = (costs.per_context_token_ms * (1 + drafts * draft_cost)) / tokens
  const prompts = (n: number, p: number, pc: number) => (n > 0 ? 0 : costs.base_ms) + costs.per_prefill_token_ms * p + costs.per_prefill_token_context_ms * pc
  return {
    provenance: plain.provenance,
    step: (n, s, p, pc) => (n > 0 ? a + b * n + c * s : 0) + (p > 0 ? prompts(n, p, pc) : 0),
    counted: {
      rates: [a, b, c, 0, 0],
      work(n, s, p, pc2, into: Work) {
        const { first, growth } = into
        first[0] = n > 0 ? 1 : 0
        first[1] = n
        first[2] = s
        first[3] = first[4] = 0
        growth[2] = n
        into.extra = p > 0 ? prompts(n, p, pc2 / 2) : 0
        into.steps = p > 0 ? 1 : Infinity
      },
    },
  }
}
