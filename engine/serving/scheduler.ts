import { BLOCK_SIZE } from '../runner/runner'
import { Arena } from './arena'
import { BlockPool } from './blocks'
import { Deque, WaitingLine } from './line'
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
  /**
   * paged: blocks as positions are reached. reserved: at once for all a request may come to, as before
   * PagedAttention. contiguous: the same, in one piece.
   */
  allocation: 'paged' | 'reserved' | 'contiguous'
  /** Tokens per KV block. */
  blockSize: number
  /** Sequences get the ids of their blocks; simulated ones need the number only. */
  blockIds: boolean
  /** Prompts that were computed before need not be computed again. */
  cache?: PrefixCache
  /** Prompts that find too few blocks are computed all the same, most layers' keys and values going to host memory (LayerKV). */
  offload?: Offload
  /** Requests of that priority run only so many at once. */
  background?: { priority: number; most: number }
}

export interface Offload {
  layers: number
  /** Layers whose keys and values stay on the device. */
  keep: number
  /** KV blocks that host memory holds. */
  hostBlocks: number
}

/** Told of what becomes of requests inside the scheduler. */
export interface SchedulerListener<S> {
  /** Gets a place, and gives it back: to wait again, to be parked, or because it is over. */
  enters?(sequence: S): void
  exits?(sequence: S): void
  /** Decodes in step with all others from now on, and no longer does. */
  joins(sequence: S): void
  parts(sequence: S): void
  /** Its prompt is computed, and it waits in host memory for room to decode; and comes back. */
  parked(sequence: S): void
  broughtBack(sequence: S): void
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
  /** Most of its layers' keys and values are in host memory, or go there while its prompt is computed. */
  offloaded = false
  /** Blocks in host memory. */
  hosted = 0
  /** Where its piece of memory begins (contiguous). */
  address = -1
  /** Ids of the blocks held, where the scheduler gives any. */
  blockTable: number[] = NO_BLOCKS
  /** The scheduler's count of decoded steps when `computed` and `known` were true; −1 while they are. */
  since = -1
  /** How many were admitted before. */
  admission = 0
  /** Neighbours among those that decode in step. */
  before: this | undefined = undefined
  after: this | undefined = undefined

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

/** Block sizes up to this have their boundary crossings counted; for larger ones everybody is looked at. */
const COUNTED_BLOCK_SIZE = 1024

/**
 * First come, first served, with continuous batching (Orca, Yu et al. 2022) and chunked prefill.
 * There is no prefill phase and no decode phase: each running request wants to catch up from
 * `computed` to `known` tokens (vLLM v1). Running requests come first, then the queue's head, until the
 * token budget, the places or the blocks run out; when a running request finds no block, the one
 * admitted last gives its blocks back and starts over (preemption by recompute).
 *
 * Requests that have caught up decode in step, a token each in every step, and are not looked at: sums
 * over all of them are kept (how many, their contexts, how many come to a new block at which step), and
 * one request's counts are worked out when somebody asks. They are the first of `running`, in order of
 * admission; `catching` are the others, admitted later. So a step costs what changes in it, and simulated
 * time can ask a million times a second. `next` and `complete` are the same for the live engine, which
 * needs positions and block tables.
 */
export class Scheduler<S extends Sequence = Sequence> {
  readonly waiting = new WaitingLine<S>()
  /** Running requests that do not decode in step: with prompts to compute, or just admitted. */
  readonly catching: S[] = []
  /** Requests with a first token whose keys and values are in host memory, in order of coming there. */
  readonly parked = new Deque<S>()
  readonly policy: SchedulerPolicy
  /** Blocks moved between device and host memory by the plan, both ways. */
  swappedBlocks = 0
  /** The same for single layers of blocks: what offloading moves. */
  movedLayers = 0
  /** The plan took somebody's place away: the next one may admit whom this one could not. */
  preempted = false
  /** The plan could not admit the queue's head though there are blocks enough: they are not in one piece. */
  holes = false
  /** The planned step in sum: decoding sequences and Σ of their contexts, prefill tokens and twice Σ chunk × context. */
  decodes = 0
  context = 0
  prefill = 0
  prefillContext2 = 0
  /** Those that decode in step are part of the planned step. */
  steady = false
  /** Of `catching`, those from here to before `to` are part of the planned step. */
  from = 0
  to = 0
  /** Steps decoded so far. */
  ticks = 0
  /** How many decode in step, and Σ of their computed tokens. */
  inStep = 0
  inStepContext = 0
  private head?: S
  private tail?: S
  /** Of those in step: how many come to a new block when (ticks mod block size) is i. Absent where blocks are counted one by one. */
  private readonly crossings?: Int32Array
  private admissions = 0
  private background = 0
  private hostUsed = 0
  private readonly copies: Batch['copies'] = []
  private readonly pool?: BlockPool
  private readonly arena?: Arena
  private free: number

