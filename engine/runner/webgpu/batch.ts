import { BLOCK_SIZE, RunnerError, type RunnerLimits, type SequenceChunk, type StepBatch } from '../runner'
import { type Load, NO_LOAD, STEP_SLOT } from './kernel'
import { DEFAULT_SPLIT, TILE_ROWS } from './kernels/attention'
import { COPIES, ROW_WORDS, type Memory, type Sizes } from './memory'
import { paddedAssignments, type ExpertPlan } from './plan'
import { positionsOf, reachOf, writeMasks } from './tree'

/** A step as it is encoded: its uniform slot, what it asks, and the turns in which its logits are made. */
export interface PlannedStep {
  slot: number
  load: Load
  heads: { slot: number; load: Load }[]
}

/** A token that every step draws. */
export interface Draw {
  /** Index of its chunk. */
  chunk: number
  /** After the chunk's last row, for the sequence to go on with. */
  last: boolean
}

export interface PlannedBatch {
  steps: PlannedStep[]
  /** What each step draws, in the order of the rows. */
  draws: Draw[]
  /** Rows of logits to return, 0 when none are wanted. */
  logitRows: number
}

const SAMPLE_WORDS = 8
/** A token that is drawn and not kept. */
const NOWHERE = 0xffffffff

/** A row whose logits are made, and where its token is kept if one is drawn. */
interface Wanted {
  row: number
  /** The token's position. */
  position: number
  draw?: Draw
}

/**
 * Turns a StepBatch into the tables that the kernels read, for all steps of a chain at once, and writes
 * them to the device. The queue keeps writes and submits in order, so one set of tables serves all batches.
 */
export class BatchWriter {
  private readonly step: Uint32Array<ArrayBuffer>
  private readonly rows: Int32Array<ArrayBuffer>
  private readonly tables: Uint32Array<ArrayBuffer>
  private readonly work: Uint32Array<ArrayBuffer>
  private readonly copies: Uint32Array<ArrayBuffer>
  private readonly logitRows: Uint32Array<ArrayBuffer>
  private readonly samples: Uint32Array<ArrayBuffer>
  private readonly temperatures: Float32Array<ArrayBuffer>
  /** Where the last token of each request is held on the device, least recently used first. */
  private readonly held = new Map<number, number>()
  private readonly freePlaces: number[]

  constructor(
    private readonly queue: GPUQueue,
    private readonly memory: Memory,
    private readonly limits: RunnerLimits,
    private readonly sizes: Sizes,
    /** False: the attention kernel for decodes takes every row. */
    private readonly tiles: boolean,
    /** Mixtures: how assignments are taken. */
    private readonly mixture: { experts: number; expertsPerToken: number; plan(assignments: number): ExpertPlan } | undefined,
    private readonly split = DEFAULT_SPLIT,
  ) {
    this.freePlaces = Array.from({ length: sizes.held }, (_, i) => sizes.held - 1 - i)
    this.step = new Uint32Array((sizes.slots * STEP_SLOT) / 4)
    this.rows = new Int32Array(sizes.drawn * ROW_WORDS)
    this.tables = new Uint32Array(sizes.tableEntries + sizes.maskWords)
    this.work = new Uint32Array(limits.tokens * 2)
    this.copies = new Uint32Array(COPIES * 2)
    this.logitRows = new Uint32Array(limits.tokens)
    this.samples = new Uint32Array(sizes.drawn * SAMPLE_WORDS)
    this.temperatures = new Float32Array(this.samples.buffer)
  }

