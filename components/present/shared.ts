/** What can travel between windows and be kept as text. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }

/** When an entry was written: a count that grows with everything that was seen, and who wrote it. */
export type Stamp = readonly [count: number, writer: string]

export interface Entry {
  value: Json
  stamp: Stamp
}

/** Counts beyond this are nobody's: one of them would leave no room above it. */
export const LAST_COUNT = 2 ** 40

/** Whether the first was written after the second; of two at the same count the writer's name decides, everywhere alike. */
function later(a: Stamp, b: Stamp | undefined): boolean {
  return !b || a[0] > b[0] || (a[0] === b[0] && a[1] > b[1])
}

/**
 * A few values that several windows change and all of them show. Each window has its own copy; what one
 * writes is merged by the others, in whatever order it arrives and however often: the last write of a key
 * wins, "last" by Lamport's clock (1978), so that all copies that saw the same writes are equal.
 */
export class Shared {
  private readonly entries = new Map<string, Entry>()
  private count = 0

  constructor(readonly writer: string) {}

  get(key: string): Json | undefined {
    return this.entries.get(key)?.value
  }

  /** Writes, and returns what the others have to be told. */
  set(key: string, value: Json): Entry {
    const entry: Entry = { value, stamp: [++this.count, this.writer] }
    this.entries.set(key, entry)
    return entry
  }

  /** Takes another window's write. False: this copy has a later one, or the same. */
  merge(key: string, entry: Entry): boolean {
    this.count = Math.max(this.count, entry.stamp[0])
    if (!later(entry.stamp, this.entries.get(key)?.stamp)) return false
    this.entries.set(key, entry)
    return true
  }

  /** Everything written so far, for a window that comes late. */
  all(): [key: string, entry: Entry][] {
    return [...this.entries]
  }
}