  constructor(
    readonly limits: SchedulerLimits,
    private readonly onPreempt: (sequence: S) => void = () => {},
    policy: Partial<SchedulerPolicy> = {},
    private readonly listener?: SchedulerListener<S>,
  ) {
    this.policy = { ...VLLM_V1, ...policy }
    // Nobody joins a static batch, and nobody may have to leave it: all it may come to is kept from the start.
    if (this.policy.batching === 'static' && this.policy.allocation === 'paged') this.policy.allocation = 'reserved'
    this.free = limits.blocks
    const { blockIds, allocation, blockSize } = this.policy
    if (blockIds) this.pool = this.policy.cache?.pool ?? new BlockPool(limits.blocks)
    else if (allocation === 'paged' && blockSize <= COUNTED_BLOCK_SIZE) this.crossings = new Int32Array(blockSize)
    // A cache that outlived its last scheduler holds some already.
    if (this.policy.cache?.pool) this.free = this.policy.cache.pool.available
    if (allocation === 'contiguous') this.arena = new Arena(limits.blocks)
  }

  /** Requests with a place, in order of admission: those in step, then the others. */
  get running(): S[] {
    const all: S[] = []
    for (let s = this.head; s; s = s.after) {
      this.settle(s)
      all.push(s)
    }
    return all.concat(this.catching)
  }

  get places(): number {
    return this.inStep + this.catching.length
  }

  get idle(): boolean {
    return this.waiting.length === 0 && this.inStep === 0 && this.catching.length === 0 && this.parked.length === 0
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
    this.waiting.push(s)
  }

  /**
   * Picks the next step, or null when there is nothing to do. `chain`: how many decodes in a row the
   * caller would take; they are granted while nobody waits.
   */
  next(chain = 1): Batch | null {
    if (this.plan() === 0) return null
    const grants = this.planned().map(grant)
    if (this.pool) this.grantDrafts(grants)
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
      this.hold(s as S, this.blocksFor(start + tokens + g.drafts) - s.blocks)
    }
  }

  /** Decides the next step; returns how many are part of it: all in step (`steady`), and some of `catching`. */
  plan(): number {
    this.swappedBlocks = this.movedLayers = 0
    this.preempted = this.holes = this.steady = false
    this.decodes = this.context = this.prefill = this.prefillContext2 = 0
    this.from = this.to = 0
    if (this.inStep > 0 && this.catching.length === 0 && this.waiting.length === 0 && this.parked.length === 0) {
      this.decode() // nobody else could have a part
      return this.inStep
    }
    switch (this.policy.batching) {
      case 'continuous': {
        const budget = this.catchUp(this.decode())
        this.admit(this.policy.offload ? this.bringBack(budget) : budget)
        break
      }
      case 'prefill-first':
        this.promptsFirst()
        break
      case 'static': {
        if (this.places === 0) this.formBatch()
        this.catchUp(this.decode())
      }
    }
    if ((this.steady || this.inStep === 0) && this.to > 0 && this.from === 0) this.joinPlanned()
    return (this.steady ? this.inStep : 0) + this.to - this.from
  }

