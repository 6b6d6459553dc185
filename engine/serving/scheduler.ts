import { BLOCK_SIZE } from '../runner/runner'
import { BlockPool } from './blocks'
import type { PrefixCache } from './prefix-cache'

export interface SchedulerLimits {
  /** Sequences in one step. */
  maxSequences: number
  /** Tokens in one step, prefill and decode together; longer prompts are computed in chunks. */
  maxBatchedTokens: number
  /** KV blocks in the pool. */
  blocks: number
}

/** How steps are put together; the defaults are vLLM v1's, and the live engine's. */
export interface SchedulerPolicy {
  /**
   * continuous: running requests and admissions share every step. prefill-first: while anybody can be
   * admitted, steps hold prompts only and the decodes wait (vLLM v0). static: a batch is put together
   * when the last one is over, and nobody joins it.
   */
  batching: 'continuous' | 'prefill-first' | 'static'
  /** Prompts may be cut to fill a step's budget; else a prompt is computed whole, alone if it is longer than the budget. */
  chunkedPrefill: boolean
  /** What a preempted request loses: all it computed, or only its place (its blocks wait in host memory). */
  preemption: 'recompute' | 'swap'
  /** paged: blocks as positions are reached. reserved: at once for all a request may come to, as before PagedAttention. */
  allocation: 'paged' | 'reserved'
  /** Tokens per KV block. */
  blockSize: number
  /** Sequences get the ids of their blocks; simulated ones need the number only. */
  blockIds: boolean
  /** Prompts that were computed before need not be computed again. */
  cache?: PrefixCache
}

const VLLM_V1: SchedulerPolicy = {
  batching: 'continuous', chunkedPrefill: true, preemption: 'recompute', allocation: 'paged', blockSize: BLOCK_SIZE, blockIds: true,
}

/** Shared by all sequences that hold nothing. */
const NO_BLOCKS: number[] = []

/**
 * A request as the scheduler sees it: counts, no token ids and no output length. It decides by what is
 * known, never by how long an answer will become.
 */
export class Sequence {
  /** Tokens whose keys and values are in the cache. */
  computed = 0
  /** Tokens there are: the prompt's and those sampled so far. */
  known: number
  /** Tokens of this step, for the running ones that are part of it. */
  granted = 0
  /** Drafted tokens that it would like verified beside its next one; drafts take what is free and nobody gives way to them. */
  drafts = 0
  /** KV blocks held. */
  blocks = 0
  /** Its keys and values lie in host memory and have to be brought back. */
  swapped = false
  /** Ids of the prompt's tokens, where the cache is to look into blocks. */
  tokens?: ArrayLike<number>
  /** Ids of the blocks held, where the scheduler gives any. */
  blockTable: number[] = NO_BLOCKS

  constructor(
    readonly id: number,
    readonly promptTokens: number,
    /** Output tokens the client asked for at most. */
    readonly maxTokens: number,
    /** Smaller goes first; equals go by arrival. */
    readonly priority = 0,
    /** One id per block of the prompt; equal leading ids mean equal text. */
    readonly prefix?: readonly number[],
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
  /** Drafted tokens that there is room for beside those. */
  drafts: number
}

export interface Batch {
  grants: Grant[]
  /** Beginnings of cached blocks that are copied into blocks of their finders first: so many tokens, from block to block. */
  copies: { from: number; to: number; tokens: number }[]
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
 *
 * Who is part of a step is always one stretch of `running`; `plan` marks it and builds no objects,
 * so that simulated time can ask a million times a second. `next` and `complete` are the same for the
 * live engine, which needs positions and block tables.
 */
export class Scheduler<S extends Sequence = Sequence> {
  readonly waiting: S[] = []
  readonly running: S[] = []
  readonly policy: SchedulerPolicy
  /** Blocks moved between device and host memory by the plan, both ways. */
  swappedBlocks = 0
  /** The plan took somebody's place away: the next one may admit whom this one could not. */
  preempted = false
  /** The planned step in sum: decoding sequences and Σ of their contexts, prefill tokens and twice Σ chunk × context. */
  decodes = 0
  context = 0
  prefill = 0
  prefillContext2 = 0
  /** Somebody decodes who has more to catch up with than one token. */
  chasing = false
  /** Those of `running` from here on were admitted by the plan. */
  admitted = 0
  /** Where the planned step's part of `running` begins. */
  first = 0
  private readonly copies: Batch['copies'] = []
  private readonly pool?: BlockPool
  private free: number

