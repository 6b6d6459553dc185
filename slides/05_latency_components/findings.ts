import { byPhase, measured, ofRequest, sums, typical } from '$components/frame/measured'
import { readRate, roofline, stepAttribution, utilisation } from '$engine/trace/bottleneck'
import type { Provenance } from '$engine/trace/provenance'
import type { Quantity } from '$engine/trace/quantity'
import type { Roofs, Step, Trace } from '$engine/trace/trace'

export type Bound = 'compute' | 'memory' | 'overhead'

/** One phase of the run, all its steps together. */
export interface Phase {
  bound: Bound
  ms: Quantity
  mfu: Quantity
  mbu: Quantity
  /** FLOP/byte */
  intensity: Quantity
}

export interface Findings {
  prefill: Phase
  decode: Phase
  ttft?: Quantity
  tpot?: Quantity
  rate?: Quantity
  /** Input tokens that take as long as one output token. */
  exchange?: Quantity
  /** FLOP/byte at which arithmetic takes over from reading, at decode's working set. */
  ridge: Quantity
}

const INTENSITY = String.raw`\text{intensity} = \frac{\text{FLOPs}}{\text{bytes}}`
const MFU = String.raw`\mathrm{MFU} = \frac{\text{FLOPs}}{t \cdot \text{peak}}`
const MBU = String.raw`\mathrm{MBU} = \frac{\text{bytes}}{t \cdot \text{bandwidth}}`
const RIDGE = String.raw`\text{ridge} = \frac{\text{peak}}{\text{bandwidth}}`
const EXCHANGE = String.raw`\frac{\mathrm{TPOT}}{t_{\text{prefill}} / N_{\text{in}}}`

export interface Dot {
  label: 'prefill' | 'decode'
  tone: 'prefill' | 'decode'
  /** FLOP/byte */
  intensity: number
  /** FLOP/s */
  rate: number
  provenance: Provenance
}

/** Where the phases stand on the roofline by the steps taken so far: they move while the run goes on. */
export function dots(trace: Trace): Dot[] {
  const steps = byPhase(trace)
  return (['prefill', 'decode'] as const).flatMap((label) => {
    const { ms, flops, bytes } = sums(steps[label])
    return ms > 0 ? [{ label, tone: label, intensity: flops / bytes, rate: (flops / ms) * 1000, provenance: trace.provenance }] : []
  })
}

/** This much above its roof a dot is no noise: the roof was measured too low. */
const TOO_FAST = 1.1

/** Whether the run was faster than this device can be by its own calibration, which then met a busy moment. */
export function aboveRoof(trace: Trace): boolean {
  const { roofs } = trace
  if (!roofs) return false
  return Object.values(byPhase(trace)).some((steps) => {
    const least = steps.reduce((ms, s) => ms + roofline(roofs, s.flops, s.bytes, s.workingSet).ms, 0)
    return least > TOO_FAST * sums(steps).ms
  })
}

/** What a finished run on the timing model says; undefined without roofs to judge it by, or without both phases. */
export function findings(trace: Trace): Findings | undefined {
  const { roofs } = trace
  const steps = byPhase(trace)
  if (!roofs || steps.prefill.length === 0 || steps.decode.length === 0) return undefined
  const one = trace.requests.length === 1 ? ofRequest(trace, trace.requests[0]!.id) : undefined
  const { ttft, tpot, rate } = one ?? typical(trace)
  const prefill = phase(trace, steps.prefill, roofs, 'prefill_ms')
  const decode = phase(trace, steps.decode, roofs, 'decode_ms')
  const promptTokens = trace.requests.reduce((n, r) => n + r.promptTokens, 0)
  const workingSet = Math.max(...steps.decode.map((s) => s.workingSet))
  return {
    prefill, decode, ttft, tpot, rate,
    exchange: tpot && measured(trace, 'exchange_rate', tpot.value / (prefill.ms.value / promptTokens), '', { formula: EXCHANGE }),
    ridge: measured(trace, 'ridge', roofs.flopsPerSecond / readRate(roofs, workingSet), 'FLOP/byte', { formula: RIDGE }),
  }
}

function phase(trace: Trace, steps: readonly Step[], roofs: Roofs, metric: 'prefill_ms' | 'decode_ms'): Phase {
  const { ms, flops, bytes } = sums(steps)
  const { mbu, mfu } = utilisation(steps, roofs)
  return {
    bound: boundOf(steps, roofs),
    ms: measured(trace, metric, ms, 'ms'),
    mfu: measured(trace, 'mfu', 100 * mfu, '%', { formula: MFU }),
    mbu: measured(trace, 'mbu', 100 * mbu, '%', { formula: MBU }),
    intensity: measured(trace, 'intensity', flops / bytes, 'FLOP/byte', { formula: INTENSITY }),
  }
}

/** Which of the three took most of these steps' time (DESIGN, "Bottleneck, derived"). */
function boundOf(steps: readonly Step[], roofs: Roofs): Bound {
  const ms: Record<Bound, number> = { compute: 0, memory: 0, overhead: 0 }
  for (const step of steps) {
    const { bound, bindingMs, overheadMs } = stepAttribution(step, roofs)
    ms[bound] += bindingMs
    ms.overhead += overheadMs
  }
  return (Object.keys(ms) as Bound[]).reduce((a, b) => (ms[b] > ms[a] ? b : a))
}