  /** Who is part of the planned step, with counts as they are before it and `granted` tokens each. */
  planned(): S[] {
    const all: S[] = []
    if (this.steady) {
      for (let s = this.head; s; s = s.after) {
        this.settle(s)
        s.granted = 1
        all.push(s)
      }
    }
    for (let i = this.from; i < this.to; i++) all.push(this.catching[i]!)
    return all
  }

  /**
   * After a plan of which only those in step are part: how many steps like it, at most `most`, can follow
   * one another before blocks run out. Whoever waits stays blocked meanwhile: places and blocks only get
   * scarcer.
   */
  repeatable(most: number): number {
    if (most === 1 || this.policy.allocation !== 'paged') return most
    const available = this.available
    // In the worst case all of them cross into a new block at once.
    if (this.inStep * (1 + Math.floor((most - 1) / this.policy.blockSize)) <= available) return most
    let low = 1
    let high = most
    while (low < high) {
      const k = Math.ceil((low + high) / 2)
      if (this.extraBlocks(k) <= available) low = k
      else high = k - 1
    }
    return low
  }

  /** Blocks in use in the last of so many steps like the planned one (as `repeatable` allows). */
  blocksUsedAfter(steps: number): number {
    return this.blocksUsed + (steps > 1 ? this.extraBlocks(steps) : 0)
  }

  /** Σ over so many steps like the planned one of the blocks in use. */
  blocksOverSteps(steps: number): number {
    let sum = this.blocksUsed * steps
    if (steps === 1 || this.policy.allocation !== 'paged') return sum
    const { blockSize } = this.policy
    for (let o = 1; o < steps && o <= blockSize; o++) {
      // Those that take a block in the o-th step from now hold it in all that follow, and take another every so many.
      const times = Math.floor((steps - 1 - o) / blockSize) + 1
      const held = times * (steps - o) - (blockSize * times * (times - 1)) / 2
      sum += this.crossingAt(o) * held
    }
    return sum
  }

  /** Those in step have decoded so many steps (at most `repeatable`) since the plan. */
  advance(steps: number): void {
    if (steps > 1) this.take(this.extraBlocks(steps))
    this.ticks += steps
    this.inStepContext += this.inStep * steps
  }

  /** Books the part of one of `catching` in the planned step. True when it was sampled. */
  book(s: S): boolean {
    const sampled = s.computed + s.granted === s.known
    s.computed += s.granted
    if (sampled) s.known++
    if (this.policy.cache) this.remember(s)
    return sampled
  }

  /** After all that was planned is booked: who has caught up decodes in step from now on. */
  settled(): void {
    const { catching } = this
    if (catching.length === 0) return
    const { offload } = this.policy
    if (offload) this.park()
    let ready = 0
    while (ready < catching.length && this.inStep < this.limits.maxBatchedTokens && isDecoding(catching[ready]!)) this.join(catching[ready++]!)
    if (ready === catching.length) while (catching.length > 0) catching.pop()
    else if (ready > 0) catching.splice(0, ready)
  }

  /** Books a step: what was computed is cached, what was sampled is known, who is done leaves. */
  complete(batch: Batch, outcomes: readonly Outcome[]): void {
    if (this.steady) this.ticks += batch.steps
    for (const [i, { sequence, tokens }] of batch.grants.entries()) {
      const { sampled } = outcomes[i]!
      const s = sequence as S
      const computed = tokens + Math.max(0, sampled - 1)
      s.computed += computed
      s.known += sampled
      if (this.policy.cache) this.remember(s)
      if (s.since < 0) continue
      s.since = this.ticks
      this.inStepContext += computed
      if (this.policy.allocation === 'paged') s.blocks = Math.max(s.blocks, this.blocksFor(s.computed))
      if (computed !== batch.steps && this.crossings) { // its text ended in the middle of a chain
        this.crossings[this.crossing(s, computed - batch.steps)]!--
        this.crossings[this.crossing(s)]!++
      }
    }
    for (const [i, { sequence }] of batch.grants.entries()) if (outcomes[i]!.finished) this.leave(sequence as S)
    this.settled()
  }

