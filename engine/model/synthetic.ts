import { pcg } from './random'
import type { ModelConfig } from './config'
import { LAYER_TENSORS, layerShape, type LayerWeights, type Model, type Weights } from './weights'

/**
 * Weights from a counter-based generator: value i of tensor t is a function of (seed, t, i) alone, so
 * that a GPU, a WebAssembly loop and this file make the same numbers without moving any.
 *
 *   u = pcg(pcg(seed + t) + i) >> 8              24 random bits
 *   matrices: (u / 2^23 − 1) · √(3 / columns)    uniform, variance 1 / columns: activations keep their size
 *   norms:    1
 *
 * Tensor numbers: embed 0, unembed 1, then 2 + layer · 9 + index in LAYER_TENSORS, and after all layers the routers of a
 * mixture, 2 + layers · 9 + layer. Biases are 0.
 */
export function syntheticValue(seed: number, tensor: number, index: number, columns: number): number {
  const u = pcg((pcg((seed + tensor) >>> 0) + index) >>> 0) >>> 8
  return Math.fround(Math.fround(u / 8388608 - 1) * syntheticScale(columns))
}

/** √(3 / columns) as a 32-bit float. */
export function syntheticScale(columns: number): number {
  return Math.fround(Math.sqrt(3 / columns))
}

export function layerTensorNumber(layer: number, tensor: (typeof LAYER_TENSORS)[number]): number {
  return 2 + layer * LAYER_TENSORS.length + LAYER_TENSORS.indexOf(tensor)
}

/** Number of a mixture's router, whose shape is (experts, d). */
export function routerNumber(c: ModelConfig, layer: number): number {
  return 2 + c.layers * LAYER_TENSORS.length + layer
}

/** All weights as arrays: for the reference runner and for tests; the other runners generate in place. */
export function materialize(c: ModelConfig, seed: number): Weights {
  const tensor = (number: number, [rows, cols]: [number, number]) => {
    const out = new Float32Array(rows * cols)
    if (rows === 1) return out.fill(1)
    for (let i = 0; i < out.length; i++) out[i] = syntheticValue(seed, number, i, cols)
    return out
  }
  const embed = tensor(0, [c.vocabSize, c.hidden])
  const layers = Array.from({ length: c.layers }, (_, l): LayerWeights => ({
    ...(Object.fromEntries(LAYER_TENSORS.map((t) => [t, tensor(layerTensorNumber(l, t), layerShape(c, t))])) as unknown as LayerWeights),
    ...(c.experts ? { router: tensor(routerNumber(c, l), [c.experts, c.hidden]) } : {}),
    ...(c.qkvBias ? { qBias: new Float32Array(c.heads * c.headDim), kBias: new Float32Array(c.kvHeads * c.headDim), vBias: new Float32Array(c.kvHeads * c.headDim) } : {}),
  }))
  return { embed, layers, finalNorm: new Float32Array(c.hidden).fill(1), unembed: c.tied ? embed : tensor(1, [c.vocabSize, c.hidden]) }
}

/** Layers of every timing model, so that size means width. */
const DEPTH = 8

/**
 * A timing model of about `parameters` parameters: the tales family's proportions (head 64, four query
 * heads a KV head, SwiGLU ×3, vocabulary 2,048, tied), depth fixed at 8 so that size means width. `kvHeads`
 * shares keys and values among more or fewer heads, and leaves the rest as it is; it takes the next
 * number that divides the heads. `experts` makes it a mixture of so many SwiGLUs a layer, of which a
 * token is sent to two; their width, ×1.5 or near it, makes up the size.
 */
export function timingModel(parameters: number, { seed = 1, kvHeads, experts = 1 }: { seed?: number; kvHeads?: number; experts?: number } = {}): Model {
  // 8 layers of d² · (2 + 2/4 + 9) each (a mixture: 9/2 for each expert), plus 2048 d: solve a·d² + 2048 d = parameters.
  const a = DEPTH * (2.5 + (experts > 1 ? 4.5 * experts : 9))
  const d = (-2048 + Math.sqrt(2048 ** 2 + 4 * a * parameters)) / (2 * a)
  const hidden = Math.max(256, Math.round(d / 256) * 256)
  const heads = hidden / 64
  let groups = kvHeads ?? hidden / 256
  while (heads % groups !== 0) groups++
  const config: ModelConfig = {
    layers: DEPTH, hidden, heads, kvHeads: groups, headDim: 64, ffn: hidden * 3, vocabSize: 2048,
    rmsNormEps: 1e-5, ropeTheta: 10000, maxPositions: 8192, tied: true, eos: [],
  }
  if (experts > 1) {
    const left = (parameters - 2048 * hidden) / DEPTH - 2.5 * hidden ** 2
    Object.assign(config, { experts, expertsPerToken: 2, ffn: Math.max(64, Math.round(left / (3 * hidden * experts) / 64) * 64) })
  }
  const millions = (DEPTH * (2.5 * hidden ** 2 + 3 * hidden * config.ffn * experts) + 2048 * hidden) / 1e6
  const name = `timing-${Math.round(millions)}m${experts > 1 ? `-${experts}x` : ''}${kvHeads === undefined ? '' : `-kv${groups}`}`
  return { name, config, source: { kind: 'synthetic', seed }, trainedContext: 0 }
}
