/** A queue, first in first out, in constant time; who was sent back may be put in front. */
export class Deque<T> {
  private items: (T | undefined)[] = new Array<T | undefined>(16)
  private head = 0
  length = 0

  get first(): T | undefined {
    return this.items[this.head]
  }

  push(item: T): void {
    if (this.length === this.items.length) this.double()
    this.items[(this.head + this.length++) & (this.items.length - 1)] = item
  }

  unshift(item: T): void {
    if (this.length === this.items.length) this.double()
    this.head = (this.head - 1) & (this.items.length - 1)
    this.items[this.head] = item
    this.length++
  }

  shift(): T | undefined {
    if (this.length === 0) return undefined
    const item = this.items[this.head]
    this.items[this.head] = undefined
    this.head = (this.head + 1) & (this.items.length - 1)
    this.length--
    return item
  }

  /** Takes the first that `is` names out; looks at all of them. */
  remove(is: (item: T) => boolean): T | undefined {
    const all = [...this]
    const at = all.findIndex(is)
    if (at < 0) return undefined
    const [item] = all.splice(at, 1)
    this.items.fill(undefined)
    this.head = this.length = 0
    for (const other of all) this.push(other)
    return item
  }

  *[Symbol.iterator](): Iterator<T> {
    for (let i = 0; i < this.length; i++) yield this.items[(this.head + i) & (this.items.length - 1)]!
  }

  private double(): void {
    const all = [...this]
    all.length = this.items.length * 2
    this.items = all
    this.head = 0
  }
}

/** Requests in line: smaller priorities first, each class first come first served. */
export class WaitingLine<S extends { priority: number }> {
  length = 0
  /** Classes in order of priority. Those seen once stay: there are few. */
  private readonly classes: { priority: number; line: Deque<S> }[] = []

  /** Who is next. */
  get first(): S | undefined {
    for (const { line } of this.classes) if (line.length > 0) return line.first
    return undefined
  }

  /** Behind all of its priority. */
  push(s: S): void {
    this.length++
    this.classOf(s.priority).push(s)
  }

  /** Before all of its priority. */
  unshift(s: S): void {
    this.length++
    this.classOf(s.priority).unshift(s)
  }

  shift(): S | undefined {
    for (const { line } of this.classes) {
      if (line.length === 0) continue
      this.length--
      return line.shift()
    }
    return undefined
  }

  remove(is: (s: S) => boolean): S | undefined {
    for (const { line } of this.classes) {
      const s = line.remove(is)
      if (s === undefined) continue
      this.length--
      return s
    }
    return undefined
  }

  private classOf(priority: number): Deque<S> {
    const { classes } = this
    let at = 0
    while (at < classes.length && classes[at]!.priority < priority) at++
    if (classes[at]?.priority !== priority) classes.splice(at, 0, { priority, line: new Deque() })
    return classes[at]!.line
  }
}
