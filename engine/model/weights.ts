import type { ModelConfig } from './config'

/** All matrices row-major (out, in), as Hugging Face stores them: y = W x. */
export interface LayerWeights {
  attentionNorm: Float32Array // (d)
  q: Float32Array // (H·hd, d)
  k: Float32Array // (KV·hd, d)
  v: Float32Array // (KV·hd, d)
  o: Float32Array // (d, H·hd)
  ffnNorm: Float32Array // (d)
  gate: Float32Array // (ffn, d); of a mixture (E·ffn, d), expert by expert
  up: Float32Array // (ffn, d); (E·ffn, d)
  down: Float32Array // (d, ffn); (E·d, ffn)
  router?: Float32Array // (E, d), mixtures only
  qBias?: Float32Array // (H·hd)
  kBias?: Float32Array // (KV·hd)
  vBias?: Float32Array // (KV·hd)
}

export interface Weights {
  embed: Float32Array // (vocab, d)
  layers: LayerWeights[]
  finalNorm: Float32Array // (d)
  unembed: Float32Array // (vocab, d); the same array as embed when tied
}

/** Tensors that every layer has, in the fixed order that generators and uploads go by; a mixture has its router besides. */
export const LAYER_TENSORS = ['attentionNorm', 'q', 'k', 'v', 'o', 'ffnNorm', 'gate', 'up', 'down'] as const
export type LayerTensor = (typeof LAYER_TENSORS)[number]

/** Shape (rows, cols) of a layer's tensor; norms are (1, d). A mixture has its experts' rows one after the other. */
export function layerShape(c: ModelConfig, tensor: LayerTensor): [number, number] {
  const d = c.hidden
  const experts = c.experts ?? 1
  switch (tensor) {
    case 'attentionNorm':
    case 'ffnNorm': return [1, d]
    case 'q': return [c.heads * c.headDim, d]
    case 'k':
    case 'v': return [c.kvHeads * c.headDim, d]
    case 'o': return [d, c.heads * c.headDim]
    case 'gate':
    case 'up': return [experts * c.ffn, d]
    case 'down': return [experts * d, c.ffn]
  }
}

/**
 * What a runner is given. Trained weights come as arrays; a synthetic model (the timing model) is
 * only a seed, and each runner makes the numbers where it needs them: see synthetic.ts.
 */
export interface Model {
  name: string
  config: ModelConfig
  source: { kind: 'tensors'; weights: Weights } | { kind: 'synthetic'; seed: number }
  /** Longest context it was trained at; beyond it, and for synthetic models (0), runs are for timing only. */
  trainedContext: number
}
