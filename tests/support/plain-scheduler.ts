/**
 * Continuous batching as one would write it down: everybody is looked at in every step. The scheduler of
 * the engine keeps sums instead; it has to decide the same.
 */
export interface PlainRequest {
  id: number
  prompt: number
  output: number
  maxTokens: number
  computed: number
  known: number
  blocks: number
}

export interface PlainLimits {
  maxSequences: number
  maxBatchedTokens: number
  blocks: number
  blockSize: number
  chunked: boolean
  batching: 'continuous' | 'prefill-first'
}

export class PlainScheduler {
  readonly waiting: PlainRequest[] = []
  readonly running: PlainRequest[] = []
  readonly preempted: number[] = []

  constructor(private readonly limits: PlainLimits) {}

  get blocksUsed(): number {
    return this.running.reduce((n, r) => n + r.blocks, 0)
  }

  add(id: number, prompt: number, output: number, maxTokens: number): void {
    this.waiting.push({ id, prompt, output, maxTokens, computed: 0, known: prompt, blocks: 0 })
  }

  /** Decides a step, has it happen, and says who had which part: [id, from which position, tokens]. */
  step(): [id: number, start: number, tokens: number][] {
    const before = this.preempted.length
    const granted = new Map<PlainRequest, number>()
    let budget = this.limits.maxBatchedTokens
    const cut = this.running[this.running.length - 1]
    const prefillFirst = this.limits.batching === 'prefill-first'
    if (prefillFirst && cut && cut.known - cut.computed > 1 && this.give(cut, Math.min(cut.known - cut.computed, budget))) granted.set(cut, Math.min(cut.known - cut.computed, budget))
    else {
      if (!prefillFirst) budget = this.runningFirst(granted, budget)
      this.admit(granted, budget, before)
      if (prefillFirst && granted.size === 0) this.runningFirst(granted, budget)
    }
    const parts = [...granted].map(([r, tokens]): [number, number, number] => [r.id, r.computed, tokens])
    for (const [r, tokens] of granted) {
      r.computed += tokens
      if (r.computed === r.known) r.known++
    }
    for (let i = this.running.length - 1; i >= 0; i--) {
      const r = this.running[i]!
      if (r.known - r.prompt === r.output && granted.has(r)) this.running.splice(i, 1)
    }
    return parts
  }

  private runningFirst(granted: Map<PlainRequest, number>, budget: number): number {
    for (let i = 0; i < this.running.length && budget > 0; i++) {
      const r = this.running[i]!
      const behind = r.known - r.computed
      if (!this.limits.chunked && behind > budget && granted.size > 0) break
      const tokens = this.limits.chunked ? Math.min(behind, budget) : behind
      if (!this.give(r, tokens)) break
      granted.set(r, tokens)
      budget -= tokens
    }
    return budget
  }

  private admit(granted: Map<PlainRequest, number>, budget: number, before: number): void {
    while (budget > 0 && this.preempted.length === before && this.waiting.length > 0 && this.running.length < this.limits.maxSequences) {
      const r = this.waiting[0]!
      const behind = r.known - r.computed
      if (!this.limits.chunked && behind > budget && granted.size > 0) break
      const tokens = this.limits.chunked ? Math.min(behind, budget) : behind
      if (this.blocksFor(r.computed + tokens) > this.limits.blocks - this.blocksUsed) break
      this.waiting.shift()
      this.running.push(r)
      r.blocks = this.blocksFor(r.computed + tokens)
      granted.set(r, tokens)
      budget -= tokens
    }
  }

  /** Blocks for so many more tokens, at the cost of those admitted last; false when r itself had to go. */
  private give(r: PlainRequest, tokens: number): boolean {
    const need = this.blocksFor(r.computed + tokens)
    while (need > r.blocks && need - r.blocks > this.limits.blocks - this.blocksUsed) {
      const last = this.running.pop()!
      last.computed = last.blocks = 0
      this.waiting.unshift(last)
      this.preempted.push(last.id)
      if (last === r) return false
    }
    r.blocks = Math.max(r.blocks, need)
    return true
  }

  private blocksFor(positions: number): number {
    return Math.ceil(positions / this.limits.blockSize)
  }
}
