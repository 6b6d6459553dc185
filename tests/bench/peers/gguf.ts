import type { ModelConfig } from '$engine/model/config'
import type { Weights } from '$engine/model/weights'

/** Of tokenizer.json: what GGUF keeps of a byte-level BPE. */
interface Tokenizer {
  model: { vocab: Record<string, number>; merges: (string | [string, string])[] }
  added_tokens?: { id: number; special: boolean }[]
}

type Value = string | number | { float: number } | { strings: string[] } | { ints: number[] }

const [U32, F32, STRING, ARRAY, I32] = [4, 6, 8, 9, 5]
const ALIGNMENT = 32

/** A dense model in f32 as llama.cpp reads it: GGUF, version 3 (ggml's docs/gguf.md). */
export function exportGguf(c: ModelConfig, w: Weights, tokenizer: Tokenizer): Uint8Array {
  const tokens: string[] = []
  for (const [token, id] of Object.entries(tokenizer.model.vocab)) tokens[id] = token
  const special = new Set(tokenizer.added_tokens?.filter((t) => t.special).map((t) => t.id))
  const metadata: Record<string, Value> = {
    'general.architecture': 'llama',
    'general.name': 'token-expressway',
    'general.file_type': 0,
    'llama.block_count': c.layers,
    'llama.context_length': c.maxPositions,
    'llama.embedding_length': c.hidden,
    'llama.feed_forward_length': c.ffn,
    'llama.attention.head_count': c.heads,
    'llama.attention.head_count_kv': c.kvHeads,
    'llama.attention.key_length': c.headDim,
    'llama.attention.value_length': c.headDim,
    'llama.attention.layer_norm_rms_epsilon': { float: c.rmsNormEps },
    'llama.rope.dimension_count': c.headDim,
    'llama.rope.freq_base': { float: c.ropeTheta },
    'llama.vocab_size': c.vocabSize,
    'tokenizer.ggml.model': 'gpt2',
    'tokenizer.ggml.pre': 'gpt-2',
    'tokenizer.ggml.tokens': { strings: tokens },
    'tokenizer.ggml.token_type': { ints: tokens.map((_, id) => (special.has(id) ? 3 : 1)) },
    'tokenizer.ggml.merges': { strings: tokenizer.model.merges.map((m) => (typeof m === 'string' ? m : m.join(' '))) },
    'tokenizer.ggml.bos_token_id': c.eos[0] ?? 0,
    'tokenizer.ggml.eos_token_id': c.eos[0] ?? 0,
  }
  const tensors: [name: string, cols: number, values: Float32Array][] = [['token_embd.weight', c.hidden, w.embed]]
  for (const [l, layer] of w.layers.entries()) {
    tensors.push(
      [`blk.${l}.attn_norm.weight`, c.hidden, layer.attentionNorm],
      [`blk.${l}.attn_q.weight`, c.hidden, paired(layer.q, c.headDim, c.hidden)],
      [`blk.${l}.attn_k.weight`, c.hidden, paired(layer.k, c.headDim, c.hidden)],
      [`blk.${l}.attn_v.weight`, c.hidden, layer.v],
      [`blk.${l}.attn_output.weight`, c.heads * c.headDim, layer.o],
      [`blk.${l}.ffn_norm.weight`, c.hidden, layer.ffnNorm],
      [`blk.${l}.ffn_gate.weight`, c.hidden, layer.gate],
      [`blk.${l}.ffn_up.weight`, c.hidden, layer.up],
      [`blk.${l}.ffn_down.weight`, c.ffn, layer.down])
  }
  tensors.push(['output_norm.weight', c.hidden, w.finalNorm])
  if (!c.tied) tensors.push(['output.weight', c.hidden, w.unembed])

  const out = new Writer()
  out.bytes(new TextEncoder().encode('GGUF'))
  out.u32(3)
  out.u64(tensors.length)
  out.u64(Object.keys(metadata).length)
  for (const [key, value] of Object.entries(metadata)) {
    out.string(key)
    out.value(value)
  }
  let offset = 0
  for (const [name, cols, values] of tensors) {
    const dims = values.length === cols ? [cols] : [cols, values.length / cols]
    out.string(name)
    out.u32(dims.length)
    for (const d of dims) out.u64(d)
    out.u32(0) // f32
    out.u64(offset)
    offset += Math.ceil(values.byteLength / ALIGNMENT) * ALIGNMENT
  }
  for (const [, , values] of tensors) {
    out.align(ALIGNMENT)
    out.bytes(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
  }
  return out.finish()
}

/** llama.cpp turns neighbours, Hugging Face's layout elements half a head apart: rows of each head are dealt out in turn. */
function paired(matrix: Float32Array, headDim: number, cols: number): Float32Array {
  const out = new Float32Array(matrix.length)
  for (let r = 0; r < matrix.length / cols; r++) {
    const i = r % headDim
    const from = r - i + (i % 2) * (headDim / 2) + (i >> 1)
    out.set(matrix.subarray(from * cols, (from + 1) * cols), r * cols)
  }
  return out
}

/** Little-endian bytes, one behind the other. */
class Writer {
  private readonly parts: Uint8Array[] = []
  private length = 0

  bytes(part: Uint8Array): void {
    this.parts.push(part)
    this.length += part.length
  }

  u32(value: number): void {
    this.bytes(new Uint8Array(Uint32Array.of(value).buffer))
  }

  u64(value: number): void {
    this.bytes(new Uint8Array(BigUint64Array.of(BigInt(value)).buffer))
  }

  string(text: string): void {
    const bytes = new TextEncoder().encode(text)
    this.u64(bytes.length)
    this.bytes(bytes)
  }

  value(value: Value): void {
    if (typeof value === 'string') {
      this.u32(STRING!)
      this.string(value)
    } else if (typeof value === 'number') {
      this.u32(U32!)
      this.u32(value)
    } else if ('float' in value) {
      this.u32(F32!)
      this.bytes(new Uint8Array(Float32Array.of(value.float).buffer))
    } else if ('strings' in value) {
      this.u32(ARRAY!)
      this.u32(STRING!)
      this.u64(value.strings.length)
      for (const text of value.strings) this.string(text)
    } else {
      this.u32(ARRAY!)
      this.u32(I32!)
      this.u64(value.ints.length)
      this.bytes(new Uint8Array(Int32Array.from(value.ints).buffer))
    }
  }

  align(to: number): void {
    this.bytes(new Uint8Array((to - (this.length % to)) % to))
  }

  finish(): Uint8Array {
    const out = new Uint8Array(this.length)
    let at = 0
    for (const part of this.parts) {
      out.set(part, at)
      at += part.length
    }
    return out
  }
}
