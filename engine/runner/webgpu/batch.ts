import type { ModelConfig } from '../../model/config'
import { BLOCK_SIZE, RunnerError, type RunnerLimits, type StepBatch } from '../runner'
import { type Load, STEP_SLOT } from './kernel'
import { TILE_ROWS } from './kernels/attention'
import type { Memory, Sizes } from './memory'

/** A step as it is encoded: its uniform slot, what it asks, and the turns in which its logits are made. */
export interface PlannedStep {
  slot: number
  load: Load
  heads: { slot: number; load: Load }[]
}

export interface PlannedBatch {
  steps: PlannedStep[]
  /** Index of the chunk each sample of a step belongs to. */
  sampled: number[]
  /** Rows of logits to return, 0 when none are wanted. */
  logitRows: number
}

const ROW_WORDS = 4
const SAMPLE_WORDS = 8

/**
 * Turns a StepBatch into the tables that the kernels read, for all steps of a chain at once, and writes
 * them to the device. The queue keeps writes and submits in order, so one set of tables serves all batches.
 */
export class BatchWriter {
  private readonly step: Uint32Array<ArrayBuffer>
  private readonly rows: Int32Array<ArrayBuffer>
  private readonly tables: Uint32Array<ArrayBuffer>
  private readonly work: Uint32Array<ArrayBuffer>
  private readonly logitRows: Uint32Array<ArrayBuffer>
  private readonly samples: Uint32Array<ArrayBuffer>
  private readonly temperatures: Float32Array<ArrayBuffer>
  /** Where the last token of each request is held on the device, least recently used first. */
  private readonly held = new Map<number, number>()
  private readonly freePlaces: number[]

  constructor(
    private readonly queue: GPUQueue,
    private readonly memory: Memory,
    private readonly config: ModelConfig,
    private readonly limits: RunnerLimits,
    private readonly sizes: Sizes,
    /** False: the attention kernel for decodes takes every row. */
    private readonly tiles: boolean,
  ) {
    this.freePlaces = Array.from({ length: sizes.held }, (_, i) => sizes.held - 1 - i)
    this.step = new Uint32Array((sizes.slots * STEP_SLOT) / 4)
    this.rows = new Int32Array(Math.max(limits.tokens, limits.chain * limits.sequences) * ROW_WORDS)
    this.tables = new Uint32Array(sizes.tableEntries)
    this.work = new Uint32Array(limits.tokens * 2)
    this.logitRows = new Uint32Array(limits.tokens)
    this.samples = new Uint32Array(limits.chain * limits.sequences * SAMPLE_WORDS)
    this.temperatures = new Float32Array(this.samples.buffer)
  }

