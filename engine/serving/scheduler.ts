import { BLOCK_SIZE, type Sampling, type SequenceChunk, type StepBatch, type StepResult } from '../runner/runner'
import { BlockPool } from './blocks'

export interface SchedulerLimits {
  /** Sequences in one step. */
  maxSequences: number
  /** Tokens in one step, prefill and decode together; longer prompts are computed in chunks. */
  maxBatchedTokens: number
  /** KV blocks in the pool. */
  blocks: number
}

/** A request in line or running. The scheduler decides by what is known, never by how long it will become. */
export interface ServedRequest {
  readonly id: number
  /** Prompt ids, then the output's as it grows. */
  readonly tokens: number[]
  readonly promptTokens: number
  readonly maxTokens: number
  /** Ids that end the text; empty to go on to maxTokens. */
  readonly eos: readonly number[]
  readonly sampling?: Sampling
  /** Tokens whose keys and values are in the cache. */
  computed: number
  readonly blockTable: number[]
}

/** What came of a step for one request. */
export interface Progress {
  request: ServedRequest
  /** Tokens computed, and how many were in the cache before. */
  computed: number
  context: number
  /** Output tokens of each of the batch's steps, in order; empty while the prompt is being computed. */
  sampled: number[]
  finished: boolean
}

/**
 * First come, first served, with continuous batching (Orca, Yu et al. 2022) and chunked prefill.
 * There is no prefill phase and no decode phase: each running request wants to catch up from
 * `computed` to what is known (vLLM v1). Running requests come first, then the queue's head, until the
 * token budget, the places or the blocks run out; when a running request finds no block, the one
 * admitted last gives its blocks back and starts over (preemption by recompute).
 */
export class Scheduler {
  private readonly waiting: ServedRequest[] = []
  private readonly running: ServedRequest[] = []
  private readonly pool: BlockPool

  constructor(
    readonly limits: SchedulerLimits,
    private readonly onPreempt: (request: ServedRequest) => void = () => {},
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
    const blocks = Math.ceil((promptTokens + maxTokens) / BLOCK_SIZE)
    if (blocks > this.limits.blocks) return `it needs ${blocks} KV blocks of ${BLOCK_SIZE} tokens, the pool has ${this.limits.blocks}`
    return undefined
  }

  /** Puts a request at the end of the line. Throws RangeError for one that `refuses` names a reason for. */
  add(r: { id: number; prompt: ArrayLike<number>; maxTokens: number; eos: readonly number[]; sampling?: Sampling }): void {
    const reason = this.refuses(r.prompt.length, r.maxTokens)
    if (reason) throw new RangeError(`request ${r.id} cannot be served: ${reason}`)
    this.waiting.push({
      id: r.id, tokens: Array.from(r.prompt), promptTokens: r.prompt.length, maxTokens: r.maxTokens, eos: r.eos, sampling: r.sampling,
      computed: 0, blockTable: [],
    })
  }

  /**
   * Picks the next step, or null when there is nothing to do. `chain`: how many decodes in a row the
   * caller would take; they are granted while nobody waits.
   */
  next(chain = 1): StepBatch | null {
    const chunks: SequenceChunk[] = []
    let budget = this.limits.maxBatchedTokens

    for (let i = 0; i < this.running.length && budget > 0; i++) {
      const r = this.running[i]!
      const want = Math.min(r.tokens.length - r.computed, budget)
      if (!this.makeRoom(r, r.computed + want)) break // r itself was the tail and gave way
      chunks.push(chunk(r, want))
      budget -= want
    }
    // A preemption means the blocks are gone: admitting now would only preempt again.
    while (budget > 0 && !this.preempted && this.running.length < this.limits.maxSequences && this.waiting.length > 0) {
      const r = this.waiting[0]! // the head waits if it does not fit: overtaking would starve long requests
      const want = Math.min(r.tokens.length, budget)
      if (blocksFor(want) > this.pool.available) break
      this.waiting.shift()
      this.running.push(r)
      this.grow(r, want)
      chunks.push(chunk(r, want))
      budget -= want
    }
    this.preempted = false
    if (chunks.length === 0) return null
    return { chunks, steps: this.chainLength(chunks, chain) }
  }