  /** The batch must have passed checkBatch and hold at most COPIES copies. Throws RunnerError('bad-batch') for a token this device does not hold. */
  write(batch: StepBatch): PlannedBatch {
    const { chunks, steps = 1, copies = [] } = batch
    for (const [i, chunk] of chunks.entries()) {
      if (chunk.tokens[0] === -1 && !this.held.has(chunk.request)) {
        throw new RunnerError(`chunk ${i} (request ${chunk.request}): token −1, but this runner has sampled nothing for that request`, 'bad-batch')
      }
    }
    const total = chunks.reduce((sum, chunk) => sum + chunk.tokens.length, 0)
    const { decodes, tiles, longest } = this.writeWork(batch)
    const wanted = this.wantedRows(batch)
    for (const [i, { row }] of wanted.entries()) this.logitRows[i] = row
    const drawn = wanted.filter((w) => w.draw)
    const tables = this.writeTables(batch)
    for (const [i, { from, to }] of copies.entries()) this.copies.set([from, to], 2 * i)
    const drawnBefore = chunks.map((chunk) => (chunk.tokens[0] === -1 ? this.hold(chunk.request) : -1))
    const places = chunks.map((chunk) => (chunk.sample ? this.hold(chunk.request) : NOWHERE))
    const { attended } = this.writeRows(chunks, steps, tables.at, tables.masks, drawnBefore, places)

    const routing = this.routing(total, batch.expertsPerToken)
    const planned: PlannedStep[] = []
    let slot = 0
    for (let s = 0; s < steps; s++) {
      const firstRow = s * total
      const firstSample = s * drawn.length
      for (const [n, { draw, position }] of drawn.entries()) {
        const { chunk, last } = draw!
        const { sampling } = chunks[chunk]!
        const at = (firstSample + n) * SAMPLE_WORDS
        const logit = wanted.indexOf(drawn[n]!) % this.sizes.logitRows
        this.samples.set([logit, last ? places[chunk]! : NOWHERE, position + s, sampling?.seed ?? 0, 0, firstSample + n], at)
        this.temperatures[at + 4] = sampling?.temperature ?? 0
      }
      const splits = decodes === 0 ? 1 : Math.ceil((longest + s) / this.split)
      const load: Load = { rows: total, logits: 0, samples: 0, decodes, tiles, attended: attended + s * chunks.length, splits, copies: s === 0 ? copies.length : 0, ...routing }
      const write = (to: number, logits: number, firstLogit: number, sample: number) =>
        this.step.set([total, firstRow, logits, firstLogit, decodes, sample, splits, load.copies, routing.experts, routing.expertTile, routing.assignments, (s * this.sizes.markWords) / this.limits.chain], (to * STEP_SLOT) / 4)
      const main = slot++
      write(main, 0, 0, firstSample)
      const heads: PlannedStep['heads'] = []
      let before = 0
      for (let first = 0; first < wanted.length; first += this.sizes.logitRows) {
        const turn = wanted.slice(first, first + this.sizes.logitRows)
        const samples = turn.filter((w) => w.draw).length
        const headSlot = first === 0 ? main : slot++
        write(headSlot, turn.length, first, firstSample + before)
        heads.push({ slot: headSlot, load: { ...load, logits: turn.length, samples } })
        before += samples
      }
      planned.push({ slot: main, load, heads })
    }

    const { queue, memory } = this
    queue.writeBuffer(memory.step, 0, this.step, 0, (slot * STEP_SLOT) / 4)
    queue.writeBuffer(memory.rows, 0, this.rows, 0, steps * total * ROW_WORDS)
    queue.writeBuffer(memory.tables, 0, this.tables, 0, tables.entries)
    queue.writeBuffer(memory.work, 0, this.work, 0, 2 * (decodes + tiles))
    if (copies.length > 0) queue.writeBuffer(memory.copies, 0, this.copies, 0, 2 * copies.length)
    if (wanted.length > 0) queue.writeBuffer(memory.logitRowList, 0, this.logitRows, 0, wanted.length)
    if (drawn.length > 0) queue.writeBuffer(memory.samples, 0, this.samples, 0, steps * drawn.length * SAMPLE_WORDS)
    return { steps: planned, draws: drawn.map((w) => w.draw!), logitRows: batch.wantLogits ? wanted.length : 0 }
  }

  /** How the tokens are spread over experts; nothing of the kind in a dense model. */
  private routing(tokens: number, expertsPerToken = this.mixture?.expertsPerToken): Pick<Load, 'experts' | 'assignments' | 'expertTile'> {
    if (!this.mixture || expertsPerToken === undefined) return { experts: 0, assignments: 0, expertTile: 1 }
    const all = tokens * expertsPerToken
    const { tile } = this.mixture.plan(all)
    return { experts: expertsPerToken, assignments: paddedAssignments(all, this.mixture.experts, tile), expertTile: tile }
  }

