import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ModelConfig } from '$engine/model/config'
import { materialize } from '$engine/model/synthetic'
import type { Weights } from '$engine/model/weights'

/** A Llama small enough for a test to write, of shapes that every runner takes. */
export const TINY: ModelConfig = {
  layers: 2, hidden: 64, heads: 2, kvHeads: 1, headDim: 32, ffn: 192, vocabSize: 512,
  rmsNormEps: 1e-5, ropeTheta: 10000, maxPositions: 256, tied: true, eos: [0],
}

/** A Mixtral of the same kind. */
export const TINY_MIXTURE: ModelConfig = { ...TINY, ffn: 96, experts: 4, expertsPerToken: 2 }

/** A Qwen2 of the same kind, with a head of its own. */
export const TINY_QWEN2: ModelConfig = { ...TINY, qkvBias: true, tied: false }

export interface FolderOptions {
  config?: ModelConfig
  /** Default: made up, biases included. */
  weights?: Weights
  trainedContext?: number
  /** How the numbers are stored (default F32). */
  dtype?: 'F32' | 'BF16'
  /** More than one: model-00001-of-0000N.safetensors and an index. */
  shards?: number
}

/**
 * The files of a folder in Hugging Face layout: made-up weights (or those given), and a tokenizer that
 * knows single bytes: id 0 ends a text, id 1 + b is byte b.
 */
export function modelFiles({ config = TINY, weights = madeUp(config), trainedContext = config.maxPositions, dtype = 'F32', shards = 1 }: FolderOptions = {}): Map<string, Uint8Array<ArrayBuffer>> {
  const json = (value: unknown) => new TextEncoder().encode(JSON.stringify(value))
  const type = config.experts ? 'mixtral' : config.qkvBias ? 'qwen2' : 'llama'
  const files = new Map([
    ['config.json', json({
      architectures: [{ mixtral: 'MixtralForCausalLM', qwen2: 'Qwen2ForCausalLM', llama: 'LlamaForCausalLM' }[type]], model_type: type,
      vocab_size: config.vocabSize, hidden_size: config.hidden, intermediate_size: config.ffn,
      num_hidden_layers: config.layers, num_attention_heads: config.heads, num_key_value_heads: config.kvHeads, head_dim: config.headDim,
      max_position_embeddings: config.maxPositions, rope_theta: config.ropeTheta, rms_norm_eps: config.rmsNormEps, hidden_act: 'silu',
      tie_word_embeddings: config.tied, eos_token_id: config.eos[0], trained_context: trainedContext,
      ...(config.experts ? { num_local_experts: config.experts, num_experts_per_tok: config.expertsPerToken } : {}),
    })],
    ['tokenizer.json', json(byteTokenizer())],
    ['tokenizer_config.json', json({ tokenizer_class: 'PreTrainedTokenizerFast' })],
  ])
  const tensors = tensorsOf(weights, config)
  if (shards === 1) return files.set('model.safetensors', safetensors(tensors, dtype))
  const nameOf = (i: number) => `model-0000${i + 1}-of-0000${shards}.safetensors`
  for (let i = 0; i < shards; i++) files.set(nameOf(i), safetensors(tensors.filter((_, t) => t % shards === i), dtype))
  return files.set('model.safetensors.index.json', json({ metadata: {}, weight_map: Object.fromEntries(tensors.map(({ name }, t) => [name, nameOf(t % shards)])) }))
}

/** Writes modelFiles to disk. */
export function writeModelFolder(folder: string, options?: FolderOptions): void {
  mkdirSync(folder, { recursive: true })
  for (const [file, bytes] of modelFiles(options)) writeFileSync(join(folder, file), bytes)
}

/** Synthetic weights, with biases that are not zero. */
export function madeUp(config: ModelConfig): Weights {
  const weights = materialize(config, 7)
  for (const layer of weights.layers) {
    for (const bias of [layer.qBias, layer.kBias, layer.vBias]) bias?.forEach((_, i) => (bias[i] = Math.sin(i + 1) / 4))
  }
  return weights
}

interface Tensor {
  name: string
  shape: number[]
  data: Float32Array
}

