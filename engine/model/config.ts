/** Shape of a Llama-family transformer; names follow the papers, the file's names are Hugging Face's. */
export interface ModelConfig {
  layers: number
  /** d: width of the residual stream. */
  hidden: number
  /** H: query heads. */
  heads: number
  /** KV: key/value heads; heads is a multiple of it (grouped-query attention, Ainslie et al. 2023). */
  kvHeads: number
  headDim: number
  /** Width of the SwiGLU's middle; of one expert's where there are several. */
  ffn: number
  /** E: experts of a mixture, all with their own SwiGLU (Mixtral, Jiang et al. 2024). Absent: one, dense. */
  experts?: number
  /** Experts that each token is sent to. */
  expertsPerToken?: number
  /** q, k and v have biases (Qwen2). */
  qkvBias?: boolean
  vocabSize: number
  rmsNormEps: number
  ropeTheta: number
  maxPositions: number
  /** The unembedding is the embedding. */
  tied: boolean
  /** Ends a text. */
  eos: number[]
}

/** A model file says something this engine cannot follow. The message names the file and the key. */
export class ModelError extends Error {
  override name = 'ModelError'
}

/** Architectures by config.json's model_type: one block structure, with the differences that ModelConfig names. */
const FAMILY = ['llama', 'mistral', 'mixtral', 'qwen2'] as const
type Family = (typeof FAMILY)[number]

/** Reads config.json of the Llama family (Llama, Mistral, Mixtral, Qwen2). Throws ModelError naming the key. */
export function parseConfig(json: unknown, file = 'config.json'): ModelConfig {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw new ModelError(`${file}: not a JSON object`)
  const raw = json as Record<string, unknown>
  const type = raw['model_type'] as Family
  if (!FAMILY.includes(type)) {
    throw new ModelError(`${file}: model_type is ${JSON.stringify(raw['model_type'])} (${JSON.stringify(raw['architectures'])}); this engine runs ${FAMILY.join(', ')}`)
  }
  const positive = (key: string, fallback?: number): number => {
    const value = raw[key] ?? fallback
    if (typeof value !== 'number' || !Number.isInteger(value) || value <= 0) throw new ModelError(`${file}: ${key} must be a positive whole number, is ${JSON.stringify(value)}`)
    return value
  }
  if (raw['hidden_act'] !== undefined && raw['hidden_act'] !== 'silu') throw new ModelError(`${file}: hidden_act is ${JSON.stringify(raw['hidden_act'])}, this engine runs "silu"`)
  if (raw['attention_bias'] === true || raw['mlp_bias'] === true) throw new ModelError(`${file}: biases are supported on q, k and v of Qwen2 alone`)
  if (raw['quantization_config'] != null) throw new ModelError(`${file}: quantization_config is not supported; this engine quantizes by itself, from f32, f16 or bf16`)

  const hidden = positive('hidden_size')
  const heads = positive('num_attention_heads')
  const kvHeads = positive('num_key_value_heads', heads)
  const headDim = positive('head_dim', hidden / heads)
  if (heads % kvHeads !== 0) throw new ModelError(`${file}: num_attention_heads ${heads} is not a multiple of num_key_value_heads ${kvHeads}`)
  if (headDim % 2 !== 0) throw new ModelError(`${file}: head_dim ${headDim} is odd, rotary embedding needs pairs`)
  const vocabSize = positive('vocab_size')
  const rmsNormEps = raw['rms_norm_eps'] ?? 1e-6
  if (typeof rmsNormEps !== 'number' || !(rmsNormEps > 0)) throw new ModelError(`${file}: rms_norm_eps must be a positive number, is ${JSON.stringify(rmsNormEps)}`)
  return {
    layers: positive('num_hidden_layers'),
    hidden,
    heads,
    kvHeads,
    headDim,
    ffn: positive('intermediate_size'),
    ...(type === 'mixtral' ? mixture(positive, file) : {}),
    ...(type === 'qwen2' ? { qkvBias: true } : {}),
    vocabSize,
    rmsNormEps,
    ropeTheta: ropeTheta(raw, file),
    maxPositions: Math.min(positive('max_position_embeddings', 2048), slidingWindow(raw, type)),
    tied: raw['tie_word_embeddings'] === true,
    eos: endOfText(raw, vocabSize, file),
  }
}

