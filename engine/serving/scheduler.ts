import { BLOCK_SIZE } from '../runner/runner'
import { BlockPool } from './blocks'

export interface SchedulerLimits {
  /** Sequences in one step. */
  maxSequences: number
  /** Tokens in one step, prefill and decode together; longer prompts are computed in chunks. */
  maxBatchedTokens: number
  /** KV blocks in the pool. */
  blocks: number
}

/**
 * A request as the scheduler sees it: counts, no token ids and no output length. It decides by what is
 * known, never by how long an answer will become.
 */
export class Sequence {
  /** Tokens whose keys and values are in the cache. */
  computed = 0
  /** Tokens there are: the prompt's and those sampled so far. */
  known: number
  readonly blockTable: number[] = []

  constructor(
    readonly id: number,
    readonly promptTokens: number,
    /** Output tokens the client asked for at most. */
    readonly maxTokens: number,
  ) {
    this.known = promptTokens
  }

  get outputTokens(): number {
    return this.known - this.promptTokens
  }
}

/** A sequence's part of a step: compute `tokens` tokens from position `start` on. */
export interface Grant {
  sequence: Sequence
  start: number
  tokens: number
  /** The grant reaches the end of what is known: its last row is sampled. */
  sample: boolean
}

export interface Batch {
  grants: Grant[]
  /** Decodes in a row; more than one only when every grant is a decode. */
  steps: number
}

/** What became of a grant: output tokens sampled (0 … steps) and whether the text is over. */
export interface Outcome {
  sampled: number
  finished: boolean
}

/**
 * First come, first served, with continuous batching (Orca, Yu et al. 2022) and chunked prefill.
 * There is no prefill phase and no decode phase: each running request wants to catch up from
 * `computed` to `known` tokens (vLLM v1). Running requests come first, then the queue's head, until the
 * token budget, the places or the blocks run out; when a running request finds no block, the one
 * admitted last gives its blocks back and starts over (preemption by recompute).
 */
export class Scheduler {
  private readonly waiting: Sequence[] = []
  private readonly running: Sequence[] = []
  private readonly pool: BlockPool
  private preempted = false

  constructor(
    readonly limits: SchedulerLimits,
    private readonly onPreempt: (sequence: Sequence) => void = () => {},
  ) {
    this.pool = new BlockPool(limits.blocks)
  }

  get idle(): boolean {
    return this.waiting.length === 0 && this.running.length === 0
  }

  get queueLength(): number {
    return this.waiting.length
  }

  get blocksUsed(): number {
    return this.pool.used
  }

  /** Why this request can never be served, or undefined when it can. */
  refuses(promptTokens: number, maxTokens: number): string | undefined {
    if (promptTokens < 1) return 'the prompt is empty'
    const blocks = blocksFor(promptTokens + maxTokens)
    if (blocks > this.limits.blocks) return `it needs ${blocks} KV blocks of ${BLOCK_SIZE} tokens, the pool has ${this.limits.blocks}`
    return undefined
  }

  /** Puts a request at the end of the line. Throws RangeError for one that `refuses` names a reason for. */
  add(id: number, promptTokens: number, maxTokens: number): Sequence {
    const reason = this.refuses(promptTokens, maxTokens)
    if (reason) throw new RangeError(`request ${id} cannot be served: ${reason}`)
    const sequence = new Sequence(id, promptTokens, maxTokens)
    this.waiting.push(sequence)
    return sequence
  }

  /**
   * Picks the next step, or null when there is nothing to do. `chain`: how many decodes in a row the
   * caller would take; they are granted while nobody waits.
   */
  next(chain = 1): Batch | null {
    const grants: Grant[] = []
    let budget = this.limits.maxBatchedTokens

    for (let i = 0; i < this.running.length && budget > 0; i++) {
      const s = this.running[i]!
      const tokens = Math.min(s.known - s.computed, budget)
      if (!this.makeRoom(s, s.computed + tokens)) break // s itself was the tail and gave way
      grants.push(grant(s, tokens))
      budget -= tokens
    }
    // A preemption means the blocks are gone: admitting now would only preempt again.
    while (budget > 0 && !this.preempted && this.running.length < this.limits.maxSequences && this.waiting.length > 0) {
      const s = this.waiting[0]! // the head waits if it does not fit: overtaking would starve long requests
      const tokens = Math.min(s.known, budget)
      if (blocksFor(tokens) > this.pool.available) break
      this.waiting.shift()
      this.running.push(s)
      this.grow(s, tokens)
      grants.push(grant(s, tokens))
      budget -= tokens
    }
    this.preempted = false
    return grants.length === 0 ? null : { grants, steps: this.chainLength(grants, chain) }
  }

  /** Books a step: what was computed is cached, what was sampled is known, who is done leaves. */
  complete(batch: Batch, outcomes: readonly Outcome[]): void {
    for (const [i, { sequence, tokens }] of batch.grants.entries()) {
      const { sampled, finished } = outcomes[i]!
      sequence.computed += tokens + Math.max(0, sampled - 1)
      sequence.known += sampled
      if (finished) this.leave(sequence)
    }
  }

  /** Takes a request out, wherever it is. True when it was there. */
  cancel(id: number): boolean {
    const queued = this.waiting.findIndex((s) => s.id === id)
    if (queued >= 0) {
      this.waiting.splice(queued, 1)
      return true
    }
    const running = this.running.find((s) => s.id === id)
    if (running) this.leave(running)
    return running !== undefined
  }

  /** Gives s blocks for `length` positions, at the cost of those admitted after it. False when s itself had to go. */
  private makeRoom(s: Sequence, length: number): boolean {
    while (blocksFor(length) - s.blockTable.length > this.pool.available) {
      const tail = this.running[this.running.length - 1]!
      this.preempt(tail)
      if (tail === s) return false
    }
    this.grow(s, length)
    return true
  }

  private preempt(s: Sequence): void {
    this.running.pop()
    this.freeBlocks(s)
    s.computed = 0
    this.waiting.unshift(s)
    this.preempted = true
    this.onPreempt(s)
  }

  private grow(s: Sequence, length: number): void {
    const blocks = blocksFor(length)
    while (s.blockTable.length < blocks) s.blockTable.push(this.pool.allocate()!)
  }

  private leave(s: Sequence): void {
    this.running.splice(this.running.indexOf(s), 1)
    this.freeBlocks(s)
  }

  private freeBlocks(s: Sequence): void {
    for (const b of s.blockTable) this.pool.release(b)
    s.blockTable.length = 0
  }

  /** Decodes in a row: as many as all can use and blocks are there for; one while anybody waits. */
  private chainLength(grants: Grant[], chain: number): number {
    if (chain === 1 || this.waiting.length > 0 || grants.length < this.running.length) return 1
    let steps = chain
    for (const s of this.running) {
      if (s.known - s.computed !== 1) return 1
      steps = Math.min(steps, s.maxTokens - s.outputTokens)
    }
    const extra = (n: number) => this.running.reduce((sum, s) => sum + blocksFor(s.computed + n) - s.blockTable.length, 0)
    while (steps > 1 && extra(steps) > this.pool.available) steps--
    for (const s of this.running) this.grow(s, s.computed + steps)
    return steps
  }
}

function blocksFor(positions: number): number {
  return Math.ceil(positions / BLOCK_SIZE)
}

function grant(sequence: Sequence, tokens: number): Grant {
  return { sequence, start: sequence.computed, tokens, sample: sequence.computed + tokens === sequence.known }
}