  /** Takes a request out, wherever it is. True when it was there. */
  cancel(id: number): boolean {
    if (this.waiting.remove((s) => s.id === id)) return true
    const parked = this.parked.remove((s) => s.id === id)
    if (parked) this.freeBlocks(parked)
    const running = parked ?? this.running.find((s) => s.id === id)
    if (running && !parked) this.leave(running)
    return running !== undefined
  }

  /** A running request is over: its place and its blocks are free. */
  leave(s: S): void {
    if (s.since >= 0) this.part(s)
    else this.catching.splice(this.catching.indexOf(s), 1)
    this.exit(s)
    this.freeBlocks(s)
  }

  /** Brings the counts of one that decodes in step up to date. */
  settle(s: S): void {
    if (s.since < 0) return
    const steps = this.ticks - s.since
    if (steps === 0) return
    s.since = this.ticks
    s.computed += steps
    s.known += steps
    if (this.policy.allocation === 'paged') s.blocks = Math.max(s.blocks, this.blocksFor(s.computed))
  }

  /** Those in step decode, as far as the budget goes; returns what is left of it. */
  private decode(): number {
    const budget = this.limits.maxBatchedTokens
    while (this.inStep > budget) this.unstep()
    if (this.inStep === 0) return budget
    this.steady = true
    if (this.policy.allocation === 'paged') {
      let need = this.crossings ? this.crossingAt(0) : this.needOfAll()
      // They are first in order: whoever finds no block takes it from those admitted last, himself at the end.
      while (need > this.available) {
        const last = this.catching[this.catching.length - 1] ?? this.tail!
        if (last.since >= 0) need -= this.needOf(last)
        this.preempt(last)
      }
      if (!this.pool) this.take(need)
      else for (let s = this.head; s; s = s.after) this.grow(s, s.computed + 1)
    }
    this.decodes = this.inStep
    this.context = this.inStepContext
    if (this.inStep === 0) this.steady = false
    return budget - this.inStep
  }

  /** The others that run catch up, in order of admission, as far as the budget goes. */
  private catchUp(budget: number): number {
    const { chunkedPrefill } = this.policy
    const { catching } = this
    for (; this.to < catching.length && budget > 0; this.to++) {
      const s = catching[this.to]!
      const behind = s.known - s.computed
      if (!chunkedPrefill && behind > budget && (this.steady || this.to > 0)) break
      const tokens = chunkedPrefill && behind > budget ? budget : behind
      if (!this.makeRoom(s, s.computed + tokens)) break // s itself was the tail and gave way
      this.grant(s, tokens)
      budget -= tokens
    }
    return budget
  }

  /** The queue's head joins, as long as budget, places and blocks last. */
  private admit(budget: number): void {
    const { chunkedPrefill, cache, offload, background } = this.policy
    // A preemption means the blocks are gone: admitting now would only preempt again.
    while (budget > 0 && !this.preempted && this.to === this.catching.length && this.waiting.length > 0 && this.places < this.limits.maxSequences) {
      const s = this.waiting.first! // the head waits if it does not fit: overtaking would starve long requests
      if (s.priority === background?.priority && this.background >= background.most) break
      const found = cache !== undefined && s.prefix !== undefined && s.computed === 0
      if (found) {
        this.free += cache.expire()
        cache.find(s)
      }
      const computed = found ? cache.foundTokens : s.computed
      const behind = s.known - computed
      if (!chunkedPrefill && behind > budget && (this.steady || this.to > this.from)) break
      const tokens = chunkedPrefill && behind > budget ? budget : behind
      if (offload && s.computed === 0) s.offloaded = this.parked.length > 0 || this.blocksFor(s.known) > this.available
      if (s.offloaded && s.computed === 0) {
        if (!this.offloadable(s, tokens)) {
          s.offloaded = false
          break
        }
      } else {
        const need = this.reservation(s, computed + tokens) - (found ? cache.foundBlocks : 0)
        const left = this.available - (found ? cache.foundUnused : 0)
        if (need > left) break
        if (this.arena && !this.arena.fits(need)) {
          this.holes = true
          break
        }
      }
      const copied = found ? cache.copied : undefined
      if (found) cache.take(s)
      this.waiting.shift()
      this.enter(s)
      this.grow(s, s.computed + tokens)
      // Copied before the step computes anything: a block that just lost its place in the cache is still whole.
      if (copied) this.copies.push({ from: copied.block, to: s.blockTable[cache!.foundBlocks]!, tokens: copied.tokens })
      if (s.swapped) {
        this.swappedBlocks += this.blocksFor(s.computed)
        s.swapped = false
      }
      this.grant(s, tokens)
      this.to++
      budget -= tokens
    }
  }