function mixture(positive: (key: string, fallback: number) => number, file: string): { experts: number; expertsPerToken: number } {
  const experts = positive('num_local_experts', 8)
  const expertsPerToken = positive('num_experts_per_tok', 2)
  if (expertsPerToken > experts) throw new ModelError(`${file}: num_experts_per_tok ${expertsPerToken} of num_local_experts ${experts}`)
  return { experts, expertsPerToken }
}

/** Base of the rotary frequencies, where older and newer files keep it. Scaled frequencies are refused. */
function ropeTheta(raw: Record<string, unknown>, file: string): number {
  for (const key of ['rope_scaling', 'rope_parameters']) {
    const scaling = raw[key] as { rope_type?: unknown; type?: unknown } | null | undefined
    const type = scaling?.rope_type ?? scaling?.type ?? 'default'
    if (type !== 'default') throw new ModelError(`${file}: ${key} of type ${JSON.stringify(type)} is not supported`)
  }
  const value = raw['rope_theta'] ?? (raw['rope_parameters'] as { rope_theta?: unknown } | undefined)?.rope_theta ?? 10000
  if (typeof value !== 'number' || !(value > 0)) throw new ModelError(`${file}: rope_theta must be a positive number, is ${JSON.stringify(value)}`)
  return value
}

/** Positions for which attention to a window is attention to everything: this engine goes no further. */
function slidingWindow(raw: Record<string, unknown>, type: Family): number {
  const window = raw['sliding_window']
  const used = type === 'qwen2' ? raw['use_sliding_window'] === true : type !== 'llama'
  return used && typeof window === 'number' && window > 0 ? window : Infinity
}

function endOfText(raw: Record<string, unknown>, vocabSize: number, file: string): number[] {
  const ids = [raw['eos_token_id'] ?? []].flat() as number[]
  for (const id of ids) if (!Number.isInteger(id) || id < 0 || id >= vocabSize) throw new ModelError(`${file}: eos_token_id ${id} is outside the vocabulary of ${vocabSize}`)
  return ids
}

/** Parameters, embedding included once (twice when untied), all experts of a mixture included. */
export function parameterCount(c: ModelConfig): number {
  return c.vocabSize * c.hidden * (c.tied ? 1 : 2) + c.layers * layerParameters(c) + c.hidden
}

/** Parameters that one token meets: of a mixture's experts those it is sent to. */
export function activeParameters(c: ModelConfig, expertsPerToken = c.expertsPerToken): number {
  return c.vocabSize * c.hidden * (c.tied ? 1 : 2) + c.layers * layerParameters(c, expertsPerToken ?? 1) + c.hidden
}

/** Parameters of one layer: attention with its biases, two norms, and SwiGLUs: all, or so many of a mixture's. */
export function layerParameters(c: ModelConfig, experts = c.experts ?? 1): number {
  const attention = c.hidden * c.headDim * (c.heads * 2 + c.kvHeads * 2) + (c.qkvBias ? c.headDim * (c.heads + 2 * c.kvHeads) : 0)
  const router = c.experts ? c.experts * c.hidden : 0
  return attention + router + experts * expertParameters(c) + 2 * c.hidden
}

/** Parameters of one SwiGLU. */
export function expertParameters(c: ModelConfig): number {
  return 3 * c.hidden * c.ffn
}

/** KV bytes per token: 2 · layers · kv_heads · head_dim · bytes (REFERENCE §2). */
export function kvBytesPerToken(c: ModelConfig, bytesPerValue: number): number {
  return 2 * c.layers * c.kvHeads * c.headDim * bytesPerValue
}