  /** The batch must have passed checkBatch. Throws RunnerError('bad-batch') for a token this device does not hold. */
  write(batch: StepBatch): PlannedBatch {
    const { chunks, steps = 1 } = batch
    const all = batch.wantLogits && batch.allRows
    const total = chunks.reduce((sum, chunk) => sum + chunk.tokens.length, 0)
    const attention = this.writeWork(batch)
    const wanted = this.writeLogitRows(batch)
    const sampled = chunks.flatMap((chunk, i) => (chunk.sample ? [i] : []))
    const tables = this.writeTables(batch)
    for (const [i, chunk] of chunks.entries()) {
      if (chunk.tokens[0] === -1 && !this.held.has(chunk.request)) {
        throw new RunnerError(`chunk ${i} (request ${chunk.request}): token −1, but this runner has sampled nothing for that request`, 'bad-batch')
      }
    }
    const drawnBefore = chunks.map((chunk) => (chunk.tokens[0] === -1 ? this.hold(chunk.request) : -1))
    const places = sampled.map((i) => this.hold(chunks[i]!.request))

    const planned: PlannedStep[] = []
    let slot = 0
    let attended = 0
    for (const chunk of chunks) for (let t = 0; t < chunk.tokens.length; t++) attended += chunk.start + t + 1
    for (let s = 0; s < steps; s++) {
      const firstRow = s * total
      let r = firstRow
      for (const [i, chunk] of chunks.entries()) {
        for (let t = 0; t < chunk.tokens.length; t++) {
          const position = chunk.start + t + s
          const holds = s > 0 ? places[i]! : drawnBefore[i]! // in a chain every chunk is sampled
          const token = s > 0 || chunk.tokens[t] === -1 ? -1 - holds : chunk.tokens[t]!
          const physical = chunk.blockTable[Math.floor(position / BLOCK_SIZE)]! * BLOCK_SIZE + (position % BLOCK_SIZE)
          this.rows.set([token, position, physical, tables[i]!], r++ * ROW_WORDS)
        }
      }
      const firstSample = s * sampled.length
      for (const [n, i] of sampled.entries()) {
        const chunk = chunks[i]!
        const at = (firstSample + n) * SAMPLE_WORDS
        const row = all ? wanted.lastRow[i]! % this.sizes.logitRows : n
        this.samples.set([row, places[n]!, chunk.start + chunk.tokens.length + s, chunk.sampling?.seed ?? 0, 0, firstSample + n], at)
        this.temperatures[at + 4] = chunk.sampling?.temperature ?? 0
      }
      const load: Load = { rows: total, logits: 0, samples: 0, ...attention, attended: attended + s * chunks.length }
      const main = slot++
      this.step.set([total, firstRow, 0, 0, attention.decodes, firstSample], (main * STEP_SLOT) / 4)
      const heads: PlannedStep['heads'] = []
      for (let first = 0; first < wanted.count; first += this.sizes.logitRows) {
        const logits = Math.min(this.sizes.logitRows, wanted.count - first)
        // Samples stand in row order, so those of one turn are neighbours.
        const inTurn = all ? sampled.filter((i) => wanted.lastRow[i]! >= first && wanted.lastRow[i]! < first + logits) : sampled
        const before = all ? sampled.filter((i) => wanted.lastRow[i]! < first).length : 0
        const headSlot = first === 0 ? main : slot++
        this.step.set([total, firstRow, logits, first, attention.decodes, firstSample + before], (headSlot * STEP_SLOT) / 4)
        heads.push({ slot: headSlot, load: { ...load, logits, samples: inTurn.length } })
      }
      planned.push({ slot: main, load, heads })
    }

    const { queue, memory } = this
    const entries = tables[chunks.length]!
    queue.writeBuffer(memory.step, 0, this.step, 0, (slot * STEP_SLOT) / 4)
    queue.writeBuffer(memory.rows, 0, this.rows, 0, steps * total * ROW_WORDS)
    queue.writeBuffer(memory.tables, 0, this.tables, 0, entries)
    queue.writeBuffer(memory.work, 0, this.work, 0, 2 * (attention.decodes + attention.tiles))
    if (wanted.count > 0) queue.writeBuffer(memory.logitRowList, 0, this.logitRows, 0, wanted.count)
    if (sampled.length > 0) queue.writeBuffer(memory.samples, 0, this.samples, 0, steps * sampled.length * SAMPLE_WORDS)
    return { steps: planned, sampled, logitRows: batch.wantLogits ? wanted.count : 0 }
  }

  /** (first row, rows) of each decode, then of each prefill tile. */
  private writeWork({ chunks }: StepBatch): { decodes: number; tiles: number } {
    const decodes: number[] = []
    const tiles: number[] = []
    let row = 0
    for (const { tokens } of chunks) {
      if (tokens.length === 1 || !this.tiles) for (let t = 0; t < tokens.length; t++) decodes.push(row + t, 1)
      else for (let t = 0; t < tokens.length; t += TILE_ROWS) tiles.push(row + t, Math.min(TILE_ROWS, tokens.length - t))
      row += tokens.length
    }
    this.work.set(decodes)
    this.work.set(tiles, decodes.length)
    return { decodes: decodes.length / 2, tiles: tiles.length / 2 }
  }

  /** Rows whose logits are made: of sampled chunks the last, or all. lastRow: row in that list of each chunk's last token. */
  private writeLogitRows({ chunks, wantLogits, allRows }: StepBatch): { count: number; lastRow: number[] } {
    let count = 0
    let row = 0
    const lastRow: number[] = []
    for (const { tokens, sample } of chunks) {
      if (wantLogits && allRows) for (let t = 0; t < tokens.length; t++) this.logitRows[count++] = row + t
      else if (sample) this.logitRows[count++] = row + tokens.length - 1
      row += tokens.length
      lastRow.push(count - 1)
    }
    return { count, lastRow }
  }

  /** The block tables one after the other, as far as the batch needs them. Where each begins, and the end of the last. */
  private writeTables({ chunks, steps = 1 }: StepBatch): number[] {
    const from: number[] = []
    let at = 0
    for (const { tokens, start, blockTable } of chunks) {
      from.push(at)
      const needed = Math.ceil((start + tokens.length - 1 + steps) / BLOCK_SIZE)
      this.tables.set(blockTable.subarray(0, needed), at)
      at += needed
    }
    from.push(at)
    return from
  }

  /** Forgets the request's token. */
  release(request: number): void {
    const place = this.held.get(request)
    if (place === undefined) return
    this.held.delete(request)
    this.freePlaces.push(place)
  }

  /** The request's place among the held tokens; the request unused for longest makes room. */
  private hold(request: number): number {
    let place = this.held.get(request) ?? this.freePlaces.pop()
    if (place === undefined) {
      const [oldest, its] = this.held.entries().next().value!
      this.held.delete(oldest)
      place = its
    }
    this.held.delete(request)
    this.held.set(request, place)
    return place
  }
}
