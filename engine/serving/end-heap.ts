import type { Job } from './replica'

/** Texts by the step at which they end; at one step in order of admission. Knows where each is, so that one can be taken out. */
export class EndHeap {
  private readonly items: Job[] = []

  get size(): number {
    return this.items.length
  }
  get first(): Job | undefined {
    return this.items[0]
  }

  push(job: Job): void {
    this.items.push(job)
    this.up(job, this.items.length - 1)
  }

  pop(): Job | undefined {
    const first = this.items[0]
    if (first) this.remove(first)
    return first
  }

  /** Takes a job out; one that is not in it is left alone. */
  remove(job: Job): void {
    const at = job.heapIndex
    if (at < 0) return
    job.heapIndex = -1
    const last = this.items.pop()!
    if (last === job) return
    if (at > 0 && before(last, this.items[(at - 1) >> 1]!)) this.up(last, at)
    else this.down(last, at)
  }

  private up(job: Job, at: number): void {
    const { items } = this
    while (at > 0) {
      const parent = (at - 1) >> 1
      const other = items[parent]!
      if (!before(job, other)) break
      items[at] = other
      other.heapIndex = at
      at = parent
    }
    items[at] = job
    job.heapIndex = at
  }

  private down(job: Job, at: number): void {
    const { items } = this
    const n = items.length
    for (;;) {
      let child = 2 * at + 1
      if (child >= n) break
      if (child + 1 < n && before(items[child + 1]!, items[child]!)) child++
      const other = items[child]!
      if (!before(other, job)) break
      items[at] = other
      other.heapIndex = at
      at = child
    }
    items[at] = job
    job.heapIndex = at
  }
}

function before(a: Job, b: Job): boolean {
  return a.endTick < b.endTick || (a.endTick === b.endTick && a.admission < b.admission)
}
