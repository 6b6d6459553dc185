import { pcg } from '$engine/model/random'
import type { ModelConfig } from '$engine/model/config'
import { BLOCK_SIZE, checkBatch, type Runner, type StepBatch, type StepResult } from '$engine/runner/runner'
import { sampleRow } from '$engine/runner/sampling'

export interface ToyOptions {
  vocabSize?: number
  blocks?: number
  sequences?: number
  tokens?: number
  chain?: number
  eos?: number[]
  maxPositions?: number
  /** Which machine: two of one seed say the same. */
  seed?: number
  /** Share of another machine's opinion in what it says, 0 … 1. */
  noise?: number
  /** How many tokens back it looks (default: all). */
  order?: number
}

/**
 * A language model by hash over the tokens that it finds in its cache. It has no weights and no arithmetic
 * worth the name, but the cache is a runner's: slots by block table, trees, copies. It remembers which token and
 * position it wrote to every slot and throws when it finds another one there than the text has.
 */
export function toyRunner({ vocabSize = 16, blocks = 64, sequences = 16, tokens = 64, chain = 8, eos = [], maxPositions = 512, seed = 1, noise = 0, order = Infinity }: ToyOptions = {}): Runner & { runs: StepBatch[] } {
  const config: ModelConfig = { layers: 1, hidden: 8, heads: 1, kvHeads: 1, headDim: 8, ffn: 8, vocabSize, rmsNormEps: 1e-5, ropeTheta: 1e4, maxPositions, tied: true, eos }
  const limits = { blocks, sequences, tokens, chain }
  const slots = new Array<{ token: number; position: number } | undefined>(blocks * BLOCK_SIZE)
  const last = new Map<number, number>()
  const runs: StepBatch[] = []
  const said = new Map<number, Float32Array>()
  return {
    runs, config, limits,
    device: { name: 'toy', runner: 'reference', model: 'toy' },
    run(batch) {
      checkBatch(batch, config, limits)
      runs.push(batch)
      if (runs.length > 100) runs.shift()
      for (const { from, to } of batch.copies ?? []) slots[to] = slots[from] && { ...slots[from] }
      return step(batch)
    },
    release: (request) => void last.delete(request),
    dispose() {},
  }

  function step(batch: StepBatch): StepResult {
    const { chunks, steps = 1 } = batch
    const out = new Int32Array(steps * chunks.length).fill(-1)
    const logits: Float32Array[] = []
    const rowTokens: number[] = []
    for (let s = 0; s < steps; s++) for (const [i, c] of chunks.entries()) {
      const ids = s > 0 || c.tokens[0] === -1 ? Int32Array.of(last.get(c.request)!) : c.tokens
      const start = c.start + s
      const at = (position: number) => c.blockTable[Math.floor(position / BLOCK_SIZE)]! * BLOCK_SIZE + (position % BLOCK_SIZE)
      const paths: number[][] = []
      for (const [t, token] of ids.entries()) {
        const parent = c.parents ? c.parents[t]! : t - 1
        paths.push([...(parent < 0 ? [] : paths[parent]!), token])
        slots[at(start + t)] = { token, position: start + paths[t]!.length - 1 }
      }
      const before: number[] = []
      for (let p = 0; p < start; p++) {
        const found = slots[at(p)]
        if (found?.position !== p) throw new Error(`request ${c.request}: slot of position ${p} holds position ${found?.position}`)
        before.push(found.token)
      }
      for (const [t, path] of paths.entries()) {
        const row = says([...before, ...path])
        const position = start + path.length
        const isLast = t === ids.length - 1
        if (c.sampleRows) rowTokens.push(sampleRow(row, position, c.sampling))
        if (c.sample && isLast) {
          const id = sampleRow(row, position, c.sampling)
          last.set(c.request, id)
          out[s * chunks.length + i] = id
        }
        if (batch.wantLogits && (batch.allRows || c.sampleRows || (c.sample && isLast))) logits.push(row)
      }
    }
    const all = batch.wantLogits ? new Float32Array(logits.length * vocabSize) : undefined
    for (const [i, row] of logits.entries()) all!.set(row, i * vocabSize)
    return { tokens: out, logits: all, rowTokens: rowTokens.length ? Int32Array.from(rowTokens) : undefined }
  }

  /** Logits after a text. */
  function says(text: readonly number[]): Float32Array {
    let hash = 7
    for (const token of order === Infinity ? text : text.slice(-order)) hash = pcg((hash + token + 1) >>> 0)
    const opinion = (who: number, x: number) => pcg((pcg((hash ^ pcg(who)) >>> 0) + x) >>> 0) / 2 ** 32
    let row = said.get(hash)
    if (!row) said.set(hash, (row = Float32Array.from({ length: vocabSize }, (_, x) => 5 * ((1 - noise) * opinion(seed, x) + noise * opinion(seed + 1000, x)))))
    return row
  }
}
