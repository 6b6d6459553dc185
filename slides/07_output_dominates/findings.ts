import { measured, ofRequest } from '$components/frame/measured'
import type { Quantity } from '$engine/trace/quantity'
import type { Trace } from '$engine/trace/trace'
import { e2eOf, exchangeOf, INPUTS, OUTPUTS, type OutputReading } from './experiment'

const SHARE = String.raw`\frac{\mathrm{E2E} - \mathrm{TTFT}}{\mathrm{E2E}}`
const EXCHANGE = String.raw`\frac{\mathrm{TPOT} / \text{batch}}{t_{\text{prefill}} / N_{\text{in}}}`

export interface Findings {
  e2e: Quantity
  ttft: Quantity
  tpot?: Quantity
  rate?: Quantity
  /** Decode's share of the end-to-end time, %. */
  share: Quantity
  /** Once the prompt alone was served. */
  exchange?: Quantity
}

/** Of the reader's own request; undefined until it is done. */
export function findings({ trace, prefill }: OutputReading, batch: number): Findings | undefined {
  const id = trace.requests.length - 1
  const own = ofRequest(trace, id)
  if (!own) return undefined
  const alone = prefill && ofRequest(prefill, 0)
  const input = trace.requests[id]!.promptTokens
  return {
    ...own,
    share: measured(trace, 'decode_share', (100 * (own.e2e.value - own.ttft.value)) / own.e2e.value, '%', { formula: SHARE }),
    exchange: own.tpot && alone && measured(trace, 'exchange_rate', exchangeOf(own.tpot.value, batch, alone.ttft.value, input), '', { formula: EXCHANGE, note: `${input} tokens prefilled alone; ${batch} decoding together` }),
  }
}

export interface Point {
  x: number
  y: number
}

/** E2E by how long the answer has become, off one run: every token is the end of a shorter answer. */
export function byOutput(trace: Trace): Point[] {
  const id = trace.requests.length - 1
  const { arrival } = trace.requests[id]!
  const times = trace.events.filter((e) => e.kind === 'token' && e.request === id).map((e) => e.t - arrival)
  const marks = new Set([...OUTPUTS.filter((n) => n <= times.length), ...Array.from({ length: 9 }, (_, i) => Math.round((times.length * (i + 1)) / 9))])
  return [...marks].filter((n) => n >= 1 && n <= times.length).sort((a, b) => a - b).map((n) => ({ x: n, y: times[n - 1]! }))
}

export const byInput = ({ inputs }: OutputReading): Point[] => inputs.map((p) => ({ x: p.input, y: p.e2e }))

/** The same two by step costs. */
export function costed({ rows }: OutputReading, input: number, output: number): { out: Point[]; in: Point[] } {
  const own = rows.find((r) => r.input === input)
  return {
    out: own ? OUTPUTS.map((n) => ({ x: n, y: e2eOf(own, n) })) : [],
    in: rows.map((row) => ({ x: row.input, y: e2eOf(row, output) })),
  }
}

/** Share of decode, %, by output (rows) and input (columns). */
export function shares({ rows }: OutputReading): (number | null)[][] {
  return OUTPUTS.map((output) => INPUTS.map((input) => {
    const row = rows.find((r) => r.input === input)
    if (!row) return null
    const e2e = e2eOf(row, output)
    return (100 * (e2e - row.ttft)) / e2e
  }))
}

export interface Doubled {
  /** What twice the answer, and twice the prompt, add to the end-to-end time, %. */
  output: Quantity
  input: Quantity
}

/** By step costs; undefined until they are there, and where the table ends. */
export function doubled(reading: OutputReading, input: number, output: number): Doubled | undefined {
  const { rows, trace, costs } = reading
  const [own, longer] = [rows.find((r) => r.input === input), rows.find((r) => r.input === 2 * input)]
  if (!own || !longer || !costs) return undefined
  const base = e2eOf(own, output)
  const more = (metric: string, value: number, formula: string): Quantity => ({ ...measured(trace, metric, value, '%', { formula }), provenance: costs, note: `${input} tokens in, ${output} out, by step costs` })
  return {
    output: more('twice_output', 100 * (e2eOf(own, 2 * output) / base - 1), String.raw`\frac{\mathrm{E2E}(2 N_{\text{out}})}{\mathrm{E2E}} - 1`),
    input: more('twice_input', 100 * (e2eOf(longer, output) / base - 1), String.raw`\frac{\mathrm{E2E}(2 N_{\text{in}})}{\mathrm{E2E}} - 1`),
  }
}
