import type { ModelConfig } from '../../model/config'
import type { LayerWeights, Weights } from '../../model/weights'
import { BLOCK_SIZE } from '../runner'
import { mixture, type Router } from './experts'
import type { PagedKv } from './kv'
import { add, addBias, matmul, rmsNorm, rope, softmaxInPlace, swiglu } from './math'

/** One sequence's part of a step. */
export interface Pass {
  tokens: Int32Array
  /** Position of the first row; positions before it are in the cache. */
  start: number
  /** Physical block of each 16 slots. */
  table: Int32Array
  /** Row t's parent row, −1 for none: a tree. Absent: a chain. */
  parents?: Int32Array
  /** For mixtures, which cannot do without: asked for how many experts, told where each token goes. */
  router?: Router
}

/**
 * One pass over a chunk of one sequence: Llama 2 (Touvron et al. 2023, §2.2) with grouped-query
 * attention (Ainslie et al. 2023), Qwen2's biases and Mixtral's experts where the model has them. T rows; row t's key and
 * value lie in slot start + t. Returns the final norm's output (T, d). The chunk's keys and values are left in the cache.
 */
export function forward(w: Weights, c: ModelConfig, kv: PagedKv, pass: Pass): Float32Array {
  const { tokens, table, start } = pass
  const lineage = lineages(pass)
  const positions = lineage.map((rows) => start + rows.length - 1)
  const slots = Int32Array.from(tokens, (_, t) => slotOf(table, start + t))
  const visible = lineage.map((rows) => [...Array.from({ length: start }, (_, p) => slotOf(table, p)), ...rows.map((r) => slots[r]!)])

  const x = embed(w, c, tokens) // (T, d)
  for (const [l, layer] of w.layers.entries()) {
    const h = rmsNorm(x, layer.attentionNorm, c.rmsNormEps) // (T, d)
    const q = addBias(matmul(h, layer.q, c.hidden), layer.qBias) // (T, d) @ (d, H·hd) -> (T, H·hd)
    const k = addBias(matmul(h, layer.k, c.hidden), layer.kBias) // (T, d) @ (d, KV·hd) -> (T, KV·hd)
    const v = addBias(matmul(h, layer.v, c.hidden), layer.vBias) // (T, d) @ (d, KV·hd) -> (T, KV·hd)
    rope(q, c.headDim, c.heads, positions, c.ropeTheta)
    rope(k, c.headDim, c.kvHeads, positions, c.ropeTheta)
    kv.write(l, slots, k, v)
    const a = attend(q, kv, l, visible, c) // (T, H·hd)
    add(x, matmul(a, layer.o, c.heads * c.headDim)) // (T, H·hd) @ (H·hd, d) -> (T, d)

    const m = rmsNorm(x, layer.ffnNorm, c.rmsNormEps) // (T, d)
    add(x, c.experts ? mixture(m, layer, c, l, pass.router!) : feedForward(m, layer, c)) // (T, d)
  }
  return rmsNorm(x, w.finalNorm, c.rmsNormEps)
}

/** SwiGLU (Shazeer 2020): (T, d) -> (T, d) */
function feedForward(m: Float32Array, layer: LayerWeights, c: ModelConfig): Float32Array {
  const gate = matmul(m, layer.gate, c.hidden) // (T, d) @ (d, ffn) -> (T, ffn)
  const up = matmul(m, layer.up, c.hidden) // (T, d) @ (d, ffn) -> (T, ffn)
  return matmul(swiglu(gate, up), layer.down, c.ffn) // (T, ffn) @ (ffn, d) -> (T, d)
}

/** Of each row: the chunk's rows that it follows, oldest first, and itself. */
function lineages({ tokens, parents }: Pass): number[][] {
  const rows: number[][] = []
  for (let t = 0; t < tokens.length; t++) {
    const parent = parents ? parents[t]! : t - 1
    rows.push([...(parent < 0 ? [] : rows[parent]!), t])
  }
  return rows
}

/** Slot in the pool of a sequence's slot. */
function slotOf(table: Int32Array, index: number): number {
  return table[Math.floor(index / BLOCK_SIZE)]! * BLOCK_SIZE + (index % BLOCK_SIZE)
}

/** Rows of the embedding table: (T) -> (T, d). */
function embed(w: Weights, c: ModelConfig, tokens: Int32Array): Float32Array {
  const x = new Float32Array(tokens.length * c.hidden)
  for (const [t, id] of tokens.entries()) x.set(w.embed.subarray(id * c.hidden, (id + 1) * c.hidden), t * c.hidden)
  return x
}

/** Attention of each row to the slots that it sees: (T, H·hd) -> (T, H·hd). */
function attend(q: Float32Array, kv: PagedKv, layer: number, visible: readonly number[][], c: ModelConfig): Float32Array {
  const { heads, headDim } = c
  const group = heads / c.kvHeads // query heads that share a key/value head
  const width = heads * headDim
  const out = new Float32Array(q.length)
  for (const [t, slots] of visible.entries()) {
    for (let h = 0; h < heads; h++) {
      const query = q.subarray(t * width + h * headDim, t * width + (h + 1) * headDim)
      const kvHead = Math.floor(h / group)
      const scores = new Float32Array(slots.length)
      for (let p = 0; p < slots.length; p++) {
        const key = kv.key(layer, slots[p]!, kvHead)
        let dot = 0
        for (let i = 0; i < headDim; i++) dot += query[i]! * key[i]!
        scores[p] = dot / Math.sqrt(headDim)
      }
      softmaxInPlace(scores)
      const row = out.subarray(t * width + h * headDim, t * width + (h + 1) * headDim)
      for (let p = 0; p < slots.length; p++) {
        const value = kv.value(layer, slots[p]!, kvHead)
        for (let i = 0; i < headDim; i++) row[i]! += scores[p]! * value[i]!
      }
    }
  }
  return out
}
