import { measured } from '$components/frame/measured'
import { percentile } from '$engine/trace/metrics'
import type { Quantity } from '$engine/trace/quantity'
import type { Trace } from '$engine/trace/trace'
import { TEXT_TOKENS, type Format, type PrecisionReading, type Row } from './experiment'

const TPOT = String.raw`\mathrm{TPOT} = \operatorname{median}(t_{i+1} - t_i)`
const SPEEDUP = String.raw`\frac{\mathrm{TPOT}_{\text{f32}}}{\mathrm{TPOT}}`
const CHANGE = String.raw`\frac{\text{bits per byte}}{\text{bits per byte in f32}} - 1`

export interface RowFindings {
  format: Format
  bytes?: Quantity
  tpot?: Quantity
  /** TPOT of f32 over this. */
  speedup?: Quantity
  /** Bytes of f32 over these. */
  smaller?: Quantity
  bitsPerByte?: Quantity
  /** Bits per byte against f32, %. */
  change?: Quantity
  /** Nats a token against f32. */
  divergence?: Quantity
  /** Tokens written before the first that differs from f32's text; all of them: none differs. */
  common?: Quantity
  same?: boolean
}

export function findings({ rows }: PrecisionReading): RowFindings[] {
  const exact = rows.find((r) => r.format === 'f32')!
  return rows.map((row) => ({ format: row.format, ...timing(row, exact), ...quality(row, exact), ...text(row, exact) }))
}

const median = (row: Row) => (row.gaps.length ? percentile(row.gaps, 50) : undefined)

function timing(row: Row, exact: Row): Partial<RowFindings> {
  const { trace } = row
  const tpot = median(row)
  if (!trace?.held || tpot === undefined) return {}
  const other = median(exact)
  return {
    bytes: measured(trace, 'weight_bytes', trace.held.weightBytes, 'bytes', { note: `${Math.round(trace.held.parameters / 1e6)} M parameters in ${row.format}, scales included` }),
    tpot: measured(trace, 'tpot', tpot, 'ms/token', { formula: TPOT, samples: row.gaps, note: `${row.gaps.length} decode steps in ${row.format}` }),
    speedup: other === undefined ? undefined : measured(trace, 'speedup', other / tpot, '×', { formula: SPEEDUP }),
    smaller: exact.trace?.held && measured(trace, 'smaller', exact.trace.held.weightBytes / trace.held.weightBytes, '×'),
  }
}

function quality({ quality: q, format }: Row, { quality: exact }: Row): Partial<RowFindings> {
  if (!q) return {}
  const known = { provenance: q.provenance, note: `${q.tokens} tokens of a passage of our own, tales-5m in ${format}` }
  return {
    bitsPerByte: { metric: 'bits_per_byte', value: q.bitsPerByte, unit: 'bits/byte', ...known },
    divergence: { metric: 'kl', value: q.divergence.kl, unit: 'nats/token', ...known, formula: String.raw`D_{\mathrm{KL}} = \textstyle\sum p \ln\frac{p}{q}` },
    change: exact && { metric: 'bits_per_byte_change', value: 100 * (q.bitsPerByte / exact.bitsPerByte - 1), unit: '%', ...known, formula: CHANGE },
  }
}

const outputOf = (trace: Trace) => trace.events.flatMap((e) => (e.kind === 'token' ? [e.token!] : []))

function text({ text: own }: Row, { text: exact }: Row): Partial<RowFindings> {
  if (!own || !exact) return {}
  const [a, b] = [outputOf(own), outputOf(exact)]
  const first = a.findIndex((id, i) => id !== b[i])
  const common = first < 0 ? a.length : first
  return { same: first < 0, common: measured(own, 'common_tokens', common, 'tok', { note: `of ${TEXT_TOKENS} greedy tokens, before the first that differs from f32` }) }
}
