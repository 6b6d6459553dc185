/** Shape of a catalogue model, as its config.json states it (REFERENCE §4). */
export interface ModelSpec {
  name: string
  label: string
  layers: number
  hidden: number
  heads: number
  kvHeads: number
  headDim: number
  ffn: number
  vocab: number
  /** SwiGLU (three matrices) or plain (two). */
  gated: boolean
  tied: boolean
  /** Learned position table, rows (OPT). */
  positions?: number
  moe?: MoeSpec
  /** Multi-head latent attention: KV is one compressed vector a layer. */
  mla?: { qRank: number; kvRank: number; ropeDim: number; nopeDim: number; valueDim: number }
}

export interface MoeSpec {
  experts: number
  /** Routed experts a token uses. */
  active: number
  /** Width of one expert's middle. */
  ffn: number
  /** Experts that every token uses besides. */
  shared: number
  /** Leading layers with an ordinary FFN. */
  denseLayers: number
}

type Shape = [layers: number, hidden: number, heads: number, kvHeads: number, ffn: number, vocab: number]

const spec = (name: string, label: string, [layers, hidden, heads, kvHeads, ffn, vocab]: Shape, extra: Partial<ModelSpec> = {}): ModelSpec => ({
  name, label, layers, hidden, heads, kvHeads, headDim: hidden / heads, ffn, vocab, gated: true, tied: false, ...extra,
})

export const MODELS: readonly ModelSpec[] = [
  spec('llama-2-7b', 'Llama-2-7B', [32, 4096, 32, 32, 11008, 32000]),
  spec('llama-2-70b', 'Llama-2-70B', [80, 8192, 64, 8, 28672, 32000]),
  spec('llama-3.1-8b', 'Llama-3.1-8B', [32, 4096, 32, 8, 14336, 128256]),
  spec('llama-3.2-1b', 'Llama-3.2-1B', [16, 2048, 32, 8, 8192, 128256], { tied: true }),
  spec('llama-3.2-3b', 'Llama-3.2-3B', [28, 3072, 24, 8, 8192, 128256], { tied: true }),
  spec('llama-3.1-70b', 'Llama-3.1-70B', [80, 8192, 64, 8, 28672, 128256]),
  spec('llama-3.1-405b', 'Llama-3.1-405B', [126, 16384, 128, 8, 53248, 128256]),
  spec('mixtral-8x7b', 'Mixtral-8x7B', [32, 4096, 32, 8, 14336, 32000], { moe: { experts: 8, active: 2, ffn: 14336, shared: 0, denseLayers: 0 } }),
  spec('qwen2.5-7b', 'Qwen2.5-7B', [28, 3584, 28, 4, 18944, 152064]),
  spec('mistral-7b', 'Mistral-7B', [32, 4096, 32, 8, 14336, 32000]),
  spec('mpt-7b', 'MPT-7B', [32, 4096, 32, 32, 16384, 50432], { gated: false, tied: true }),
  spec('opt-13b', 'OPT-13B', [40, 5120, 40, 40, 20480, 50272], { gated: false, tied: true, positions: 2050 }),
  spec('pythia-2.8b', 'Pythia-2.8B', [32, 2560, 32, 32, 10240, 50304], { gated: false }),
  spec('pythia-70m', 'Pythia-70M', [6, 512, 8, 8, 2048, 50304], { gated: false }),
  spec('deepseek-v3', 'DeepSeek-V3', [61, 7168, 128, 128, 18432, 129280], {
    moe: { experts: 256, active: 8, ffn: 2048, shared: 1, denseLayers: 3 },
    mla: { qRank: 1536, kvRank: 512, ropeDim: 64, nopeDim: 128, valueDim: 128 },
  }),
]

/**
 * By name; `NAME:8x2` is the same dense model with each FFN cut into 8 experts of which a token meets 2, as LLaMA-MoE (Zhu et
 * al. 2024) cuts Llama-2: as many weights, fewer of them for each token. Throws RangeError listing the names there are.
 */
export function modelSpec(name: string): ModelSpec {
  const [, base, experts, active] = /^(.+):(\d+)x(\d+)$/.exec(name) ?? [undefined, name]
  const found = MODELS.find((m) => m.name === base)
  if (!found) throw new RangeError(`model ${JSON.stringify(name)} is not in the catalogue: ${MODELS.map((m) => m.name).join(', ')}`)
  return experts === undefined ? found : asMixture(found, Number(experts), Number(active))
}

function asMixture(m: ModelSpec, experts: number, active: number): ModelSpec {
  if (m.moe) throw new RangeError(`${m.label} is a mixture of experts already`)
  if (!(experts >= 2 && active >= 1 && active <= experts && m.ffn % experts === 0)) throw new RangeError(`the FFN of ${m.label} cannot be cut into ${experts} experts of which a token meets ${active}`)
  return { ...m, name: `${m.name}:${experts}x${active}`, label: `${m.label} as ${experts} experts`, moe: { experts, active, ffn: m.ffn / experts, shared: 0, denseLayers: 0 } }
}

/** Matrix parameters of one layer's attention. */
function attentionParameters(m: ModelSpec): number {
  if (m.mla) {
    const { qRank, kvRank, ropeDim, nopeDim, valueDim } = m.mla
    const q = m.hidden * qRank + qRank * m.heads * (nopeDim + ropeDim)
    const kv = m.hidden * (kvRank + ropeDim) + kvRank * m.heads * (nopeDim + valueDim)
    return q + kv + m.heads * valueDim * m.hidden
  }
  return m.hidden * m.headDim * (2 * m.heads + 2 * m.kvHeads)
}

/** Matrix parameters of all FFNs when each token (or batch) uses `routed` experts of a MoE layer. */
function ffnParameters(m: ModelSpec, routed: number): number {
  const matrices = m.gated ? 3 : 2
  const dense = matrices * m.hidden * m.ffn
  if (!m.moe) return m.layers * dense
  const { experts, ffn, shared, denseLayers } = m.moe
  const sparse = matrices * m.hidden * ffn * (routed + shared) + m.hidden * experts // the router reads all
  return denseLayers * dense + (m.layers - denseLayers) * sparse
}

/** All parameters, matrices only (norms and biases are below a thousandth). */
export function totalParameters(m: ModelSpec): number {
  return m.layers * attentionParameters(m) + ffnParameters(m, m.moe?.experts ?? 0) + m.vocab * m.hidden * (m.tied ? 1 : 2) + (m.positions ?? 0) * m.hidden
}

/** Parameters a token is multiplied with, without embeddings: P_active of the cost model. */
export function activeParameters(m: ModelSpec): number {
  return m.layers * attentionParameters(m) + ffnParameters(m, m.moe?.active ?? 0)
}

/**
 * Parameters of the layers that a step over `tokens` tokens reads. A MoE layer reads those experts that
 * some token was routed to: experts · (1 − (1 − active/experts)^tokens) if routing is even.
 */
export function touchedParameters(m: ModelSpec, tokens: number): number {
  if (!m.moe) return activeParameters(m)
  const { experts, active } = m.moe
  return m.layers * attentionParameters(m) + ffnParameters(m, experts * (1 - (1 - active / experts) ** tokens))
}

/** KV cache, bytes per token. */
export function kvBytesPerToken(m: ModelSpec, bytesPerValue: number): number {
  return m.mla ? m.layers * (m.mla.kvRank + m.mla.ropeDim) * bytesPerValue : 2 * m.layers * m.kvHeads * m.headDim * bytesPerValue
}
