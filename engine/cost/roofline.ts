import { hardware, type Hardware } from './hardware'
import { activeParameters, kvBytesPerToken, modelSpec, totalParameters, touchedParameters, type ModelSpec } from './models'
import type { StepCost, Work } from '../serving/step-cost'
import type { Roofs } from '../trace/trace'

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

/** Bytes a weight. */
export const WEIGHT_BYTES = { f32: 4, bf16: 2, f16: 2, fp8: 1, int8: 1, int4: 0.5 } as const

/**
 * t = max(FLOPs / (peak · MFU), bytes / (bandwidth · MBU)) + overhead (Williams et al. 2009; REFERENCE
 * §2). Tensor parallelism divides work and bytes; its all-reduces are not in the formula, so at small
 * batches it flatters many devices.
 */
export function roofline(options: RooflineOptions): StepCost & { hardware: Hardware; model: ModelSpec; roofs: Roofs } {
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
  // A chunk reads its context once, whatever its length: pc / p is that context.
  const flopsOf = (n: number, p: number, s: number, pc: number) => 2 * active * (n + p) + 2 * unembed * (n + (p > 0 ? 1 : 0)) + attention * (s + pc)
  const bytesOf = (n: number, p: number, s: number, pc: number) => (touchedParameters(m, n + p) + unembed) * weight + kv * (s + (p > 0 ? pc / p : 0) + n + p)
  // Whole numbers of work: units that divide what a token of context adds, so that rounding touches the weights' share alone.
  const flopUnit = attention / 1024
  const byteUnit = kv / 1024
  const msPerFlopUnit = flopUnit / flopsPerMs
  const msPerByteUnit = byteUnit / bytesPerMs
  return {
    hardware: h,
    model: m,
    roofs: { flopsPerSecond: flopsPerMs * 1000, read: [{ bytes: h.memoryBytes * tensorParallel, bytesPerSecond: bytesPerMs * 1000 }], overheadMs },
    provenance: { how: 'modelled', hardware: `${h.label}${tensorParallel > 1 ? ` ×${tensorParallel}` : ''}`, model: m.label },
    step(n, s, p, pc) {
      if (n + p === 0) return 0
      return Math.max(flopsOf(n, p, s, pc) / flopsPerMs, bytesOf(n, p, s, pc) / bytesPerMs) + overheadMs
    },
    counted: {
      rates: [overheadMs, msPerFlopUnit, msPerByteUnit, 0, 0],
      work(n, s, p, pc2, into: Work) {
        const { first, growth } = into
        const flops = Math.round(flopsOf(n, p, 0, pc2 / 2) / flopUnit) + 1024 * s
        const bytes = Math.round(bytesOf(n, p, 0, pc2 / 2) / byteUnit) + 1024 * s
        const compute = flops * msPerFlopUnit
        const memory = bytes * msPerByteUnit
        const bound = compute >= memory
        first[0] = 1
        first[1] = bound ? flops : 0
        first[2] = bound ? 0 : bytes
        growth[1] = bound ? 1024 * n : 0
        growth[2] = bound ? 0 : 1024 * n
        // Contexts grow: where the other side grows faster, it takes over some steps from now. Well before that, look again.
        const closing = 1024 * n * (bound ? msPerByteUnit - msPerFlopUnit : msPerFlopUnit - msPerByteUnit)
        into.steps = p > 0 ? 1 : closing <= 0 ? Infinity : Math.max(1, Math.floor((Math.abs(compute - memory) / closing) * (1 - 1e-9)) - 1)
      },
    },
  }
}

/** Does it fit? Weights and the KV of so many tokens against the memory of so many devices. */
export function memoryNeeded(m: ModelSpec, kvTokens: number, dtype: NonNullable<RooflineOptions['dtype']> = 'bf16'): { weightBytes: number; kvBytes: number } {
  const weight = WEIGHT_BYTES[dtype]
  return { weightBytes: totalParameters(m) * weight, kvBytes: kvBytesPerToken(m, Math.max(1, Math.min(2, weight))) * kvTokens }
}
