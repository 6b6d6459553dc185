import plainCard from '$assets/models/tales-1m/README.md?raw'
import distilledCard from '$assets/models/tales-1m-distilled/README.md?raw'
import smallestCard from '$assets/models/tales-0.3m/README.md?raw'
import largestCard from '$assets/models/tales-5m/README.md?raw'
import { measured } from '$components/frame/measured'
import { percentile } from '$engine/trace/metrics'
import type { Quantity } from '$engine/trace/quantity'
import type { CascadeCase, Cascaded } from '$engine/worker/protocol'
import { MMLU, MMLU_PROVENANCE } from '../mmlu'
import type { Rung, SimulatedCascade, SmallerReading } from './experiment'

const CARDS: Record<string, string> = { 'tales-0.3m': smallestCard, 'tales-1m': plainCard, 'tales-1m-distilled': distilledCard, 'tales-5m': largestCard }

/** Million tokens that a model was trained on, as its card says; undefined for models that are not shipped. */
export function trainedOn(model: string): Quantity | undefined {
  const found = /^([\d.]+) million tokens/m.exec(CARDS[model] ?? '')
  if (!found) return undefined
  return { metric: 'trained_tokens', value: Number(found[1]), unit: 'M tok', provenance: { how: 'published', source: `model card of ${model}`, conditions: 'tokens seen in training, repeats included' } }
}

export interface RungFindings {
  label: string
  model: string
  ttft: Quantity
  tpot: Quantity
  rate: Quantity
  /** Bits per byte here, a test's score in the datacentre. */
  quality?: Quantity
  /** Time per thousand characters of its text. */
  per1k?: Quantity
  trained?: Quantity
}

/** What the runs of each model come to. */
export const ladder = (rungs: readonly Rung[]): RungFindings[] => rungs.map(rungOf)

function rungOf({ label, model, ttfts, gaps, trace, quality }: Rung): RungFindings {
  const tpot = percentile(gaps, 50)
  const score = MMLU[model]
  return {
    label, model,
    ttft: measured(trace, 'ttft', percentile(ttfts, 50), 'ms', { samples: ttfts }),
    tpot: measured(trace, 'tpot', tpot, 'ms/token', { samples: gaps }),
    rate: measured(trace, 'decode_rate', 1000 / tpot, 'tok/s'),
    quality: quality
      ? { metric: 'bits_per_byte', value: quality.bitsPerByte, unit: 'bits/byte', provenance: quality.provenance, note: `${quality.bytes} bytes of a passage that no model was trained on` }
      : score === undefined ? undefined : { metric: 'mmlu', value: score, unit: '%', provenance: MMLU_PROVENANCE },
    per1k: quality && measured(trace, 'ms_per_1k_chars', (1000 * tpot * quality.tokens) / quality.bytes, 'ms/1k chars', { formula: String.raw`1000 \cdot \mathrm{TPOT} \cdot \frac{\text{tokens}}{\text{characters}}` }),
    trained: trainedOn(model),
  }
}

/** One threshold's cascade, or router. */
export interface Passed {
  /** Share of answers that the large model gives, 0 … 1. */
  share: number
  /** Mean time of an answer, ms, and bits per byte of what really came next. */
  ms: number
  bits: number
}

const mean = (list: readonly number[]) => list.reduce((a, b) => a + b, 0) / list.length
const bitsPerByte = (cases: readonly CascadeCase[], large: (c: CascadeCase) => boolean) =>
  cases.reduce((s, c) => s + (large(c) ? c.bits.large : c.bits.small), 0) / cases.reduce((s, c) => s + c.bytes, 0)

/** The cascade at a threshold: an answer of which the small model is less sure is given up once it is judged, and the large one begins anew. */
export function cascadeAt({ cases }: Pick<Cascaded, 'cases'>, threshold: number): Passed {
  const passes = (c: CascadeCase) => c.small.confidence < threshold
  return {
    share: cases.filter(passes).length / cases.length,
    ms: mean(cases.map((c) => (passes(c) ? c.small.judgedMs + c.large.ms : c.small.ms))),
    bits: bitsPerByte(cases, passes),
  }
}

/** A router that passes on as many, those whose prompts the small model was least sure of: it decides sooner, and knows less. */
export function routerAt({ cases }: Pick<Cascaded, 'cases'>, share: number): Passed {
  const passed = new Set([...cases].sort((a, b) => a.router.confidence - b.router.confidence).slice(0, Math.round(share * cases.length)))
  return {
    share: passed.size / cases.length,
    ms: mean(cases.map((c) => c.router.ms + (passed.has(c) ? c.large.ms : c.small.ms))),
    bits: bitsPerByte(cases, (c) => passed.has(c)),
  }
}

/** Every cascade there is, ascending in what is passed on: from the one that keeps all answers, each threshold the least that passes on one more. */
export function allCascades(cascaded: Cascaded): (Passed & { threshold: number })[] {
  const thresholds = [...new Set(cascaded.cases.map((c) => c.small.confidence))].sort((a, b) => a - b)
  return [...thresholds, 1].map((threshold) => ({ threshold, ...cascadeAt(cascaded, threshold) }))
}

export interface CascadeFindings {
  escalated: Quantity
  /** Mean time of an answer, of one by the large model alone, and what is saved of that, %; negative where all is paid twice. */
  answer: Quantity
  alone: Quantity
  saved: Quantity
  /** Bits per byte of the cascade's answers against the large model's alone, %. */
  worse: Quantity
  /** Until the router has decided, and until the cascade has. */
  router: Quantity
  judged: Quantity
  /** Share of what the small model loses in quality that the cascade wins back, and the router with as many passed on; undefined where nothing is lost, or nothing passed on. */
  regained?: { cascade: Quantity; router: Quantity }
}