  private enter(s: S): void {
    s.admission = this.admissions++
    this.catching.push(s)
    if (s.priority === this.policy.background?.priority) this.background++
    this.listener?.enters?.(s)
  }

  private exit(s: S): void {
    if (s.priority === this.policy.background?.priority) this.background--
    this.listener?.exits?.(s)
  }

  /** One token after the prompt is a decode, anything else is prefill. */
  private grant(s: S, tokens: number): void {
    const { computed } = s
    s.granted = tokens
    if (tokens === 1 && computed >= s.promptTokens) {
      this.decodes++
      this.context += computed
    } else {
      this.prefill += tokens
      this.prefillContext2 += tokens * (2 * computed + tokens)
    }
    if (s.offloaded) this.movedLayers += (this.blocksFor(computed + tokens) - this.blocksFor(computed)) * (this.policy.offload!.layers - this.policy.offload!.keep)
  }

  /** Prompts while there are any to admit, else everybody decodes. */
  private promptsFirst(): void {
    const { catching } = this
    const last = catching[catching.length - 1]
    if (last && last.known - last.computed > 1) {
      // A prompt that was cut goes on before anything else; only the one admitted last can have been cut.
      const tokens = Math.min(last.known - last.computed, this.limits.maxBatchedTokens)
      if (this.makeRoom(last, last.computed + tokens)) {
        this.grant(last, tokens)
        this.from = catching.length - 1
        this.to = catching.length
        return
      }
    }
    this.from = this.to = catching.length
    this.admit(this.limits.maxBatchedTokens)
    if (this.to > this.from) return
    this.from = this.to = 0
    this.catchUp(this.decode())
  }

  /** Static batching: as many as there are places and blocks for, until all of them are done. */
  private formBatch(): void {
    while (this.waiting.length > 0 && this.places < this.limits.maxSequences) {
      const s = this.waiting.first!
      const blocks = this.blocksFor(s.promptTokens + s.maxTokens)
      if (blocks > this.available) break
      if (this.arena && !this.arena.fits(blocks)) {
        this.holes = true
        break
      }
      this.waiting.shift()
      this.enter(s)
      this.grow(s, s.promptTokens + s.maxTokens)
    }
  }

  /** Gives s, one of `catching`, blocks for `length` positions, at the cost of those admitted after it. False when s itself had to go. */
  private makeRoom(s: S, length: number): boolean {
    while (this.blocksAt(s, length) - s.blocks > this.available) {
      const last = this.catching[this.catching.length - 1]!
      this.preempt(last)
      if (last === s) return false
    }
    this.grow(s, length)
    return true
  }

  private preempt(s: S): void {
    if (s.since >= 0) this.part(s)
    else this.catching.pop()
    this.exit(s)
    this.freeBlocks(s)
    if (this.policy.preemption === 'swap' && s.computed > 0 && !s.offloaded) {
      this.swappedBlocks += this.blocksFor(s.computed)
      s.swapped = true
    } else s.computed = 0
    s.offloaded = false
    this.waiting.unshift(s)
    this.preempted = true
    this.onPreempt(s)
  }

  /** Of the planned ones, those that only decode are in step from this step on. */
  private joinPlanned(): void {
    const { catching } = this
    let n = 0
    while (n < this.to && isDecoding(catching[n]!)) {
      this.join(catching[n]!)
      n++
    }
    if (n === 0) return
    catching.splice(0, n)
    this.to -= n
    this.steady = true
  }