function tensorsOf(weights: Weights, c: ModelConfig): Tensor[] {
  const d = c.hidden
  const q = c.heads * c.headDim
  const kv = c.kvHeads * c.headDim
  const part = (matrix: Float32Array, e: number) => matrix.subarray((e * matrix.length) / c.experts!, ((e + 1) * matrix.length) / c.experts!)
  return [
    { name: 'model.embed_tokens.weight', shape: [c.vocabSize, d], data: weights.embed },
    { name: 'model.norm.weight', shape: [d], data: weights.finalNorm },
    ...(c.tied ? [] : [{ name: 'lm_head.weight', shape: [c.vocabSize, d], data: weights.unembed }]),
    ...weights.layers.flatMap((layer, l) => [
      { name: 'input_layernorm.weight', shape: [d], data: layer.attentionNorm },
      { name: 'self_attn.q_proj.weight', shape: [q, d], data: layer.q },
      { name: 'self_attn.k_proj.weight', shape: [kv, d], data: layer.k },
      { name: 'self_attn.v_proj.weight', shape: [kv, d], data: layer.v },
      { name: 'self_attn.o_proj.weight', shape: [d, q], data: layer.o },
      ...(c.qkvBias ? [
        { name: 'self_attn.q_proj.bias', shape: [q], data: layer.qBias! },
        { name: 'self_attn.k_proj.bias', shape: [kv], data: layer.kBias! },
        { name: 'self_attn.v_proj.bias', shape: [kv], data: layer.vBias! },
      ] : []),
      { name: 'post_attention_layernorm.weight', shape: [d], data: layer.ffnNorm },
      ...(c.experts ? [
        { name: 'block_sparse_moe.gate.weight', shape: [c.experts, d], data: layer.router! },
        ...Array.from({ length: c.experts }, (_, e) => [
          { name: `block_sparse_moe.experts.${e}.w1.weight`, shape: [c.ffn, d], data: part(layer.gate, e) },
          { name: `block_sparse_moe.experts.${e}.w2.weight`, shape: [d, c.ffn], data: part(layer.down, e) },
          { name: `block_sparse_moe.experts.${e}.w3.weight`, shape: [c.ffn, d], data: part(layer.up, e) },
        ]).flat(),
      ] : [
        { name: 'mlp.gate_proj.weight', shape: [c.ffn, d], data: layer.gate },
        { name: 'mlp.up_proj.weight', shape: [c.ffn, d], data: layer.up },
        { name: 'mlp.down_proj.weight', shape: [d, c.ffn], data: layer.down },
      ]),
    ].map((t) => ({ ...t, name: `model.layers.${l}.${t.name}` }))),
  ]
}

function safetensors(tensors: readonly Tensor[], dtype: 'F32' | 'BF16'): Uint8Array<ArrayBuffer> {
  const stored = tensors.map(({ name, shape, data }) => ({ name, shape, bytes: dtype === 'F32' ? new Uint8Array(data.slice().buffer) : brain(data) }))
  let at = 0
  const header = new TextEncoder().encode(JSON.stringify(Object.fromEntries(stored.map(({ name, shape, bytes }) => {
    const begin = at
    at += bytes.length
    return [name, { dtype, shape, data_offsets: [begin, at] }]
  }))))
  const out = new Uint8Array(8 + header.length + at)
  new DataView(out.buffer).setBigUint64(0, BigInt(header.length), true)
  out.set(header, 8)
  let to = 8 + header.length
  for (const { bytes } of stored) {
    out.set(bytes, to)
    to += bytes.length
  }
  return out
}

/** bfloat16 by cutting: the upper halves of the singles. */
function brain(data: Float32Array): Uint8Array<ArrayBuffer> {
  const words = new Uint16Array(data.slice().buffer)
  return new Uint8Array(Uint16Array.from({ length: data.length }, (_, i) => words[2 * i + 1]!).buffer)
}

/** GPT-2's alphabet: printable bytes stand for themselves, the others for code points from 256 on. */
function byteTokenizer(): object {
  const vocab: Record<string, number> = { '<|endoftext|>': 0 }
  let next = 256
  for (let b = 0; b < 256; b++) {
    const printable = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174
    vocab[String.fromCodePoint(printable ? b : next++)] = 1 + b
  }
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true }
  return {
    version: '1.0', truncation: null, padding: null, normalizer: null, post_processor: null,
    added_tokens: [{ id: 0, content: '<|endoftext|>', single_word: false, lstrip: false, rstrip: false, normalized: false, special: true }],
    pre_tokenizer: byteLevel, decoder: byteLevel,
    model: { type: 'BPE', dropout: null, unk_token: null, continuing_subword_prefix: null, end_of_word_suffix: null, fuse_unk: false, byte_fallback: false, vocab, merges: [] },
  }
}