/** What a threshold comes to on the pieces answered so far; undefined before the first. */
export function cascadeFindings(cascaded: Cascaded | undefined, threshold: number): CascadeFindings | undefined {
  if (!cascaded?.cases.length) return undefined
  const { cases, provenance } = cascaded
  const known = { provenance, note: `${cases.length} pieces of a passage, ${cascaded.promptTokens} tokens read and up to ${cascaded.answerTokens} written: ${cascaded.small} first, ${cascaded.large} where it is unsure` }
  const q = (metric: string, value: number, unit: Quantity['unit'], more: Partial<Quantity> = {}): Quantity => ({ metric, value, unit, ...known, ...more })
  const at = cascadeAt(cascaded, threshold)
  const [none, all] = [cascadeAt(cascaded, 0), cascadeAt(cascaded, 2)]
  const alone = mean(cases.map((c) => c.large.ms))
  const back = (bits: number) => (100 * (none.bits - bits)) / (none.bits - all.bits)
  const between = at.share > 0 && at.share < 1 && none.bits > all.bits
  const REGAINED = String.raw`\frac{b_{\text{small}} - b}{b_{\text{small}} - b_{\text{large}}}`
  return {
    escalated: q('escalation_rate', 100 * at.share, '%', { formula: String.raw`\frac{\text{answers with confidence} < \theta}{\text{answers}}` }),
    answer: q('answer_ms', at.ms, 'ms', { formula: ANSWER }),
    alone: q('large_alone_ms', alone, 'ms', { samples: cases.map((c) => c.large.ms) }),
    saved: q('saved', 100 * (1 - at.ms / alone), '%', { formula: String.raw`1 - \frac{\overline{t}_{\text{cascade}}}{\overline{t}_{\text{large}}}` }),
    worse: q('bits_per_byte_change', 100 * (at.bits / all.bits - 1), '%', { formula: String.raw`\frac{b_{\text{cascade}}}{b_{\text{large}}} - 1` }),
    router: q('router_ms', mean(cases.map((c) => c.router.ms)), 'ms', { samples: cases.map((c) => c.router.ms) }),
    judged: q('judged_ms', mean(cases.map((c) => c.small.judgedMs)), 'ms', { samples: cases.map((c) => c.small.judgedMs) }),
    regained: between ? { cascade: q('regained', back(at.bits), '%', { formula: REGAINED }), router: q('router_regained', back(routerAt(cascaded, at.share).bits), '%', { formula: REGAINED }) } : undefined,
  }
}

export const ANSWER = String.raw`\overline{t} = (1-e)\,t_{\text{small}} + e\,(t_{\text{judged}} + t_{\text{large}})`

/** Two pieces to look at: the one that the small model was most sure of, and the one it was least sure of. */
export function extremes({ cases }: Cascaded): [CascadeCase, CascadeCase] {
  const sorted = [...cases].sort((a, b) => b.small.confidence - a.small.confidence)
  return [sorted[0]!, sorted.at(-1)!]
}

/** How the same size came out when it was taught by the large model: bits per byte against plain training, %; undefined until both were read. */
export function distilled({ rungs }: SmallerReading): Quantity | undefined {
  const of = (model: string) => rungs.find((r) => r.model === model)?.quality
  const [taught, plain] = [of('tales-1m-distilled'), of('tales-1m')]
  if (!taught || !plain) return undefined
  return {
    metric: 'distilled_change', value: 100 * (taught.bitsPerByte / plain.bitsPerByte - 1), unit: '%', provenance: taught.provenance,
    formula: String.raw`\frac{b_{\text{taught}}}{b_{\text{plain}}} - 1`, note: `${taught.bitsPerByte.toFixed(3)} and ${plain.bitsPerByte.toFixed(3)} bits per byte, ${taught.bytes} bytes that neither was trained on`,
  }
}

/** How much sooner the smaller of two has its first token and each one after it. */
export function faster(small: RungFindings | undefined, large: RungFindings | undefined): { ttft: Quantity; tpot: Quantity } | undefined {
  if (!small || !large || small === large) return undefined
  const of = (metric: 'ttft' | 'tpot'): Quantity => ({ ...small[metric], metric: `${metric}_speedup`, value: large[metric].value / small[metric].value, unit: '×', samples: undefined, formula: String.raw`\frac{\text{${large.label}}}{\text{${small.label}}}` })
  return { ttft: of('ttft'), tpot: of('tpot') }
}

/** What the simulated cascade comes to when such a share (0 … 1) is passed on, between the two shares that were simulated. */
export function simulatedAt(simulated: SimulatedCascade, share: number): { afterAnswer: Quantity; upFront: Quantity; alone: Quantity; saved: Quantity } {
  const { afterAnswer, upFront, alone, provenance } = simulated
  const at = (points: SimulatedCascade['afterAnswer']) => {
    const above = Math.max(1, points.findIndex((p) => p.x >= share))
    const [a, b] = [points[above - 1]!, points[above]!]
    return a.summary.e2e_ms!.mean + ((b.summary.e2e_ms!.mean - a.summary.e2e_ms!.mean) * (share - a.x)) / (b.x - a.x)
  }
  const q = (metric: string, value: number, unit: Quantity['unit'] = 'ms'): Quantity => ({ metric, value, unit, provenance, note: `${simulated.small} first, ${simulated.large} for ${Math.round(100 * share)} % of the requests, nobody waiting` })
  const large = alone.summary.e2e_ms!.mean
  return { afterAnswer: q('answer_ms', at(afterAnswer)), upFront: q('routed_ms', at(upFront)), alone: q('large_alone_ms', large), saved: q('saved', 100 * (1 - at(afterAnswer) / large), '%') }
}
