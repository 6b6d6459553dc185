/**
 * The pool of KV blocks (PagedAttention, Kwon et al. 2023): 16 positions each, handed out one by one,
 * counted by reference so that sequences can share a prefix. Freed blocks are used again last-in
 * first-out: the one in cache comes first.
 */
export class BlockPool {
  private readonly free: number[]
  private readonly references: Int32Array

  constructor(readonly total: number) {
    if (!(Number.isInteger(total) && total > 0)) throw new RangeError(`a block pool needs a positive whole number of blocks, got ${total}`)
    this.references = new Int32Array(total)
    this.free = Array.from({ length: total }, (_, i) => total - 1 - i)
  }

  get available(): number {
    return this.free.length
  }

  get used(): number {
    return this.total - this.free.length
  }

  /** One block with a reference count of 1, or undefined when the pool is empty. */
  allocate(): number | undefined {
    const block = this.free.pop()
    if (block !== undefined) this.references[block] = 1
    return block
  }

  /** One more holder of a block in use. */
  share(block: number): void {
    if (!(this.references[block]! > 0)) throw new RangeError(`block ${block} is not in use and cannot be shared`)
    this.references[block]!++
  }

  /** One holder less; the block returns to the pool with the last. */
  release(block: number): void {
    if (!(this.references[block]! > 0)) throw new RangeError(`block ${block} is not in use and cannot be released`)
    if (--this.references[block]! === 0) this.free.push(block)
  }
}