  constructor(
    readonly limits: SchedulerLimits,
    private readonly onPreempt: (sequence: S) => void = () => {},
    policy: Partial<SchedulerPolicy> = {},
  ) {
    this.policy = { ...VLLM_V1, ...policy }
    this.free = limits.blocks
    if (this.policy.blockIds) this.pool = this.policy.cache?.pool ?? new BlockPool(limits.blocks)
    // A cache that outlived its last scheduler holds some already.
    if (this.policy.cache?.pool) this.free = this.policy.cache.pool.available
  }

  get idle(): boolean {
    return this.waiting.length === 0 && this.running.length === 0
  }

  get queueLength(): number {
    return this.waiting.length
  }

  /** Blocks in use, cached prefixes that nobody uses now not counted. */
  get blocksUsed(): number {
    return this.limits.blocks - this.available
  }

  /** Blocks that can be had: free ones and cached ones that nobody uses now. */
  private get available(): number {
    return this.policy.cache ? this.free + this.policy.cache.evictable : this.free
  }

  /** Why this request can never be served, or undefined when it can. */
  refuses(promptTokens: number, maxTokens: number): string | undefined {
    if (promptTokens < 1) return 'the prompt is empty'
    const blocks = this.blocksFor(promptTokens + maxTokens)
    if (blocks > this.limits.blocks) return `it needs ${blocks} KV blocks of ${this.policy.blockSize} tokens, the pool has ${this.limits.blocks}`
    return undefined
  }

  /** Puts a request at the end of the line. Throws RangeError for one that `refuses` names a reason for. */
  add(this: Scheduler<Sequence>, id: number, promptTokens: number, maxTokens: number): Sequence {
    const sequence = new Sequence(id, promptTokens, maxTokens)
    this.enqueue(sequence)
    return sequence
  }

  /** Puts a request behind all of its priority. What it has computed elsewhere (`computed`) it keeps. Throws as `add`. */
  enqueue(s: S): void {
    const reason = this.refuses(s.promptTokens, s.maxTokens)
    if (reason) throw new RangeError(`request ${s.id} cannot be served: ${reason}`)
    let at = this.waiting.length
    while (at > 0 && this.waiting[at - 1]!.priority > s.priority) at--
    if (at === this.waiting.length) this.waiting.push(s)
    else this.waiting.splice(at, 0, s)
  }

  /**
   * Picks the next step, or null when there is nothing to do. `chain`: how many decodes in a row the
   * caller would take; they are granted while nobody waits.
   */
  next(chain = 1): Batch | null {
    const granted = this.plan()
    if (granted === 0) return null
    const grants = this.running.slice(this.first, this.first + granted).map(grant)
    this.grantDrafts(grants)
    return { grants, steps: this.chainLength(grants, chain), copies: this.copies.splice(0) }
  }

  /** What is left of the budget and of the pool goes to drafts, in order of admission. */
  private grantDrafts(grants: Grant[]): void {
    let budget = this.limits.maxBatchedTokens - grants.reduce((n, g) => n + g.tokens, 0)
    for (const g of grants) {
      const { sequence: s, start, tokens } = g
      if (s.drafts === 0 || !g.sample || tokens !== 1) continue
      const positions = (s.blocks + this.available) * this.policy.blockSize
      g.drafts = Math.max(0, Math.min(s.drafts, budget, positions - start - tokens))
      budget -= g.drafts
      const need = this.blocksFor(start + tokens + g.drafts) - s.blocks
      if (need > 0) this.take(s as S, need)
    }
  }

  /** Decides the next step: so many of `running`, from `first` on, are part of it, with `granted` tokens each. */
  plan(): number {
    this.swappedBlocks = 0
    this.preempted = false
    this.first = 0
    this.decodes = this.context = this.prefill = this.prefillContext2 = 0
    this.chasing = false
    this.admitted = this.running.length
    switch (this.policy.batching) {
      case 'continuous': return this.admit(this.continueRunning())
      case 'prefill-first': return this.promptsFirst()
      case 'static': {
        if (this.running.length === 0) this.formBatch()
        return this.continueRunning().granted
      }
    }
  }

  /**
   * After a plan whose grants are all decodes: how many steps like it, at most `most`, can follow one
   * another before blocks run out. Whoever waits stays blocked meanwhile: places and blocks only get scarcer.
   */
  repeatable(most: number): number {
    if (most === 1 || this.policy.allocation === 'reserved') return most
    const available = this.available
    // In the worst case all of them cross into a new block at once.
    if (this.running.length * (1 + Math.floor((most - 1) / this.policy.blockSize)) <= available) return most
    let low = 1
    let high = most
    while (low < high) {
      const k = Math.ceil((low + high) / 2)
      if (this.extraBlocks(k) <= available) low = k
      else high = k - 1
    }
    return low
  }

