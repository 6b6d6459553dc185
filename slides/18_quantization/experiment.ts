import prompts from '$assets/models/prompts.json'
import { choice, define, type Values } from '$components/controls/params'
import type { Context, Reading } from '$components/frame/experiment'
import { perRequest } from '$engine/trace/metrics'
import type { Trace } from '$engine/trace/trace'
import type { Quality, Workload } from '$engine/worker/protocol'

export const FORMATS = ['f32', 'f16', 'int8', 'int4'] as const
export type Format = (typeof FORMATS)[number]

export const params = define({
  precision: choice({ options: FORMATS, default: 'int8', label: 'Precision', tone: 'decode', hint: 'How each weight is stored.' }),
  group: choice({ options: ['32', '64', '128'], default: '64', label: 'Group', hint: 'Weights that share a scale: int8 and int4 only.' }),
})

/** Decode steps timed of each format, twice over so that a busy moment does not hit one format alone. */
const STEPS = 24
const ROUNDS = 2
/** Tokens of the text that is written in both precisions. */
export const TEXT_TOKENS = 48
const MODEL = 'tales-5m'

/** What is known of one format so far. */
export interface Row {
  format: Format
  /** Gaps between tokens on the timing model, ms. */
  gaps: number[]
  /** The last run on the timing model: how its numbers are known, what it held. */
  trace?: Trace
  quality?: Quality
  /** The shown prompt continued in this format. */
  text?: Trace
}

export interface PrecisionReading extends Reading {
  /** In the order of FORMATS. */
  rows: Row[]
}

/**
 * Every format on the timing model for time and bytes; on the trained model for what it does to the text: the
 * reader's own first, f32 to compare with, then the others. Through another machine's lens there are times only: it has read no text.
 */
export async function* run(p: Values<typeof params>, { engine, signal, lens = 'here' }: Context): AsyncGenerator<PrecisionReading> {
  const rows = new Map<Format, Row>(FORMATS.map((format) => [format, { format, gaps: [] }]))
  const order = [...new Set<Format>([p.precision, 'f32', ...FORMATS])]
  const weights = (format: Format): Workload['weights'] => ({ format, ...(format.startsWith('int') ? { group: Number(p.group) as 32 | 64 | 128 } : {}) })
  const reading = (complete: boolean): PrecisionReading => ({ trace: rows.get(order[0]!)!.trace!, rows: FORMATS.map((f) => ({ ...rows.get(f)! })), complete })

  for (let round = 0; round < ROUNDS; round++) {
    for (const format of order) {
      const row = rows.get(format)!
      row.trace = await engine.serve({ model: 'timing', weights: weights(format), requests: [{ prompt: 16, maxTokens: STEPS + 1, ignoreEos: true }] }, { signal })
      row.gaps = [...row.gaps, ...perRequest(row.trace).flatMap((r) => r.itl)]
      yield reading(false)
    }
  }
  if (lens === 'here') {
    for (const format of order) {
      const row = rows.get(format)!
      row.text = await engine.serve({ model: MODEL, weights: weights(format), requests: [{ prompt: prompts[0]!.text, maxTokens: TEXT_TOKENS, ignoreEos: true }] }, { signal })
      yield reading(false)
    }
    for (const format of order) {
      rows.get(format)!.quality = await engine.quality({ model: MODEL, weights: weights(format) }, { signal })
      yield reading(false)
    }
  }
  yield reading(true)
}
