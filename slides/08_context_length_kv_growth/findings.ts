import { measured } from '$components/frame/measured'
import { HARDWARE, type Hardware } from '$engine/cost/hardware'
import { kvBytesPerToken, totalParameters, type ModelSpec } from '$engine/cost/models'
import type { Provenance } from '$engine/trace/provenance'
import type { Quantity } from '$engine/trace/quantity'
import type { ContextReading } from './experiment'

const KV = String.raw`\text{KV bytes} = 2 \cdot \text{layers} \cdot h_{kv} \cdot d_{\text{head}} \cdot \text{bytes} \cdot \textstyle\sum \text{context}`
const TPOT = String.raw`\mathrm{TPOT} = \operatorname{median}(t_{i+1} - t_i)`
const CROSSOVER = String.raw`\frac{\text{weight bytes}}{\text{batch} \cdot \text{KV bytes per token}}`
const SLOPE = String.raw`\frac{\mathrm{TPOT}_{\text{longest}} - \mathrm{TPOT}_{\text{shortest}}}{\text{longest} - \text{shortest}} \cdot 1000`

export interface Findings {
  /** At the reader's own context. */
  tpot: Quantity
  rate: Quantity
  kvBytes: Quantity
  weightBytes: Quantity
  /** KV bytes as a share of the weights' bytes, %. */
  share: Quantity
  /** Context at which a step reads as many bytes of cache as of weights. */
  crossover: Quantity
  /** What a thousand more tokens of context add to each token, ms; with three lengths or more. */
  perThousand?: Quantity
  /** TPOT at the longest context over that at the shortest. */
  growth?: Quantity
}

/** What the readings so far say; undefined until the reader's own length has been seen. */
export function findings({ trace, points }: ContextReading, context: number, batch: number): Findings | undefined {
  const here = points.find((p) => p.context === context)
  const { held } = trace
  if (!here || !held) return undefined
  const [shortest, longest] = [points[0]!, points[points.length - 1]!]
  const bytes = batch * context * held.kvBytesPerToken
  return {
    tpot: measured(trace, 'tpot', here.tpot, 'ms/token', { formula: TPOT, samples: here.gaps, note: `${batch} × ${context} tokens of context, ${trace.provenance.how === 'measured' ? trace.provenance.device.model : 'timing model'}` }),
    rate: measured(trace, 'decode_rate', 1000 / here.tpot, 'tok/s', { formula: String.raw`\frac{1000}{\mathrm{TPOT}}` }),
    kvBytes: measured(trace, 'kv_bytes', bytes, 'bytes', { formula: KV }),
    weightBytes: measured(trace, 'weight_bytes', held.weightBytes, 'bytes'),
    share: measured(trace, 'kv_share', (100 * bytes) / held.weightBytes, '%', { formula: String.raw`\frac{\text{KV bytes}}{\text{weight bytes}}` }),
    crossover: measured(trace, 'crossover', held.weightBytes / (batch * held.kvBytesPerToken), 'tok', { formula: CROSSOVER }),
    ...(points.length >= 3
      ? {
          perThousand: measured(trace, 'context_cost', (1000 * (longest.tpot - shortest.tpot)) / (longest.context - shortest.context), 'ms/token', { formula: SLOPE }),
          growth: measured(trace, 'growth', longest.tpot / shortest.tpot, '×', { formula: String.raw`\frac{\mathrm{TPOT}_{\text{longest}}}{\mathrm{TPOT}_{\text{shortest}}}` }),
        }
      : {}),
  }
}

/** Bytes of a weight and of a key or value on a serving machine. */
const SERVED = { weight: 2, kv: 2 }
/** What a serving engine leaves for weights and cache (vLLM's gpu_memory_utilization). */
const USABLE = 0.9

/** A model with its cache in one device's memory. */
export interface Fit {
  hardware: Hardware
  weights: number
  kv: number
  usable: number
  /** Requests of this context that fit beside the weights; 0 where the weights alone do not. */
  requests: Quantity
}

/** Does it fit? One catalogue model with `batch` requests of `context` tokens on every catalogue device. */
export function fits(model: ModelSpec, context: number, batch: number): Fit[] {
  const weights = totalParameters(model) * SERVED.weight
  const each = kvBytesPerToken(model, SERVED.kv) * context
  return HARDWARE.map((hardware) => {
    const usable = USABLE * hardware.memoryBytes
    const provenance: Provenance = { how: 'modelled', hardware: hardware.label, model: model.label }
    return {
      hardware, weights, kv: batch * each, usable,
      requests: {
        metric: 'requests_that_fit', value: Math.max(0, Math.floor((usable - weights) / each)), unit: 'req', provenance,
        formula: String.raw`\left\lfloor \frac{0.9 \cdot \text{memory} - \text{weights}}{\text{KV bytes per token} \cdot \text{context}} \right\rfloor`,
        note: `16-bit weights and cache, ${context} tokens each`,
      },
    }
  })
}
