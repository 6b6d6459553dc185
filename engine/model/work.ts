import { expertParameters, kvBytesPerToken, layerParameters, type ModelConfig } from './config'

/** What a step asks of the machine, whatever machine it is (REFERENCE §2). */
export interface Work {
  /** Floating-point operations: matmuls and attention. */
  flops: number
  /** Bytes that have to move at least: weights once, KV read, KV written, activations. */
  bytes: number
  /** Bytes gone through again by the next step (weights and KV held): picks the point of the bandwidth curve. */
  workingSet: number
}

export interface Share {
  /** Tokens computed. */
  tokens: number
  /** Tokens in the KV cache before. */
  context: number
  /** Rows whose logits are needed. */
  sampledRows: number
}

export interface Widths {
  /** Bytes per weight (4 for f32), scales included: quantize.ts, weightWidth. */
  weight: number
  /** Bytes per key or value, scales included: quantize.ts, kvWidth. */
  kv: number
}

/** What a mixture of experts did in a step. */
export interface Routing {
  /** Experts a token was sent to (default: the model's own number). */
  expertsPerToken?: number
  /** Distinct (layer, expert) pairs that were read (default: what is expected when all experts are equally likely). */
  expertsTouched?: number
}

/**
 * FLOPs = 2 · P_active without embeddings · tokens + 2·d·vocab per sampled row
 *         + 4 · layers · heads · head_dim · Σ over tokens of context (QKᵀ and the weighted sum of V);
 * bytes = weights touched once (the input table's rows only, unless tied and sampled from; of a mixture's experts
 *         those that any token was sent to) + KV read + KV written + activations.
 */
export function work(c: ModelConfig, shares: readonly Share[], widths: Widths, routing: Routing = {}): Work {
  const kvToken = kvBytesPerToken(c, widths.kv)
  let tokens = 0
  let sampled = 0
  let attended = 0 // Σ over tokens of the positions each looks at, itself included
  let held = 0
  for (const s of shares) {
    tokens += s.tokens
    sampled += s.sampledRows
    attended += s.tokens * s.context + (s.tokens * (s.tokens + 1)) / 2
    held += s.context + s.tokens
  }
  const { expertsPerToken = c.expertsPerToken ?? 1, expertsTouched = expectedExperts(c, tokens, expertsPerToken) } = routing
  const active = c.layers * layerParameters(c, expertsPerToken)
  const flops = 2 * active * tokens + 2 * c.hidden * c.vocabSize * sampled + 4 * c.layers * c.heads * c.headDim * attended
  const unembed = sampled > 0 ? c.vocabSize * c.hidden : 0
  const layerWeights = c.layers * layerParameters(c, 0) + expertsTouched * expertParameters(c)
  const weightBytes = (layerWeights + unembed + c.hidden) * widths.weight
  const rows = tokens * c.hidden * widths.weight // the input table's rows
  // Residual in and out of both halves of each layer: the least that has to pass through memory or cache.
  const activations = 4 * 4 * c.hidden * c.layers * tokens
  return {
    flops,
    bytes: weightBytes + rows + kvToken * (held + tokens) + activations,
    workingSet: (c.layers * layerParameters(c) + unembed + c.hidden) * widths.weight + kvToken * held,
  }
}

/** Distinct experts that `tokens` tokens are expected to be sent to, in all layers together, when all are equally likely. */
export function expectedExperts(c: ModelConfig, tokens: number, expertsPerToken = c.expertsPerToken ?? 1): number {
  const experts = c.experts ?? 1
  return c.layers * experts * (1 - (1 - expertsPerToken / experts) ** tokens)
}