  /** Books a step's result: what was computed is cached, what was sampled is known, who is done leaves. */
  complete(batch: StepBatch, result: StepResult): Progress[] {
    const steps = batch.steps ?? 1
    return batch.chunks.map((c, i) => {
      const r = this.running.find((x) => x.id === c.request)!
      const context = r.computed
      r.computed += c.tokens.length
      const sampled: number[] = []
      let finished = false
      for (let s = 0; c.sample && s < steps && !finished; s++) {
        const id = result.tokens[s * batch.chunks.length + i]!
        if (s > 0) r.computed++
        r.tokens.push(id)
        sampled.push(id)
        finished = r.eos.includes(id) || r.tokens.length - r.promptTokens >= r.maxTokens
      }
      if (finished) this.leave(r)
      return { request: r, computed: r.computed - context, context, sampled, finished }
    })
  }

  /** Takes a request out, wherever it is. True when it was there. */
  cancel(id: number): boolean {
    const queued = this.waiting.findIndex((r) => r.id === id)
    if (queued >= 0) {
      this.waiting.splice(queued, 1)
      return true
    }
    const running = this.running.find((r) => r.id === id)
    if (running) this.leave(running)
    return running !== undefined
  }

  private preempted = false

  /** Gives r blocks for `length` positions, at the cost of those admitted after it. False when r itself had to go. */
  private makeRoom(r: ServedRequest, length: number): boolean {
    while (blocksFor(length) - r.blockTable.length > this.pool.available) {
      const tail = this.running[this.running.length - 1]!
      this.preempt(tail)
      if (tail === r) return false
    }
    this.grow(r, length)
    return true
  }

  private preempt(r: ServedRequest): void {
    this.running.pop()
    this.freeBlocks(r)
    r.computed = 0
    this.waiting.unshift(r)
    this.preempted = true
    this.onPreempt(r)
  }

  private grow(r: ServedRequest, length: number): void {
    while (r.blockTable.length < blocksFor(length)) r.blockTable.push(this.pool.allocate()!)
  }

  private leave(r: ServedRequest): void {
    this.running.splice(this.running.indexOf(r), 1)
    this.freeBlocks(r)
  }

  private freeBlocks(r: ServedRequest): void {
    for (const b of r.blockTable) this.pool.release(b)
    r.blockTable.length = 0
  }

  /** Decodes in a row: as many as all can use and blocks are there for; one while anybody waits. */
  private chainLength(chunks: SequenceChunk[], chain: number): number {
    if (this.waiting.length > 0 || chunks.length < this.running.length) return 1
    let steps = chain
    for (const r of this.running) {
      if (r.tokens.length - r.computed !== 1) return 1
      steps = Math.min(steps, r.maxTokens - (r.tokens.length - r.promptTokens))
    }
    const extra = (s: number) => this.running.reduce((n, r) => n + blocksFor(r.computed + s) - r.blockTable.length, 0)
    while (steps > 1 && extra(steps) > this.pool.available) steps--
    if (steps > 1) {
      for (const [i, r] of this.running.entries()) {
        this.grow(r, r.computed + steps)
        chunks[i] = chunk(r, 1)
      }
    }
    return steps
  }
}

function blocksFor(positions: number): number {
  return Math.ceil(positions / BLOCK_SIZE)
}

function chunk(r: ServedRequest, count: number): SequenceChunk {
  return {
    request: r.id,
    tokens: Int32Array.from(r.tokens.slice(r.computed, r.computed + count)),
    start: r.computed,
    blockTable: Int32Array.from(r.blockTable),
    sample: r.computed + count === r.tokens.length,
    sampling: r.sampling,
  }
}
