/**
 * Memory handed out in one piece each, first fit, neighbouring holes joined: how KV caches were kept
 * before PagedAttention. Sizes in any unit.
 */
export class Arena {
  /** Holes in order of address. */
  private readonly holes: { at: number; size: number }[]
  /** No hole is larger than this. */
  private largest: number

  constructor(readonly size: number) {
    this.holes = [{ at: 0, size }]
    this.largest = size
  }

  /** True when a piece of that size can be had. */
  fits(size: number): boolean {
    if (size > this.largest) return false
    if (this.holes.some((h) => h.size >= size)) return true
    this.largest = this.holes.reduce((most, h) => Math.max(most, h.size), 0)
    return false
  }

  /** The address of a piece in the first hole that is large enough; undefined when there is none. */
  allocate(size: number): number | undefined {
    const index = this.holes.findIndex((h) => h.size >= size)
    if (index < 0) return undefined
    const hole = this.holes[index]!
    const { at } = hole
    hole.at += size
    hole.size -= size
    if (hole.size === 0) this.holes.splice(index, 1)
    return at
  }

  /** Gives back what `allocate` gave. */
  release(at: number, size: number): void {
    const { holes } = this
    let low = 0
    for (let high = holes.length; low < high; ) {
      const middle = (low + high) >> 1
      if (holes[middle]!.at < at) low = middle + 1
      else high = middle
    }
    const before = holes[low - 1]
    const after = holes[low]
    const joinsBefore = before !== undefined && before.at + before.size === at
    const joinsAfter = after !== undefined && at + size === after.at
    if ((before && before.at + before.size > at) || (after && at + size > after.at)) throw new RangeError(`${size} at ${at} are free already`)
    if (joinsBefore) {
      before.size += size + (joinsAfter ? after.size : 0)
      if (joinsAfter) holes.splice(low, 1)
    } else if (joinsAfter) {
      after.at = at
      after.size += size
    } else holes.splice(low, 0, { at, size })
    const grown = joinsBefore ? before.size : joinsAfter ? after.size : size
    if (grown > this.largest) this.largest = grown
  }
}