  /** s, all of whose elders are in step, decodes in step from now on. */
  private join(s: S): void {
    s.since = this.ticks
    s.before = this.tail
    s.after = undefined
    if (this.tail) this.tail.after = s
    else this.head = s
    this.tail = s
    this.inStep++
    this.inStepContext += s.computed
    if (this.crossings) this.crossings[this.crossing(s)]!++
    this.listener?.joins(s)
  }

  /** s no longer decodes in step; its counts are true from now on. */
  private part(s: S): void {
    this.settle(s)
    if (this.crossings) this.crossings[this.crossing(s)]!--
    s.since = -1
    if (s.before) s.before.after = s.after
    else this.head = s.after
    if (s.after) s.after.before = s.before
    else this.tail = s.before
    s.before = s.after = undefined
    this.inStep--
    this.inStepContext -= s.computed
    this.listener?.parts(s)
  }

  /** The one admitted last of those in step waits for its turn among the others: the budget is too small for all. */
  private unstep(): void {
    const s = this.tail!
    this.part(s)
    this.catching.unshift(s)
  }

  /** At which ticks (mod block size) a request in step comes to a new block: when what it has computed fills its blocks. */
  private crossing(s: S, less = 0): number {
    const { blockSize } = this.policy
    const at = (this.ticks - s.computed + less) % blockSize
    return at < 0 ? at + blockSize : at
  }

  /** How many of those in step come to a new block in the step after so many others. */
  private crossingAt(steps: number): number {
    if (this.crossings) return this.crossings[(this.ticks + steps) % this.policy.blockSize]!
    let n = 0
    for (let s = this.head; s; s = s.after) {
      this.settle(s)
      if ((s.computed + steps) % this.policy.blockSize === 0) n++
    }
    return n
  }

  private needOfAll(): number {
    let need = 0
    for (let s = this.head; s; s = s.after) need += this.needOf(s)
    return need
  }

  /** Blocks that one in step needs for its next token. */
  private needOf(s: S): number {
    this.settle(s)
    return Math.max(0, this.blocksFor(s.computed + 1) - s.blocks)
  }

  /** Blocks that those in step take beyond the planned step in so many steps, the planned one counted. */
  private extraBlocks(steps: number): number {
    if (this.policy.allocation !== 'paged') return 0
    const { blockSize } = this.policy
    if (!this.crossings) {
      let sum = 0
      for (let s = this.head; s; s = s.after) {
        this.settle(s)
        sum += this.blocksFor(s.computed + steps) - this.blocksFor(s.computed + 1)
      }
      return sum
    }
    const rounds = Math.floor((steps - 1) / blockSize)
    let sum = rounds * this.inStep
    let at = this.ticks % blockSize
    for (let rest = steps - 1 - rounds * blockSize; rest > 0; rest--) {
      if (++at === blockSize) at = 0
      sum += this.crossings[at]!
    }
    return sum
  }

  /** Blocks a newcomer must find: for the positions it is granted, or for all it may come to. */
  private reservation(s: S, length: number): number {
    return this.blocksFor(this.policy.allocation === 'paged' ? length : s.promptTokens + s.maxTokens)
  }

  /** Blocks that s holds on the device at a length. */
  private blocksAt(s: S, length: number): number {
    return s.offloaded ? this.kept(length) : this.reservation(s, length)
  }

  private grow(s: S, length: number): void {
    this.hold(s, this.blocksAt(s, length) - s.blocks)
  }

  /** So many more blocks for s; the caller has seen to it that they are there. */
  private hold(s: S, need: number): void {
    if (need <= 0) return
    this.take(need)
    s.blocks += need
    if (this.arena) s.address = this.arena.allocate(need)!
    if (!this.pool) return
    if (s.blockTable === NO_BLOCKS) s.blockTable = []
    for (let i = 0; i < need; i++) s.blockTable.push(this.pool.allocate()!)
  }

