import { BLOCK_SIZE, type Runner, type Sampling, type SequenceChunk, type StepBatch, type StepResult } from '../runner/runner'
import { BlockPool } from '../serving/blocks'
import { distribution, drawFrom } from './distribution'
import type { Ask } from './draft'

/** What a run of the draft model took, for whoever keeps the time. */
export type OnRun = (batch: StepBatch, result: StepResult) => void

export interface Drafted {
  tokens: number[]
  drawnFrom?: Float64Array[]
}

/** What a request holds of the draft model's cache. */
interface Held {
  /** Leading positions of the text whose keys and values are in the cache. */
  computed: number
  blockTable: number[]
}

/**
 * A small model with its own cache of keys and values. It runs ahead of the text; what was not accepted is
 * overwritten by the next run, what was accepted beyond its last drafted token it catches up with there.
 * `run` executes a batch and lets time be taken.
 */
export class DraftModel {
  private readonly held = new Map<number, Held>()
  private readonly pool: BlockPool

  constructor(readonly runner: Runner, private readonly run: (batch: StepBatch) => Promise<StepResult>) {
    this.pool = new BlockPool(runner.limits.blocks)
  }

  release(request: number): void {
    const held = this.held.get(request)
    if (!held) return
    this.held.delete(request)
    for (const b of held.blockTable) this.pool.release(b)
    this.runner.release?.(request)
  }

  /** Room for so many drafts after the text? Takes the blocks for them if so. */
  makeRoom({ request, text }: Ask, drafts: number): boolean {
    const positions = text.length + drafts
    if (positions > this.runner.config.maxPositions) return false
    let held = this.held.get(request)
    if (!held) this.held.set(request, (held = { computed: 0, blockTable: [] }))
    const need = Math.ceil(positions / BLOCK_SIZE) - held.blockTable.length
    if (need > this.pool.available) return false
    for (let i = 0; i < need; i++) held.blockTable.push(this.pool.allocate()!)
    return true
  }

  /**
   * Computes the text up to its end. Greedy requests get their next token sampled; with `wantLogits` the
   * result is the row of logits after each text.
   */
  async catchUp(asks: readonly Ask[], wantLogits: boolean): Promise<{ token: number; logits?: Float32Array }[]> {
    const { limits, config } = this.runner
    const out: { token: number; logits?: Float32Array }[] = []
    while (asks.some((_, i) => !out[i])) {
      const chunks: SequenceChunk[] = []
      const ending: number[] = []
      let budget = limits.tokens
      for (const [i, { request, text }] of asks.entries()) {
        if (out[i] || budget === 0 || chunks.length === limits.sequences) continue
        const held = this.held.get(request)!
        // A text that was shortened (it starts over) is computed anew from where it still agrees: at the latest its last token.
        const start = Math.min(held.computed, text.length - 1)
        const count = Math.min(text.length - start, budget)
        const ends = start + count === text.length
        if (ends) ending[i] = chunks.length
        chunks.push({ request, tokens: Int32Array.from(text.slice(start, start + count)), start, blockTable: Int32Array.from(held.blockTable), sample: ends })
        held.computed = start + count
        budget -= count
      }
      const rows: number[] = [] // row of logits of each chunk that ends
      let sampled = 0
      for (const [c, { sample }] of chunks.entries()) if (sample) rows[c] = sampled++
      const result = await this.run({ chunks, wantLogits: wantLogits && sampled > 0 })
      for (const [i, c] of ending.entries()) {
        if (c === undefined) continue
        const at = rows[c]! * config.vocabSize
        out[i] = { token: result.tokens[c]!, logits: result.logits?.slice(at, at + config.vocabSize) }
      }
    }
    return out
  }

  /** Up to `most` tokens in a row for each ask; greedy, or drawn where the request samples. */
  async chains(asks: readonly Ask[], most: readonly number[]): Promise<Drafted[]> {
    const out = asks.map(({ sampling }): Drafted => (draws(sampling) ? { tokens: [], drawnFrom: [] } : { tokens: [] }))
    const drawn = asks.some(({ sampling }) => draws(sampling))
    const first = await this.catchUp(asks, drawn)
    for (const [i, { token, logits }] of first.entries()) this.take(out[i]!, asks[i]!, token, logits)
    for (;;) {
      const open = asks.flatMap((_, i) => (out[i]!.tokens.length < most[i]! ? [i] : [])).slice(0, this.runner.limits.sequences)
      if (open.length === 0) break
      const left = Math.min(...open.map((i) => most[i]! - out[i]!.tokens.length))
      const steps = drawn ? 1 : Math.min(left, this.runner.limits.chain)
      const result = await this.run({ steps, wantLogits: drawn, chunks: open.map((i) => this.next(asks[i]!, out[i]!.tokens)) })
      const { vocabSize } = this.runner.config
      for (const [c, i] of open.entries()) {
        for (let s = 0; s < steps; s++) this.take(out[i]!, asks[i]!, result.tokens[s * open.length + c]!, result.logits?.subarray(c * vocabSize, (c + 1) * vocabSize))
      }
    }
    return out
  }

  /** So many of the drafted tokens were accepted; the last one drafted was never computed. */
  accept(request: number, text: number, drafted: number, accepted: number): void {
    const held = this.held.get(request)
    if (held) held.computed = text + Math.min(accepted, drafted - 1)
  }

  /** Logits after every node of a tree that grows from the text's end: (nodes, vocab). The text has been caught up with. */
  async tree(asks: readonly { ask: Ask; tokens: readonly number[]; parents: readonly number[] }[]): Promise<Float32Array> {
    const chunks = asks.map(({ ask: { request, text }, tokens, parents }): SequenceChunk => ({
      request, tokens: Int32Array.from(tokens), parents: Int32Array.from(parents), start: text.length, blockTable: Int32Array.from(this.held.get(request)!.blockTable), sample: false,
    }))
    return (await this.run({ chunks, wantLogits: true, allRows: true })).logits!
  }

  private next({ request, text }: Ask, drafted: readonly number[]): SequenceChunk {
    return {
      request, sample: true, tokens: Int32Array.of(drafted[drafted.length - 1]!), start: text.length + drafted.length - 1,
      blockTable: Int32Array.from(this.held.get(request)!.blockTable),
    }
  }

  private take(out: Drafted, ask: Ask, token: number, logits: Float32Array | undefined): void {
    if (!out.drawnFrom) {
      out.tokens.push(token)
      return
    }
    const q = distribution(logits!, ask.sampling!.temperature)
    out.drawnFrom.push(q)
    out.tokens.push(drawFrom(q, ask.draws()))
  }
}

export function draws(sampling: Sampling | undefined): boolean {
  return sampling !== undefined && sampling.temperature > 0
}
