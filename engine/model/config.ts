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

/** Reads config.json of the Llama family. Throws ModelError naming the key. */
export function parseConfig(json: unknown, file = 'config.json'): ModelConfig {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw new ModelError(`${file}: not a JSON object`)
  const raw = json as Record<string, unknown>
  const architectures = raw['architectures']
  if (raw['model_type'] !== 'llama') {
    throw new ModelError(`${file}: model_type is ${JSON.stringify(raw['model_type'])} (${JSON.stringify(architectures)}); this engine runs "llama"`)
  }
  const positive = (key: string, fallback?: number): number => {
    const value = raw[key] ?? fallback
    if (typeof value !== 'number' || !Number.isInteger(value) || value <= 0) throw new ModelError(`${file}: ${key} must be a positive whole number, is ${JSON.stringify(value)}`)
    return value
  }
  const real = (key: string, fallback: number): number => {
    const value = raw[key] ?? fallback
    if (typeof value !== 'number' || !(value > 0)) throw new ModelError(`${file}: ${key} must be a positive number, is ${JSON.stringify(value)}`)
    return value
  }
  if (raw['rope_scaling'] != null) throw new ModelError(`${file}: rope_scaling is not supported`)
  if (raw['hidden_act'] !== undefined && raw['hidden_act'] !== 'silu') throw new ModelError(`${file}: hidden_act is ${JSON.stringify(raw['hidden_act'])}, this engine runs "silu"`)
  if (raw['attention_bias'] === true || raw['mlp_bias'] === true) throw new ModelError(`${file}: biases are not supported`)

  const hidden = positive('hidden_size')
  const heads = positive('num_attention_heads')
  const kvHeads = positive('num_key_value_heads', heads)
  const headDim = positive('head_dim', hidden / heads)
  if (heads % kvHeads !== 0) throw new ModelError(`${file}: num_attention_heads ${heads} is not a multiple of num_key_value_heads ${kvHeads}`)
  if (headDim % 2 !== 0) throw new ModelError(`${file}: head_dim ${headDim} is odd, rotary embedding needs pairs`)
  const vocabSize = positive('vocab_size')
  const eosRaw = raw['eos_token_id'] ?? []
  const eos = (Array.isArray(eosRaw) ? eosRaw : [eosRaw]) as number[]
  for (const id of eos) if (!Number.isInteger(id) || id < 0 || id >= vocabSize) throw new ModelError(`${file}: eos_token_id ${id} is outside the vocabulary of ${vocabSize}`)
  return {
    layers: positive('num_hidden_layers'),
    hidden,
    heads,
    kvHeads,
    headDim,
    ffn: positive('intermediate_size'),
    vocabSize,
    rmsNormEps: real('rms_norm_eps', 1e-6),
    ropeTheta: real('rope_theta', 10000),
    maxPositions: positive('max_position_embeddings', 2048),
    tied: raw['tie_word_embeddings'] === true,
    eos,
  }
}

/** Parameters, embedding included once (twice when untied). */
export function parameterCount(c: ModelConfig): number {
  return c.vocabSize * c.hidden * (c.tied ? 1 : 2) + c.layers * layerParameters(c) + c.hidden
}

/** Parameters of one layer: attention, SwiGLU, two norms. */
export function layerParameters(c: ModelConfig): number {
  const attention = c.hidden * c.headDim * (c.heads * 2 + c.kvHeads * 2)
  return attention + 3 * c.hidden * c.ffn + 2 * c.hidden
}

/** KV bytes per token: 2 · layers · kv_heads · head_dim · bytes (REFERENCE §2). */
export function kvBytesPerToken(c: ModelConfig, bytesPerValue: number): number {
  return 2 * c.layers * c.kvHeads * c.headDim * bytesPerValue
}
