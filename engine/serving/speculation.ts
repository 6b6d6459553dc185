import { pcg } from '../model/random'
import { BLOCK_SIZE, RunnerError, type Runner, type SequenceChunk, type StepBatch, type StepResult } from '../runner/runner'
import { uniform } from '../runner/sampling'
import { createSpeculator } from '../speculate'
import { depths, isChain, NOTHING, type Draft, type Speculator } from '../speculate/draft'
import type { SpeculateOptions } from '../speculate/options'
import { verifyGreedy, verifySampled, type Verdict } from '../speculate/verify'
import type { Event, Milliseconds, Step } from '../trace/trace'
import type { Grant, Sequence } from './scheduler'
import type { ServeRequest } from './serve'
import { stepsOf } from './step-report'

export interface SpeculationOptions extends SpeculateOptions {
  /** Runs the draft model; lookup needs none. Its cache is this serving loop's alone. */
  runner?: Runner
}

/** Live requests of the serving loop, with prompt and output so far. */
export type Texts = ReadonlyMap<number, ServeRequest & { tokens: number[] }>

/**
 * Drafting and verification within the serving loop: how many drafts a request wants, the drafts of a step,
 * what the target made of them, and the moves by which the accepted branch of a tree closes up in its cache.
 */
export class Speculation {
  /** Steps of the draft model and events since they were last taken. */
  private readonly steps: Step[] = []
  private readonly events: Event[] = []
  private readonly speculator: Speculator
  private readonly draws = new Map<number, () => number>()
  private readonly moves = new Map<number, { from: number; to: number }[]>()

  constructor(options: SpeculationOptions, private readonly texts: Texts, private readonly now: () => Milliseconds, private readonly blocks: () => number, private readonly maxPositions: number) {
    const { runner } = options
    this.speculator = createSpeculator(options, runner && { runner, run: (batch) => this.runDraft(runner, batch) })
  }

  /** Says how many drafts each running request would like verified in the coming step. */
  want(running: readonly Sequence[]): void {
    for (const s of running) {
      const decoding = s.computed >= s.promptTokens && s.known - s.computed === 1
      // The step adds one token by itself; slots of a tree lie beyond the text's own.
      s.drafts = decoding ? Math.max(0, Math.min(this.speculator.wants(s.id), s.maxTokens - s.outputTokens - 1, this.maxPositions - s.known)) : 0
    }
  }

  /** Drafts for the grants that have room for some, in the order of the grants. */
  async draft(grants: readonly Grant[]): Promise<Draft[]> {
    const asking = grants.flatMap((g, i) => (g.drafts > 0 ? [i] : []))
    const out = grants.map(() => NOTHING)
    if (asking.length === 0) return out
    const drafts = await this.speculator.draft(asking.map((i) => {
      const { sequence: { id }, drafts: most } = grants[i]!
      const { tokens, sampling } = this.texts.get(id)!
      return { request: id, text: tokens, most, sampling, draws: this.drawsOf(id, sampling?.seed ?? 0) }
    }))
    const t = this.now()
    for (const [k, i] of asking.entries()) {
      const draft = (out[i] = drafts[k]!)
      const request = grants[i]!.sequence.id
      const texts = this.texts.get(request)!.draftTexts?.(draft)
      const tree = !isChain(draft)
      for (const [n, token] of draft.tokens.entries()) {
        this.events.push({ t, request, kind: 'draft', token, text: texts?.[n], ...(tree ? { parent: draft.parents[n]! } : {}) })
      }
    }
    return out
  }

  /** The chunk with its drafts beside the token that it would compute anyway. */
  extend(chunk: SequenceChunk, draft: Draft): SequenceChunk {
    if (draft.tokens.length === 0) return chunk
    return {
      ...chunk,
      tokens: Int32Array.of(...chunk.tokens, ...draft.tokens),
      parents: isChain(draft) ? undefined : Int32Array.of(-1, ...draft.parents.map((p) => p + 1)),
      sampleRows: true,
    }
  }

  /** Moves that the accepted branches of the last step still need. */
  takeMoves(): { from: number; to: number }[] {
    const all = [...this.moves.values()].flat()
    this.moves.clear()
    return all
  }

  /** What the target makes of a grant's drafts; `row` is the first row of its chunk among all sampled rows. */
  verify(grant: Grant, draft: Draft, result: StepResult, rows: Rows, vocabSize: number): Verdict {
    const { sequence: { id, blockTable }, start } = grant
    const { sampling } = this.texts.get(id)!
    const verdict = sampling && sampling.temperature > 0
      ? verifySampled(draft, (row) => logitsRow(result, rows.logits + row, vocabSize), sampling.temperature, this.drawsOf(id, sampling.seed))
      : verifyGreedy(draft, saidAfter(result, rows.sampled, draft.tokens.length + 1))
    this.speculator.learn(id, Math.max(...depths(draft)), verdict.path.length)
    const moves = verdict.path.flatMap((node, i) => (node === i ? [] : [{ from: slot(blockTable, start + 1 + node), to: slot(blockTable, start + 1 + i) }]))
    if (moves.length) this.moves.set(id, moves)
    return verdict
  }

  /** The verification as an event; `used` of the accepted drafts are part of the text. */
  verified(request: number, draft: Draft, { path }: Verdict, used: number, t: Milliseconds): Event {
    return { t, request, kind: 'verify', count: used, ...(isChain(draft) ? {} : { path: path.slice(0, used) }) }
  }

  /** The request is over or starts over. */
  release(request: number, over: boolean): void {
    this.speculator.release(request)
    this.moves.delete(request)
    if (over) this.draws.delete(request)
  }

  /** What the draft model did since the last call. */
  take(): { steps: Step[]; events: Event[] } {
    return { steps: this.steps.splice(0), events: this.events.splice(0) }
  }

  private async runDraft(runner: Runner, batch: StepBatch): Promise<StepResult> {
    const start = this.now()
    const result = await runner.run(batch)
    this.steps.push(...stepsOf(runner, batch, result, start, this.now(), this.blocks(), 'draft'))
    return result
  }

  /** Random numbers of one request, a sequence of their own beside those of plain sampling. */
  private drawsOf(request: number, seed: number): () => number {
    let draw = this.draws.get(request)
    if (!draw) {
      let drawn = 0
      const own = pcg((seed ^ 0x5bd1e995) >>> 0)
      this.draws.set(request, (draw = () => uniform(own, drawn++)))
    }
    return draw
  }
}

/** Where a chunk's first row is among the rows that were sampled one by one, and among the rows of logits. */
export interface Rows {
  sampled: number
  logits: number
}

/** First rows of each chunk. */
export function rowsOf(chunks: readonly SequenceChunk[]): Rows[] {
  let sampled = 0
  let logits = 0
  return chunks.map(({ tokens, sample, sampleRows }) => {
    const first = { sampled, logits }
    if (sampleRows) sampled += tokens.length
    logits += sampleRows ? tokens.length : sample ? 1 : 0
    return first
  })
}

function saidAfter({ rowTokens }: StepResult, first: number, count: number): Int32Array {
  if (!rowTokens) throw new RunnerError('This runner does not sample row by row, which verifying drafts needs: decode plainly on it.', 'unsupported')
  return rowTokens.subarray(first, first + count)
}

function logitsRow({ logits }: StepResult, row: number, vocabSize: number): Float32Array {
  return logits!.subarray(row * vocabSize, (row + 1) * vocabSize)
}

function slot(blockTable: readonly number[], position: number): number {
  return blockTable[Math.floor(position / BLOCK_SIZE)]! * BLOCK_SIZE + (position % BLOCK_SIZE)
}
