import type { ModelConfig } from '../../model/config'
import type { Weights } from '../../model/weights'
import { add, matmul, rmsNorm, rope, softmaxInPlace, swiglu } from './math'
import type { PagedKv } from './kv'

/**
 * One pass over a chunk of one sequence: Llama 2 (Touvron et al. 2023, §2.2) with grouped-query
 * attention (Ainslie et al. 2023). T tokens at positions start … start + T − 1; returns the final
 * norm's output (T, d). The chunk's keys and values are left in the cache.
 */
export function forward(w: Weights, c: ModelConfig, kv: PagedKv, table: Int32Array, tokens: Int32Array, start: number): Float32Array {
  const x = embed(w, c, tokens) // (T, d)
  for (const [l, layer] of w.layers.entries()) {
    const h = rmsNorm(x, layer.attentionNorm, c.rmsNormEps) // (T, d)
    const q = matmul(h, layer.q, c.hidden) // (T, d) @ (d, H·hd) -> (T, H·hd)
    const k = matmul(h, layer.k, c.hidden) // (T, d) @ (d, KV·hd) -> (T, KV·hd)
    const v = matmul(h, layer.v, c.hidden) // (T, d) @ (d, KV·hd) -> (T, KV·hd)
    rope(q, c.headDim, c.heads, start, c.ropeTheta)
    rope(k, c.headDim, c.kvHeads, start, c.ropeTheta)
    kv.write(l, table, start, k, v)
    const a = attend(q, kv, l, table, c, start) // (T, H·hd)
    add(x, matmul(a, layer.o, c.heads * c.headDim)) // (T, H·hd) @ (H·hd, d) -> (T, d)

    const m = rmsNorm(x, layer.ffnNorm, c.rmsNormEps) // (T, d)
    const gate = matmul(m, layer.gate, c.hidden) // (T, d) @ (d, ffn) -> (T, ffn)
    const up = matmul(m, layer.up, c.hidden) // (T, d) @ (d, ffn) -> (T, ffn)
    add(x, matmul(swiglu(gate, up), layer.down, c.ffn)) // (T, ffn) @ (ffn, d) -> (T, d)
  }
  return rmsNorm(x, w.finalNorm, c.rmsNormEps)
}

/** Rows of the embedding table: (T) -> (T, d). */
function embed(w: Weights, c: ModelConfig, tokens: Int32Array): Float32Array {
  const x = new Float32Array(tokens.length * c.hidden)
  for (const [t, id] of tokens.entries()) x.set(w.embed.subarray(id * c.hidden, (id + 1) * c.hidden), t * c.hidden)
  return x
}

/** Causal attention of T new rows over everything in the sequence's cache: (T, H·hd) -> (T, H·hd). */
function attend(q: Float32Array, kv: PagedKv, layer: number, table: Int32Array, c: ModelConfig, start: number): Float32Array {
  const { heads, headDim } = c
  const group = heads / c.kvHeads // query heads that share a key/value head
  const width = heads * headDim
  const out = new Float32Array(q.length)
  for (let t = 0; t < q.length / width; t++) {
    const context = start + t + 1
    for (let h = 0; h < heads; h++) {
      const query = q.subarray(t * width + h * headDim, t * width + (h + 1) * headDim)
      const kvHead = Math.floor(h / group)
      const scores = new Float32Array(context)
      for (let p = 0; p < context; p++) {
        const key = kv.key(layer, table, p, kvHead)
        let dot = 0
        for (let i = 0; i < headDim; i++) dot += query[i]! * key[i]!
        scores[p] = dot / Math.sqrt(headDim)
      }
      softmaxInPlace(scores)
      const row = out.subarray(t * width + h * headDim, t * width + (h + 1) * headDim)
      for (let p = 0; p < context; p++) {
        const value = kv.value(layer, table, p, kvHead)
        for (let i = 0; i < headDim; i++) row[i]! += scores[p]! * value[i]!
      }
    }
  }
  return out
}