  private take(blocks: number): void {
    if (blocks > this.free) this.free += this.policy.cache!.evict(blocks - this.free)
    this.free -= blocks
  }

  /** Whole blocks of the prompt that are computed become shareable: the cache holds them from now on. */
  private remember(s: S): void {
    if (s.prefix) this.free += this.policy.cache!.insert(s)
  }

  private freeBlocks(s: S): void {
    if (this.pool) for (const b of s.blockTable) this.pool.release(b)
    if (this.arena && s.address >= 0) this.arena.release(s.address, s.blocks)
    this.leaveHost(s)
    s.address = -1
    s.blockTable = NO_BLOCKS
    this.free += this.policy.cache ? s.blocks - this.policy.cache.release(s) : s.blocks
    s.blocks = 0
  }

  /** Blocks on the device while only some layers' keys and values are kept there. */
  private kept(length: number): number {
    const { keep, layers } = this.policy.offload!
    return Math.ceil((this.blocksFor(length) * keep) / layers)
  }

  /** Whether a prompt can be computed with some layers on the device; takes its room in host memory. */
  private offloadable(s: S, tokens: number): boolean {
    const whole = this.blocksFor(s.known)
    if (this.kept(tokens) > this.available || this.hostUsed + whole > this.policy.offload!.hostBlocks) return false
    this.hostUsed += whole
    s.hosted = whole
    return true
  }

  private leaveHost(s: S): void {
    this.hostUsed -= s.hosted
    s.hosted = 0
  }

  /** Offloaded requests whose prompt is computed leave the step until there is room for all of their layers. */
  private park(): void {
    for (let i = 0; i < this.catching.length; ) {
      const s = this.catching[i]!
      if (!s.offloaded || !isDecoding(s)) {
        i++
        continue
      }
      this.catching.splice(i, 1)
      this.exit(s)
      this.parked.push(s)
      this.listener?.parked(s)
    }
  }

  /** The first to be parked are the first to decode again, before anybody new; those behind lose what they kept if need be. */
  private bringBack(budget: number): number {
    const { layers, keep } = this.policy.offload!
    while (budget > 0 && !this.preempted && this.to === this.catching.length && this.parked.length > 0 && this.places < this.limits.maxSequences) {
      const s = this.parked.first!
      const need = this.blocksFor(s.known) - s.blocks
      if (need > this.available) {
        if (this.places > 0) break
        for (const other of this.parked) {
          if (other === s || other.blocks === 0) continue
          this.movedLayers += this.blocksFor(other.computed) * keep
          this.free += other.blocks
          if (this.pool) for (const b of other.blockTable) this.pool.release(b)
          other.blockTable = NO_BLOCKS
          other.blocks = 0
        }
      }
      this.parked.shift()
      this.movedLayers += this.blocksFor(s.computed) * (s.blocks > 0 ? layers - keep : layers)
      this.leaveHost(s)
      s.offloaded = false
      this.enter(s)
      this.listener?.broughtBack(s)
      this.grow(s, s.known)
      this.grant(s, 1)
      this.to++
      budget--
    }
    return budget
  }

  /** Decodes in a row: as many as all can use and blocks are there for; one while anybody waits. */
  private chainLength(grants: Grant[], chain: number): number {
    if (chain === 1 || this.waiting.length > 0 || this.catching.length > 0) return 1
    let steps = chain
    for (const { sequence: s } of grants) steps = Math.min(steps, s.maxTokens - s.outputTokens)
    steps = this.repeatable(steps)
    for (let s = this.head; s; s = s.after) this.grow(s, s.computed + steps)
    return steps
  }

  private blocksFor(positions: number): number {
    return Math.ceil(positions / this.policy.blockSize)
  }
}

/** Caught up: all but the newest token is computed. */
function isDecoding(s: Sequence): boolean {
  return s.known - s.computed === 1 && s.computed >= s.promptTokens
}

function grant(sequence: Sequence): Grant {
  const { computed, granted } = sequence
  return { sequence, start: computed, tokens: granted, sample: computed + granted === sequence.known, drafts: 0 }
}
