import { measured, typical } from '$components/frame/measured'
import { activeParameters, modelSpec, touchedParameters, type ModelSpec } from '$engine/cost/models'
import { stepAttribution, type Attribution } from '$engine/trace/bottleneck'
import { percentile } from '$engine/trace/metrics'
import type { Provenance } from '$engine/trace/provenance'
import type { Quantity } from '$engine/trace/quantity'
import { EXPERTS, type MixtureReading, type Timed } from './experiment'
import { decodeSteps, readIfEven, together } from './routes'

const READ = String.raw`\overline{\left|\textstyle\bigcup_{i=1}^{n} \text{experts of token } i\right|}`
export const EVEN = String.raw`8\left(1 - \left(1 - \tfrac{k}{8}\right)^{n}\right)`
const against = (what: string) => String.raw`\frac{\text{${what}}_{k=8}}{\text{${what}}_{k}}`

export interface Findings {
  rate?: Quantity
  /** Experts a layer that a step reads, and how many it would be if all were as likely. */
  read?: Quantity
  even: Quantity
  /** Of a step of the timing model. */
  stepMs?: Quantity
  stepBytes?: Quantity
  weightBytes?: Quantity
  /** All eight experts over the reader's number: time, bytes moved, operations. */
  speedup?: Quantity
  bytesSaved?: Quantity
  flopsSaved?: Quantity
}

const mean = (list: readonly number[]) => list.reduce((a, b) => a + b, 0) / list.length
export const stepTime = (timed: Timed) => percentile(timed.steps, 50)

/** What the readings so far say about `topK` experts a token. */
export function findings({ trace, timed }: MixtureReading, topK: number): Findings {
  const steps = decodeSteps(trace)
  const batch = together(trace)
  const counts = steps.flatMap((s) => (s.experts ? [(EXPERTS * s.experts.touched) / s.experts.total] : []))
  return {
    rate: typical(trace).rate,
    read: counts.length ? measured(trace, 'experts_read', mean(counts), '', { formula: READ, samples: counts, note: `experts a layer, ${counts.length} decode steps of ${batch}` }) : undefined,
    even: { metric: 'experts_if_even', value: readIfEven(EXPERTS, topK, batch), unit: '', formula: EVEN, provenance: { how: 'modelled', hardware: 'any', model: 'even routing' } },
    ...timing(timed, topK),
  }
}

function timing(timed: readonly Timed[], topK: number): Partial<Findings> {
  const own = timed.find((t) => t.topK === topK)
  const all = timed.find((t) => t.topK === EXPERTS)
  if (!own?.steps.length || !own.trace.held) return {}
  const per = (t: Timed, of: 'bytes' | 'flops') => mean(decodeSteps(t.trace).map((s) => s[of]))
  return {
    stepMs: measured(own.trace, 'step_ms', stepTime(own), 'ms', { samples: own.steps, note: `decode steps of ${together(own.trace)}, ${topK} of ${EXPERTS} experts a token` }),
    stepBytes: measured(own.trace, 'step_bytes', per(own, 'bytes'), 'bytes', { note: 'weights that were read once, cache and activations' }),
    weightBytes: measured(own.trace, 'weight_bytes', own.trace.held.weightBytes, 'bytes'),
    ...(all?.steps.length
      ? {
          speedup: measured(own.trace, 'speedup', stepTime(all) / stepTime(own), '×', { formula: against('time') }),
          bytesSaved: measured(own.trace, 'bytes_saved', per(all, 'bytes') / per(own, 'bytes'), '×', { formula: against('bytes') }),
          flopsSaved: measured(own.trace, 'flops_saved', per(all, 'flops') / per(own, 'flops'), '×', { formula: against('FLOPs') }),
        }
      : {}),
  }
}

/** Where the time of the decode steps went; the few steps before them are not what the slide is about. Undefined without roofs. */
export function decodeBound({ trace }: Timed): Attribution | undefined {
  const { roofs } = trace
  if (!roofs) return undefined
  const sum: Attribution = { compute: 0, memory: 0, queue: 0, network: 0, overhead: 0 }
  for (const step of decodeSteps(trace)) {
    const { bound, bindingMs, overheadMs } = stepAttribution(step, roofs)
    sum[bound] += bindingMs
    sum.overhead += overheadMs
  }
  return sum
}

export const SERVED = modelSpec('mixtral-8x7b')

/** A catalogue mixture with another number of experts a token: what a step of `batch` tokens reads of its layers, and what each token meets, %. */
export function served(topK: number, batch: number, model: ModelSpec = SERVED): { read: Quantity; met: Quantity } {
  const m: ModelSpec = { ...model, moe: { ...model.moe!, active: topK } }
  const whole = activeParameters({ ...m, moe: { ...m.moe!, active: m.moe!.experts } })
  const provenance: Provenance = { how: 'modelled', hardware: 'any', model: model.label }
  return {
    read: { metric: 'weights_read', value: (100 * touchedParameters(m, batch)) / whole, unit: '%', provenance, formula: String.raw`\frac{\text{attention} + 8(1-(1-k/8)^n)\ \text{experts}}{\text{attention} + 8\ \text{experts}}`, note: 'routing taken as even' },
    met: { metric: 'weights_met', value: (100 * activeParameters(m)) / whole, unit: '%', provenance, formula: String.raw`\frac{\text{attention} + k\ \text{experts}}{\text{attention} + 8\ \text{experts}}` },
  }
}
