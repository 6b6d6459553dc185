import { hardware, type Hardware } from './hardware'
import { activeParameters, kvBytesPerToken, modelSpec, totalParameters, touchedParameters, type ModelSpec } from './models'
import type { StepCost } from '../serving/step-cost'

export interface RooflineOptions {
  hardware: string
  model: string
  /** Devices that share each layer (default 1). */
  tensorParallel?: number
  /** Width of weights and KV (default bf16). */
  dtype?: 'f32' | 'bf16' | 'f16' | 'fp8' | 'int8' | 'int4'
  /** Share of the peak rate that matmuls reach (default 0.6). */
  mfu?: number
  /** Share of the peak bandwidth that reading reaches (default 0.8). */
  mbu?: number
  /** Added to every step: launches, scheduling, sampling (default 1 ms). */
  overheadMs?: number
}

const WEIGHT_BYTES = { f32: 4, bf16: 2, f16: 2, fp8: 1, int8: 1, int4: 0.5 } as const

/**
 * t = max(FLOPs / (peak · MFU), bytes / (bandwidth · MBU)) + overhead (Williams et al. 2009; REFERENCE
 * §2). Tensor parallelism divides work and bytes; its all-reduces are not in the formula, so at small
 * batches it flatters many devices.
 */
export function roofline(options: RooflineOptions): StepCost & { hardware: Hardware; model: ModelSpec } {
  const h = hardware(options.hardware)
  const m = modelSpec(options.model)
  const { tensorParallel = 1, dtype = 'bf16', mfu = 0.6, mbu = 0.8, overheadMs = 1 } = options
  if (!(Number.isInteger(tensorParallel) && tensorParallel >= 1)) throw new RangeError(`tensor_parallel must be a positive whole number, got ${tensorParallel}`)
  for (const [name, value] of Object.entries({ mfu, mbu })) if (!(value > 0 && value <= 1)) throw new RangeError(`${name} must be in (0, 1], got ${value}`)
  if (!(overheadMs >= 0)) throw new RangeError(`overhead_ms must not be negative, got ${overheadMs}`)
  // Only formats the chip multiplies in have its 8-bit rate; int4 and int8 weights are widened first.
  const peak = dtype === 'fp8' && h.flops8 ? h.flops8 : dtype === 'f32' ? h.flops16 / 2 : h.flops16
  const flopsPerMs = (peak * mfu * tensorParallel) / 1000
  const bytesPerMs = (h.bytesPerSecond * mbu * tensorParallel) / 1000
  const weight = WEIGHT_BYTES[dtype]
  const kv = kvBytesPerToken(m, Math.max(1, Math.min(2, weight)))
  const active = activeParameters(m)
  const unembed = m.hidden * m.vocab
  const attention = 4 * m.layers * m.heads * m.headDim
  return {
    hardware: h,
    model: m,
    provenance: { how: 'modelled', hardware: `${h.label}${tensorParallel > 1 ? ` ×${tensorParallel}` : ''}`, model: m.label },
    step(n, s, p, pc) {
      const tokens = n + p
      if (tokens === 0) return 0
      const sampled = n + (p > 0 ? 1 : 0)
      const flops = 2 * active * tokens + 2 * unembed * sampled + attention * (s + pc)
      // A chunk reads its context once, whatever its length: pc / p is that context.
      const bytes = (touchedParameters(m, tokens) + unembed) * weight + kv * (s + (p > 0 ? pc / p : 0) + tokens)
      return Math.max(flops / flopsPerMs, bytes / bytesPerMs) + overheadMs
    },
  }
}

/** Does it fit? Weights and the KV of so many tokens against the memory of so many devices. */
export function memoryNeeded(m: ModelSpec, kvTokens: number, dtype: NonNullable<RooflineOptions['dtype']> = 'bf16'): { weightBytes: number; kvBytes: number } {
  const weight = WEIGHT_BYTES[dtype]
  return { weightBytes: totalParameters(m) * weight, kvBytes: kvBytesPerToken(m, Math.max(1, Math.min(2, weight))) * kvTokens }
}
