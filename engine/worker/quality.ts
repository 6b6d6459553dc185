import { bitsPerByte, divergence } from '../measure/quality'
import type { LoadedModel } from '../model/load'
import { quantize, storedMatrix } from '../model/quantize'
import { layerShape, type Weights } from '../model/weights'
import { BLOCK_SIZE, type Runner, type WeightPrecision } from '../runner/runner'
import type { WeightHistogram } from './protocol'

/** Logits after each token of a text but the last, and the ids that followed. */
export interface Read {
  /** (T, vocab) */
  logits: Float32Array
  ids: number[]
  bytes: number
}

/** Reads as much of a text as the model was trained to hold, after an end-of-text token. `runner` needs blocks for it. */
export async function read({ model, tokenizer }: LoadedModel, text: string, runner: Runner, signal?: AbortSignal): Promise<Read> {
  const { vocabSize, maxPositions } = model.config
  const encoded = tokenizer.encode(text)
  const most = Math.min(model.trainedContext || maxPositions, maxPositions, runner.limits.blocks * BLOCK_SIZE)
  const ids = (tokenizer.endOfText >= 0 ? [tokenizer.endOfText, ...encoded] : encoded).slice(0, most)
  const blockTable = Int32Array.from({ length: Math.ceil(ids.length / BLOCK_SIZE) }, (_, i) => i)
  const logits = new Float32Array((ids.length - 1) * vocabSize)
  for (let at = 0; at < ids.length - 1;) {
    signal?.throwIfAborted()
    const tokens = Int32Array.from(ids.slice(at, Math.min(at + runner.limits.tokens, ids.length - 1)))
    const result = await runner.run({ chunks: [{ request: 0, tokens, start: at, blockTable, sample: false }], wantLogits: true, allRows: true })
    logits.set(result.logits!, at * vocabSize)
    at += tokens.length
  }
  runner.release?.(0)
  return { logits, ids: ids.slice(1), bytes: new TextEncoder().encode(tokenizer.decode(ids.slice(1))).length }
}

/** What `other` makes of the text that `exact` read too. */
export function compared(exact: Read, other: Read, vocab: number) {
  return { tokens: other.ids.length, bytes: other.bytes, bitsPerByte: bitsPerByte(other.logits, other.ids, vocab, other.bytes), divergence: divergence(exact.logits, other.logits, vocab) }
}

/** Columns a whole code is wide, so that what lies between codes is seen. */
const COLUMNS_A_CODE = { int4: 8, int8: 1 }
const COLUMNS = 128

/** The gate matrix of a middle layer, as trained and as stored. */
export function weightHistogram({ layers }: Weights, { config }: LoadedModel['model'], precision: WeightPrecision): WeightHistogram {
  const layer = layers.length >> 1
  const matrix = layers[layer]!.gate
  const cols = layerShape(config, 'gate')[1]
  const of = `layer ${layer}, gate`
  const { format } = precision
  if (format === 'int8' || format === 'int4') {
    const { codes, scales, group } = quantize(matrix, cols, { ...precision, asymmetric: false })
    const half = format === 'int8' ? 128 : 8
    const count = 2 * half * COLUMNS_A_CODE[format]
    const perRow = Math.ceil(cols / group)
    const steps = matrix.map((w, i) => {
      const scale = scales[Math.floor(i / cols) * perRow + Math.floor((i % cols) / group)]!
      return scale > 0 ? w / scale : 0
    })
    return { of, unit: 'step', from: -half, to: half, before: counts(steps, -half, half, count), after: counts(codes, -half, half, count) }
  }
  const reach = matrix.reduce((most, w) => Math.max(most, Math.abs(w)), 0)
  return { of, unit: 'value', from: -reach, to: reach, before: counts(matrix, -reach, reach, COLUMNS), after: counts(storedMatrix(matrix, cols, precision), -reach, reach, COLUMNS) }
}

/** Values counted into `count` equal columns; a column holds what is nearest to its middle. */
function counts(values: ArrayLike<number>, from: number, to: number, count: number): number[] {
  const found = new Array<number>(count).fill(0)
  const width = (to - from) / count
  for (let i = 0; i < values.length; i++) found[Math.min(Math.max(Math.round((values[i]! - from) / width), 0), count - 1)]!++
  return found
}
