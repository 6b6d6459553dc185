import type { StepBatch } from '../runner'

/** A row whose logits are wanted. */
export interface WantedRow {
  row: number
  chunk: number
  /** Where its token stands, in the first of the steps. */
  position: number
  /** The chunk's token is sampled here. */
  ends: boolean
  /** What is sampled here goes to StepResult.rowTokens. */
  listed: boolean
}

/** The last row of every chunk that is to be sampled; with allRows, or where a chunk asks for it (sampleRows), every row. */
export function wantedRows({ chunks, wantLogits, allRows }: StepBatch): WantedRow[] {
  const wanted: WantedRow[] = []
  let row = 0
  for (const [chunk, { tokens, start, sample, sampleRows: listed = false, parents }] of chunks.entries()) {
    const depth: number[] = []
    for (let t = 0; t < tokens.length; t++, row++) {
      depth.push(parents ? (parents[t]! < 0 ? 0 : depth[parents[t]!]! + 1) : t)
      const ends = sample && t === tokens.length - 1
      if (ends || listed || (wantLogits && allRows)) wanted.push({ row, chunk, position: start + depth[t]!, ends, listed })
    }
  }
  return wanted
}
