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

/**
 * Writes a folder in Hugging Face layout: made-up weights (or those given) in f32, and a tokenizer that
 * knows single bytes: id 0 ends a text, id 1 + b is byte b.
 */
export function writeModelFolder(folder: string, { config = TINY, weights = materialize(config, 7), trainedContext = config.maxPositions }: { config?: ModelConfig; weights?: Weights; trainedContext?: number } = {}): void {
  mkdirSync(folder, { recursive: true })
  const json = (file: string, value: unknown) => writeFileSync(join(folder, file), JSON.stringify(value))
  json('config.json', {
    architectures: ['LlamaForCausalLM'], model_type: 'llama', vocab_size: config.vocabSize, hidden_size: config.hidden, intermediate_size: config.ffn,
    num_hidden_layers: config.layers, num_attention_heads: config.heads, num_key_value_heads: config.kvHeads, head_dim: config.headDim,
    max_position_embeddings: config.maxPositions, rope_theta: config.ropeTheta, rms_norm_eps: config.rmsNormEps, hidden_act: 'silu',
    tie_word_embeddings: config.tied, eos_token_id: config.eos[0], trained_context: trainedContext,
  })
  json('tokenizer.json', byteTokenizer())
  json('tokenizer_config.json', { tokenizer_class: 'PreTrainedTokenizerFast' })
  writeFileSync(join(folder, 'model.safetensors'), safetensors(tensorsOf(weights, config)))
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
  return [
    { name: 'model.embed_tokens.weight', shape: [c.vocabSize, d], data: weights.embed },
    { name: 'model.norm.weight', shape: [d], data: weights.finalNorm },
    ...(c.tied ? [] : [{ name: 'lm_head.weight', shape: [c.vocabSize, d], data: weights.unembed }]),
    ...weights.layers.flatMap((layer, l) => [
      { name: 'input_layernorm', shape: [d], data: layer.attentionNorm },
      { name: 'self_attn.q_proj', shape: [q, d], data: layer.q },
      { name: 'self_attn.k_proj', shape: [kv, d], data: layer.k },
      { name: 'self_attn.v_proj', shape: [kv, d], data: layer.v },
      { name: 'self_attn.o_proj', shape: [d, q], data: layer.o },
      { name: 'post_attention_layernorm', shape: [d], data: layer.ffnNorm },
      { name: 'mlp.gate_proj', shape: [c.ffn, d], data: layer.gate },
      { name: 'mlp.up_proj', shape: [c.ffn, d], data: layer.up },
      { name: 'mlp.down_proj', shape: [d, c.ffn], data: layer.down },
    ].map((t) => ({ ...t, name: `model.layers.${l}.${t.name}.weight` }))),
  ]
}

function safetensors(tensors: readonly Tensor[]): Uint8Array {
  let at = 0
  const header = new TextEncoder().encode(JSON.stringify(Object.fromEntries(tensors.map(({ name, shape, data }) => {
    const begin = at
    at += data.byteLength
    return [name, { dtype: 'F32', shape, data_offsets: [begin, at] }]
  }))))
  const out = new Uint8Array(8 + header.length + at)
  new DataView(out.buffer).setBigUint64(0, BigInt(header.length), true)
  out.set(header, 8)
  let to = 8 + header.length
  for (const { data } of tensors) {
    out.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), to)
    to += data.byteLength
  }
  return out
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