  /** Blocks in use once every running request has decoded so many tokens (as `repeatable` allows). */
  blocksUsedAfter(steps: number): number {
    return this.blocksUsed + (steps > 1 && this.policy.allocation === 'paged' ? this.extraBlocks(steps) : 0)
  }

  /** Books one request's part of a planned step, or of `steps` decodes in a row (at most `repeatable`). True when it was sampled. */
  book(s: S, steps: number): boolean {
    const sampled = s.computed + s.granted === s.known
    s.computed += s.granted + steps - 1
    if (sampled) s.known += steps
    if (steps > 1 && s.computed > s.blocks * this.policy.blockSize) this.grow(s, s.computed)
    if (this.policy.cache) this.remember(s)
    return sampled
  }

  /** Books a step: what was computed is cached, what was sampled is known, who is done leaves. */
  complete(batch: Batch, outcomes: readonly Outcome[]): void {
    for (const [i, { sequence, tokens }] of batch.grants.entries()) {
      const { sampled, finished } = outcomes[i]!
      sequence.computed += tokens + Math.max(0, sampled - 1)
      sequence.known += sampled
      if (this.policy.cache) this.remember(sequence as S)
      if (finished) this.leave(sequence as S)
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

  /** A running request is over: its place and its blocks are free. */
  leave(s: S): void {
    this.leaveFrom(this.running.indexOf(s))
  }

  /** The same, where its place is known. */
  leaveFrom(at: number): void {
    const { running } = this
    const s = running[at]!
    for (let i = at + 1; i < running.length; i++) running[i - 1] = running[i]!
    running.pop()
    this.freeBlocks(s)
  }

  /** Running requests catch up, in order of admission, as far as the budget goes. */
  private continueRunning(): { granted: number; budget: number } {
    const { chunkedPrefill, blockSize } = this.policy
    let budget = this.limits.maxBatchedTokens
    let granted = 0
    for (; granted < this.running.length && budget > 0; granted++) {
      const s = this.running[granted]!
      const { computed } = s
      const behind = s.known - computed
      if (!chunkedPrefill && behind > budget && granted > 0) break
      const tokens = chunkedPrefill && behind > budget ? budget : behind
      if (computed + tokens > s.blocks * blockSize && !this.makeRoom(s, computed + tokens)) break // s itself was the tail and gave way
      this.grant(s, tokens)
      budget -= tokens
    }
    this.left.granted = granted
    this.left.budget = budget
    return this.left
  }
  private readonly left = { granted: 0, budget: 0 }

  /** The queue's head joins, as long as budget, places and blocks last. Returns how many are part of the step. */
  private admit({ granted, budget }: { granted: number; budget: number }): number {
    const { chunkedPrefill, cache } = this.policy
    // A preemption means the blocks are gone: admitting now would only preempt again.
    while (budget > 0 && !this.preempted && this.running.length < this.limits.maxSequences && this.waiting.length > 0) {
      const s = this.waiting[0]! // the head waits if it does not fit: overtaking would starve long requests
      const found = cache !== undefined && s.prefix !== undefined && s.computed === 0
      if (found) {
        this.free += cache.expire()
        cache.find(s)
      }
      const computed = found ? cache.foundTokens : s.computed
      const behind = s.known - computed
      if (!chunkedPrefill && behind > budget && granted > 0) break
      const tokens = chunkedPrefill ? Math.min(behind, budget) : behind
      const need = this.reservation(s, computed + tokens) - (found ? cache.foundBlocks : 0)
      if (need > this.available - (found ? cache.foundUnused : 0)) break
      const copied = found ? cache.copied : undefined
      if (found) cache.take(s)
      this.waiting.shift()
      this.running.push(s)
      this.grow(s, s.computed + tokens)
      // Copied before the step computes anything: a block that just lost its place in the cache is still whole.
      if (copied) this.copies.push({ from: copied.block, to: s.blockTable[cache!.foundBlocks]!, tokens: copied.tokens })
      if (s.swapped) {
        this.swappedBlocks += this.blocksFor(s.computed)
        s.swapped = false
      }
      this.grant(s, tokens)
      granted++
      budget -= tokens
    }
    return granted
  }

  /** One token after the prompt is a decode, anything else is prefill. */
  private grant(s: S, tokens: number): void {
    const { computed } = s
    s.granted = tokens
    if (tokens === 1 && computed >= s.promptTokens) {
      this.decodes++
      this.context += computed
      if (s.known - computed > 1) this.chasing = true
    } else {
      this.prefill += tokens
      this.prefillContext2 += tokens * (2 * computed + tokens)
    }
  }

  /** Prompts while there are any to admit, else everybody decodes. */
  private promptsFirst(): number {
    const last = this.running.length - 1
    if (last >= 0 && this.running[last]!.known - this.running[last]!.computed > 1) {
      // A prompt that was cut goes on before anything else; only the one admitted last can have been cut.
      const s = this.running[last]!
      const tokens = Math.min(s.known - s.computed, this.limits.maxBatchedTokens)
      this.makeRoom(s, s.computed + tokens)
      if (!this.preempted) {
        this.grant(s, tokens)
        this.first = last
        return 1
      }
    }
    this.left.granted = 0
    this.left.budget = this.limits.maxBatchedTokens
    const admitted = this.admit(this.left)
    this.first = admitted > 0 ? last + 1 : 0
    return admitted > 0 ? admitted : this.continueRunning().granted
  }

  /** Static batching: as many as there are places and blocks for, until all of them are done. */
  private formBatch(): void {
    while (this.waiting.length > 0 && this.running.length < this.limits.maxSequences) {
      const s = this.waiting[0]!
      const blocks = this.blocksFor(s.promptTokens + s.maxTokens)
      if (blocks > this.available) break
      this.waiting.shift()
      this.running.push(s)
      this.grow(s, s.promptTokens + s.maxTokens)
    }
  }

  /** Gives s blocks for `length` positions, at the cost of those admitted after it. False when s itself had to go. */
  private makeRoom(s: S, length: number): boolean {
    while (this.blocksFor(length) - s.blocks > this.available) {
      const tail = this.running[this.running.length - 1]!
      this.preempt(tail)
      if (tail === s) return false
    }
    this.grow(s, length)
    return true
  }

  private preempt(s: S): void {
    this.running.pop()
    this.freeBlocks(s)
    if (this.policy.preemption === 'swap' && s.computed > 0) {
      this.swappedBlocks += this.blocksFor(s.computed)
      s.swapped = true
    } else s.computed = 0
    let at = 0
    while (at < this.waiting.length && this.waiting[at]!.priority < s.priority) at++
    this.waiting.splice(at, 0, s)
    this.preempted = true
    this.onPreempt(s)
  }

  /** Blocks a newcomer must find: for the positions it is granted, or for all it may come to. */
  private reservation(s: S, length: number): number {
    return this.blocksFor(this.policy.allocation === 'reserved' ? s.promptTokens + s.maxTokens : length)
  }

  private grow(s: S, length: number): void {
    const need = this.reservation(s, length) - s.blocks
    if (need > 0) this.take(s, need)
  }

  /** So many more blocks for s; the caller has seen to it that they are there. */
  private take(s: S, need: number): void {
    if (need > this.free) this.free += this.policy.cache!.evict(need - this.free)
    this.free -= need
    s.blocks += need
    if (!this.pool) return
    if (s.blockTable === NO_BLOCKS) s.blockTable = []
    for (let i = 0; i < need; i++) s.blockTable.push(this.pool.allocate()!)
  }

  private extraBlocks(steps: number): number {
    let sum = 0
    for (const s of this.running) sum += Math.max(0, this.blocksFor(s.computed + steps) - s.blocks)
    return sum
  }

  /** Whole blocks of the prompt that are computed become shareable: the cache holds them from now on. */
  private remember(s: S): void {
    if (s.prefix) this.free += this.policy.cache!.insert(s)
  }

  private freeBlocks(s: S): void {
    if (this.pool) for (const b of s.blockTable) this.pool.release(b)
    s.blockTable = NO_BLOCKS
    this.free += this.policy.cache ? s.blocks - this.policy.cache.release(s) : s.blocks
    s.blocks = 0
  }

  /** Decodes in a row: as many as all can use and blocks are there for; one while anybody waits. */
  private chainLength(grants: Grant[], chain: number): number {
    if (chain === 1 || this.waiting.length > 0 || grants.length < this.running.length) return 1
    let steps = chain
    for (const s of this.running) {
      if (s.known - s.computed !== 1) return 1
      steps = Math.min(steps, s.maxTokens - s.outputTokens)
    }
    steps = this.repeatable(steps)
    for (const s of this.running) this.grow(s, s.computed + steps)
    return steps
  }

  private blocksFor(positions: number): number {
    return Math.ceil(positions / this.policy.blockSize)
  }
}

function grant(sequence: Sequence): Grant {
  const { computed, granted } = sequence
  return { sequence, start: computed, tokens: granted, sample: computed + granted === sequence.known, drafts: 0 }
}