  /** Writes copies alone, for a turn that has nothing else: those beyond the COPIES that a batch takes. */
  writeCopies(copies: readonly { from: number; to: number }[]): PlannedStep {
    for (const [i, { from, to }] of copies.entries()) this.copies.set([from, to], 2 * i)
    this.queue.writeBuffer(this.memory.copies, 0, this.copies, 0, 2 * copies.length)
    this.step.set([0, 0, 0, 0, 0, 0, 1, copies.length], 0)
    this.queue.writeBuffer(this.memory.step, 0, this.step, 0, STEP_SLOT / 4)
    return { slot: 0, load: { ...NO_LOAD, copies: copies.length }, heads: [] }
  }

  /** A record for each row of each step; Σ of the positions that the first step's rows look at. */
  private writeRows(chunks: readonly SequenceChunk[], steps: number, tables: readonly number[], masks: readonly number[], drawnBefore: readonly number[], places: readonly number[]) {
    let at = 0
    let attended = 0
    for (let s = 0; s < steps; s++) {
      for (const [i, chunk] of chunks.entries()) {
        const { tokens, start, blockTable, parents } = chunk
        const positions = parents && positionsOf(parents, start)
        const maskWords = Math.ceil(tokens.length / 32)
        for (let t = 0; t < tokens.length; t++) {
          const place = start + t + s // in the sequence's slots; the position too, unless in a tree
          const token = s > 0 ? -1 - places[i]! : tokens[t] === -1 ? -1 - drawnBefore[i]! : tokens[t]! // in a chain every chunk is sampled
          const slot = blockTable[Math.floor(place / BLOCK_SIZE)]! * BLOCK_SIZE + (place % BLOCK_SIZE)
          const position = positions ? positions[t]! : place
          this.rows.set([token, position, slot, tables[i]!, parents ? start : place + 1, place + 1, parents ? masks[i]! + t * maskWords : 0, 0], at)
          at += ROW_WORDS
          if (s === 0) attended += position + 1
        }
      }
    }
    return { attended }
  }

  /** (first row, rows) of each decode, then of each prefill tile; the longest reach of a decode. */
  private writeWork({ chunks }: StepBatch): { decodes: number; tiles: number; longest: number } {
    const decodes: number[] = []
    const tiles: number[] = []
    let row = 0
    let longest = 0
    for (const chunk of chunks) {
      const { tokens } = chunk
      if (tokens.length === 1 || !this.tiles) {
        for (let t = 0; t < tokens.length; t++) decodes.push(row + t, 1)
        longest = Math.max(longest, reachOf(chunk))
      } else for (let t = 0; t < tokens.length; t += TILE_ROWS) tiles.push(row + t, Math.min(TILE_ROWS, tokens.length - t))
      row += tokens.length
    }
    this.work.set(decodes)
    this.work.set(tiles, decodes.length)
    return { decodes: decodes.length / 2, tiles: tiles.length / 2, longest }
  }

  /** Rows whose logits are made, in order: the last of chunks that are sampled, every one of those that ask for it. */
  private wantedRows({ chunks, wantLogits, allRows }: StepBatch): Wanted[] {
    const wanted: Wanted[] = []
    let first = 0
    for (const [chunk, { tokens, start, sample, sampleRows, parents }] of chunks.entries()) {
      const positions = parents && positionsOf(parents, start)
      for (let t = 0; t < tokens.length; t++) {
        const last = t === tokens.length - 1
        const draw = sampleRows || (sample && last) ? { chunk, last: sample && last } : undefined
        if (draw || (wantLogits && allRows)) wanted.push({ row: first + t, position: (positions ? positions[t]! : start + t) + 1, draw })
      }
      first += tokens.length
    }
    return wanted
  }

  /** The block tables one after the other, as far as the batch needs them, then the masks of trees: where each begins, and the end of all. */
  private writeTables({ chunks, steps = 1 }: StepBatch): { at: number[]; masks: number[]; entries: number } {
    const at: number[] = []
    let entries = 0
    for (const { tokens, start, blockTable } of chunks) {
      at.push(entries)
      const needed = Math.ceil((start + tokens.length - 1 + steps) / BLOCK_SIZE)
      this.tables.set(blockTable.subarray(0, needed), entries)
      entries += needed
    }
    const masks = chunks.map(({ parents }) => {
      const first = entries
      if (parents) entries += writeMasks(parents, this.tables, first)
      return first
    })
    return { at, masks, entries }
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
