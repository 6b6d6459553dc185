import type { ModelConfig } from '../../model/config'
import { BLOCK_SIZE, type RunnerLimits, type SequenceChunk, type StepBatch } from '../runner'
import type { Arena } from './arena'
import { ITEM_BYTES, NO_WALL, ROW_BYTES, SPLIT, TILE_QUERIES } from './jobs'
import type { Kernels } from './kernels'
import type { Machine } from './machine'

/** Positions that a thread's share of attention may pass before a row is split: a quarter of an even share. */
const SHARES = 4

/** What a step's kernels go by: a record for every row, and the items that attention is worked out in. */
export interface Staged {
  rows: number
  items: number
  /** Items whose results wait for merging stand first. */
  splitItems: number
  /** Positions looked at, summed over rows; and positions held, summed over sequences: what is read at least. */
  attended: number
  read: number
}

/** Writes a step's records into the linear memory. */
export class Stage {
  readonly rows: number
  readonly items: number
  private readonly tables: number
  private readonly paths: number
  private readonly partials: number
  private readonly tableBlocks: number
  private readonly tileRows: number
  private readonly partialBytes: number

  constructor(arena: Arena, private readonly c: ModelConfig, limits: RunnerLimits, private readonly kernels: Kernels, private readonly threads: number) {
    const group = c.heads / c.kvHeads
    const mostSplits = Math.ceil(c.maxPositions / SPLIT)
    this.tableBlocks = Math.ceil(c.maxPositions / BLOCK_SIZE)
    this.tileRows = Math.max(1, Math.floor(TILE_QUERIES / group))
    this.tables = arena.takeWords(limits.sequences * this.tableBlocks)
    this.rows = arena.take(limits.tokens * ROW_BYTES)
    // A row of a tree lists at most a block's positions before its chunk and all rows of it.
    this.paths = arena.takeWords(limits.tokens * (limits.tokens + BLOCK_SIZE))
    // Rows longer than a share: so many can there be at most.
    const splitRows = threads > 1 ? Math.ceil((SHARES * threads) / c.kvHeads) : 0
    this.partialBytes = c.kvHeads * mostSplits * group * kernels.recordBytes
    this.items = arena.take((limits.tokens + splitRows * mostSplits) * ITEM_BYTES)
    this.partials = arena.take(splitRows * this.partialBytes)
  }

  /** Block tables of a batch: they hold for all of its steps. */
  writeTables(m: Machine, chunks: readonly SequenceChunk[]): void {
    for (const [i, { blockTable }] of chunks.entries()) m.u32.set(blockTable.subarray(0, this.tableBlocks), this.tableOf(i) / 4)
  }

  /** Records of step `s`; `tokenOf` finds the id behind a −1 and behind every token of a later step. */
  write(m: Machine, { chunks }: StepBatch, s: number, tokenOf: (chunk: number) => number): Staged {
    let row = 0
    let path = this.paths
    const starts: number[] = []
    for (const [i, chunk] of chunks.entries()) {
      starts.push(row)
      const tree = isTree(chunk) ? depths(chunk.parents!) : undefined
      for (let t = 0; t < chunk.tokens.length; t++, row++) {
        const token = s > 0 || chunk.tokens[t] === -1 ? tokenOf(i) : chunk.tokens[t]!
        const slot = chunk.start + t + s
        if (tree) {
          writeRow(m.u32, this.rows, row, token, chunk.start + tree[t]!, this.tableOf(i), slot, wallOf(chunk.start), path)
          path = writePath(m.u32, path, chunk, t, tree[t]!)
        } else writeRow(m.u32, this.rows, row, token, slot, this.tableOf(i))
      }
    }
    return { rows: row, ...this.writeItems(m, chunks, starts, s) }
  }

  private writeItems(m: Machine, chunks: readonly SequenceChunk[], starts: readonly number[], s: number): Omit<Staged, 'rows'> {
    const positions = chunks.map((chunk) => chunk.start + chunk.tokens.length + s)
    const work = chunks.reduce((sum, chunk, i) => sum + chunk.tokens.length * positions[i]!, 0)
    const share = this.threads > 1 ? Math.max(SPLIT, (work * this.c.kvHeads) / (SHARES * this.threads)) : Infinity
    const isSplit = (i: number) => chunks[i]!.tokens.length === 1 && positions[i]! > share
    let items = 0
    let partial = this.partials
    const put = (row: number, count: number, from: number, to: number, address: number, splits: number) => {
      const at = (this.items + items++ * ITEM_BYTES) / 4
      for (const [word, value] of [row, count, from, to, address, splits].entries()) m.u32[at + word] = value
    }
    for (const [i, start] of starts.entries()) {
      if (!isSplit(i)) continue
      const splits = Math.ceil(positions[i]! / SPLIT)
      for (let split = 0; split < splits; split++) put(start, 1, split, split + 1, partial, splits)
      partial += this.partialBytes
    }
    const splitItems = items
    for (const [i, start] of starts.entries()) {
      if (isSplit(i)) continue
      const count = chunks[i]!.tokens.length
      const tile = isTree(chunks[i]!) ? 1 : this.tileRows
      for (let t = 0; t < count; t += tile) put(start + t, Math.min(tile, count - t), 0, NO_WALL, 0, 0)
    }
    const attended = chunks.reduce((sum, { tokens: { length } }, i) => sum + length * positions[i]! - (length * (length - 1)) / 2, 0)
    return { items, splitItems, attended, read: positions.reduce((sum, p) => sum + p, 0) }
  }

  private tableOf(chunk: number): number {
    return this.tables + 4 * chunk * this.tableBlocks
  }
}

/** Writes record `index`: which token stands at which position, where its sequence's block table lies, and what jobs.ts says besides. */
export function writeRow(u32: Uint32Array, rows: number, index: number, token: number, position: number, table: number, slot = position, wall = NO_WALL, path = 0): void {
  const at = (rows + index * ROW_BYTES) / 4
  u32[at] = token
  u32[at + 1] = position
  u32[at + 2] = table
  u32[at + 3] = slot
  u32[at + 4] = wall
  u32[at + 5] = path
}

/** A row that does not follow the one before it: else the chunk is a chain like any other. */
function isTree({ parents }: SequenceChunk): boolean {
  return parents?.some((parent, t) => parent !== t - 1) ?? false
}

function depths(parents: Int32Array): Int32Array {
  const depth = new Int32Array(parents.length)
  for (const [t, parent] of parents.entries()) depth[t] = parent < 0 ? 0 : depth[parent]! + 1
  return depth
}

function wallOf(start: number): number {
  return start - (start % BLOCK_SIZE)
}

/** The slots that row t of a tree looks at from the wall on; returns where the next list goes. */
function writePath(u32: Uint32Array, path: number, { start, parents }: SequenceChunk, t: number, depth: number): number {
  const wall = wallOf(start)
  const end = path + 4 * (start + depth + 1 - wall)
  for (let slot = wall; slot < start; slot++) u32[path / 4 + slot - wall] = slot
  let at = end / 4
  for (let row = t; row >= 0; row = parents![row]!) u32[--at] = start + row
  return end
}
