import { paretoEdge } from '$components/charts/pareto'
import { FORMULAS, measured } from '$components/frame/measured'
import { percentile, perRequest } from '$engine/trace/metrics'
import type { Quantity } from '$engine/trace/quantity'
import type { Trace } from '$engine/trace/trace'
import { OUTPUT, PROMPT, type Choice, type TradeoffReading } from './experiment'

const SECONDS = String.raw`1000 \cdot \frac{\text{devices} \cdot \sum t_{\text{step}}}{\text{tokens out}}`
const DOLLARS = String.raw`\text{GPU-seconds} \cdot \frac{\$/\text{h}}{3600}`
const BITS = String.raw`\frac{-\sum \log_2 p(\text{token})}{\text{bytes of the text}}`

/** A model in a precision, as it stands between the three corners. */
export interface Place {
  /** "5m int8", "Llama-3.1-70B ×2 int4" */
  label: string
  choice: Choice
  /** At the reader's batch. */
  tpot: Quantity
  /** GPU-seconds for a thousand tokens out, prompts included. */
  seconds: Quantity
  /** The same in money. */
  dollars: Quantity
  bits?: Quantity
  /** Capability (bits a byte), cost ($), latency (ms a token): low is good in all three. NaN where not known. */
  values: [number, number, number]
  /** The same one at a time: where it stood before it was shared. */
  alone: [number, number, number]
}

export function places({ choices }: Pick<TradeoffReading, 'choices'>, price: number): Place[] {
  return choices.map((choice) => {
    const { together, quality, devices, format } = choice
    const trace = together[0]!
    const note = `${together.length > 1 ? `${together.length} runs, ` : ''}${trace.requests.length} × ${PROMPT} tokens in, ${OUTPUT} out${devices > 1 ? `, on ${devices} devices` : ''}`
    const now = timed(together, devices)
    const before = timed(choice.alone, devices)
    const bits = quality?.bitsPerByte
    return {
      label: labelOf(choice), choice,
      tpot: measured(trace, 'tpot', now.tpot, 'ms/token', { formula: FORMULAS.tpot, samples: now.tpots, note }),
      seconds: measured(trace, 'gpu_seconds_per_1k', now.seconds, 's', { formula: SECONDS, note }),
      dollars: measured(trace, 'cost_per_1k', costOf(now.seconds, price), '$', { formula: DOLLARS, note: `${note}; $${price} for an hour of a device` }),
      bits: quality && { metric: 'bits_per_byte', value: quality.bitsPerByte, unit: 'bits/byte', provenance: quality.provenance, formula: BITS, note: `${quality.tokens} tokens of a passage of our own, ${choice.model} in ${format}` },
      values: [bits ?? NaN, costOf(now.seconds, price), now.tpot],
      alone: [bits ?? NaN, costOf(before.seconds, price), before.tpot],
    }
  })
}

const costOf = (seconds: number, price: number) => (seconds * price) / 3600

/** "tales-5m" in the talk's own short form; who is large keeps the full name. */
const labelOf = ({ model, format, devices }: Choice) => `${model.replace(/^tales-/, '')}${devices > 1 ? ` ×${devices}` : ''} ${format}`

/** Over all runs: the median time per token, and the median device time for a thousand tokens. */
function timed(runs: readonly Trace[], devices: number): { tpot: number; tpots: number[]; seconds: number } {
  const tpots = runs.flatMap((r) => perRequest(r).flatMap((m) => m.tpot ?? []))
  const seconds = runs.map((r) => {
    const ms = r.steps.reduce((s, step) => s + step.duration, 0)
    // Milliseconds a token are seconds a thousand tokens.
    return (devices * ms) / r.events.filter((e) => e.kind === 'token').length
  })
  return { tpot: percentile(tpots, 50), tpots, seconds: percentile(seconds, 50) }
}

export interface Findings {
  /** Nobody beats these, from the most capable to the least. Where capability is not known there is no edge: each model at its cheapest. */
  listed: Place[]
  /** Everything shown. */
  shown: Place[]
  capable?: Place
  cheapest: Place
  quickest: Place
  /** How much more the most capable costs than the cheapest, and how much longer its tokens take than the quickest's. */
  dearer?: Quantity
  slower?: Quantity
  /** Shown ones that another beats: no worse in any of the three, better in one. */
  beaten: number
}

export function findings(all: readonly Place[], precision: 'all' | Choice['format']): Findings | undefined {
  const shown = all.filter((p) => precision === 'all' || p.choice.format === precision)
  if (shown.length === 0) return undefined
  const least = (of: (p: Place) => number) => shown.reduce((a, b) => (of(b) < of(a) ? b : a))
  const withBits = shown.every((p) => p.bits)
  const edge = paretoEdge(shown.map((p) => p.values), ['low', 'low', 'low']).map((i) => shown[i]!).sort((a, b) => a.values[0] - b.values[0])
  const capable = withBits ? least((p) => p.values[0]) : undefined
  const [cheapest, quickest] = [least((p) => p.values[1]), least((p) => p.values[2])]
  return {
    listed: withBits ? edge : cheapestOfEach(shown), shown, capable, cheapest, quickest,
    dearer: capable && ratio('dearer', capable.dollars, cheapest.dollars, String.raw`\frac{\$_{\text{most capable}}}{\$_{\text{cheapest}}}`),
    slower: capable && ratio('slower', capable.tpot, quickest.tpot, String.raw`\frac{\mathrm{TPOT}_{\text{most capable}}}{\mathrm{TPOT}_{\text{quickest}}}`),
    beaten: withBits ? shown.length - edge.length : 0,
  }
}

function cheapestOfEach(shown: readonly Place[]): Place[] {
  const best = new Map<string, Place>()
  for (const p of shown) {
    const { model } = p.choice
    const other = best.get(model)
    if (!other || p.values[1] < other.values[1]) best.set(model, p)
  }
  return [...best.values()].sort((a, b) => b.values[1] - a.values[1])
}

const ratio = (metric: string, a: Quantity, b: Quantity, formula: string): Quantity => ({ metric, value: a.value / b.value, unit: '×', provenance: a.provenance, formula })

/** What sharing did to one of them: cost and time per token at the reader's batch over alone. */
export function shared({ values, alone, dollars, tpot }: Place): { cost: Quantity; wait: Quantity } {
  const of = (metric: string, d: 1 | 2, from: Quantity): Quantity => ({ metric, value: values[d] / alone[d], unit: '×', provenance: from.provenance, formula: String.raw`\frac{\text{at this batch}}{\text{alone}}` })
  return { cost: of('cost_over_alone', 1, dollars), wait: of('tpot_over_alone', 2, tpot) }
}
