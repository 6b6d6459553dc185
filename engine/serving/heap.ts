/** What happens at a time, in a total order: earlier first, then smaller rank, then who was put in first. */
export interface Timed {
  time: number
  rank: number
  /** Given by the heap. */
  order?: number
}

/** A binary heap of events by (time, rank, order of entry). */
export class EventHeap<E extends Timed> {
  private readonly items: E[] = []
  private entered = 0

  get size(): number {
    return this.items.length
  }

  /** Time of the next event; Infinity when there is none. */
  get time(): number {
    return this.items.length > 0 ? this.items[0]!.time : Infinity
  }

  push(item: E): void {
    const items = this.items
    item.order = this.entered++
    let at = items.length
    items.push(item)
    while (at > 0) {
      const up = (at - 1) >> 1
      if (!before(item, items[up]!)) break
      items[at] = items[up]!
      at = up
    }
    items[at] = item
  }

  pop(): E | undefined {
    const items = this.items
    if (items.length === 0) return undefined
    const top = items[0]!
    const last = items.pop()!
    const n = items.length
    if (n > 0) {
      let at = 0
      for (;;) {
        let child = 2 * at + 1
        if (child >= n) break
        if (child + 1 < n && before(items[child + 1]!, items[child]!)) child++
        if (!before(items[child]!, last)) break
        items[at] = items[child]!
        at = child
      }
      items[at] = last
    }
    return top
  }
}

function before(a: Timed, b: Timed): boolean {
  return a.time < b.time || (a.time === b.time && (a.rank < b.rank || (a.rank === b.rank && a.order! < b.order!)))
}
