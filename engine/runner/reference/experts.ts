import type { ModelConfig } from '../../model/config'
import type { LayerWeights } from '../../model/weights'
import { matmul, softmaxInPlace, swiglu } from './math'

/** How many experts a token is sent to, and who is told which. */
export interface Router {
  expertsPerToken: number
  /** Of one token in one layer, most weight first. */
  onRoute(layer: number, experts: readonly number[]): void
}

/**
 * Mixture of experts (Jiang et al. 2024, §2.1): a linear router scores the experts, the best few compute,
 * and their outputs are summed with the softmax of their scores alone. (T, d) -> (T, d)
 */
export function mixture(m: Float32Array, layer: LayerWeights, c: ModelConfig, l: number, router: Router): Float32Array {
  const { hidden: d, ffn } = c
  const scores = matmul(m, layer.router!, d) // (T, d) @ (d, E) -> (T, E)
  const out = new Float32Array(m.length)
  for (let t = 0; t < m.length / d; t++) {
    const chosen = best(scores.subarray(t * c.experts!, (t + 1) * c.experts!), router.expertsPerToken)
    router.onRoute(l, chosen)
    const weights = Float32Array.from(chosen, (e) => scores[t * c.experts! + e]!)
    softmaxInPlace(weights)
    const row = m.subarray(t * d, (t + 1) * d)
    for (const [i, e] of chosen.entries()) {
      const gate = matmul(row, layer.gate.subarray(e * ffn * d, (e + 1) * ffn * d), d) // (1, d) @ (d, ffn) -> (1, ffn)
      const up = matmul(row, layer.up.subarray(e * ffn * d, (e + 1) * ffn * d), d) // (1, d) @ (d, ffn) -> (1, ffn)
      const y = matmul(swiglu(gate, up), layer.down.subarray(e * d * ffn, (e + 1) * d * ffn), ffn) // (1, ffn) @ (ffn, d) -> (1, d)
      for (let j = 0; j < d; j++) out[t * d + j]! += weights[i]! * y[j]!
    }
  }
  return out
}

/** Indices of the k largest, largest first; of equals the earlier one. */
function best(scores: Float32Array, k: number): number[] {
  return Array.from(scores.keys()).sort((a, b) => scores[b]! - scores[a]! || a - b).slice(0, k)
}
