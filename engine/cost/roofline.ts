import { hardware, type Hardware } from './hardware'
import { activeParameters, kvBytesPerToken, modelSpec, totalParameters, touchedParameters, type ModelSpec } from './models'
import type { StepCost, Work } from '../serving/step-cost'
import type { Roofs } from '../trace/trace'
import { tokensPerIteration, type Speculation } from './speculation'

export interface RooflineOptions {
  /** Name in the catalogue, or a device of one's own. */
  hardware: string | Hardware
  model: string
  /** Devices that share each layer (default 1). */
  tensorParallel?: number
  /** Width of weights and KV (default bf16). */
  dtype?: 'f32' | 'bf16' | 'f16' | 'fp8' | 'int8' | 'int4'
  /** Width of the KV cache alone (default: as dtype, but 8 bits at least and 16 at most). */
  kvDtype?: 'bf16' | 'f16' | 'fp8' | 'int8'
  /** Share of the peak rate that matmuls reach (default: the device's, as the catalogue has it). */
  mfu?: number
  /** Share of the peak bandwidth that reading reaches (default: the device's). */
  mbu?: number
  /** Added to every step: launches, scheduling, sampling (default 1 ms). */
  overheadMs?: number
  /** Times the device's bandwidth and its matrix rate: a device that nobody has built (default 1). */
  bandwidth?: number
  flops?: number
  /** Draft and verify; steps are then per token, in expectation. */
  speculation?: Speculation | null
}

/** Bytes a weight. */
export const WEIGHT_BYTES = { f32: 4, bf16: 2, f16: 2, fp8: 1, int8: 1, int4: 0.5 } as const

/** Bytes a value of the KV cache: what servers hold where weights are of that type. */
export const kvWidth = (dtype: keyof typeof WEIGHT_BYTES): number => Math.max(1, Math.min(2, WEIGHT_BYTES[dtype]))

/**
 * t = max(FLOPs / (peak · MFU), bytes / (bandwidth · MBU)) + overhead (Williams et al. 2009; REFERENCE
 * §2). Tensor parallelism divides work and bytes; its all-reduces are not in the formula, so at small
 * batches it flatters many devices. Besides that it knows no host: servers of 2023 (A100, MPT-7B) reached .52
 * and .56 of their peaks where the card reaches .86 and .9. What it says by default is what a well-kept server of
 * today comes to, and a bound for the others.
 */
export function roofline(options: RooflineOptions): StepCost & { hardware: Hardware; model: ModelSpec; roofs: Roofs } {
  const h = typeof options.hardware === 'string' ? hardware(options.hardware) : options.hardware
  const m = modelSpec(options.model)
  const { tensorParallel = 1, dtype = 'bf16', mfu = dtype === 'fp8' && h.flops8 ? h.matmul8 : h.matmul, mbu = h.reading, overheadMs = 1, bandwidth = 1, flops = 1 } = options
  if (!(Number.isInteger(tensorParallel) && tensorParallel >= 1)) throw new RangeError(`tensor_parallel must be a positive whole number, got ${tensorParallel}`)
  for (const [name, value] of Object.entries({ mfu, mbu })) if (!(value > 0 && value <= 1)) throw new RangeError(`${name} must be in (0, 1], got ${value}`)
  for (const [name, value] of Object.entries({ bandwidth, flops })) if (!(value > 0 && Number.isFinite(value))) throw new RangeError(`${name} must be positive, got ${value}`)
  if (!(overheadMs >= 0)) throw new RangeError(`overhead_ms must not be negative, got ${overheadMs}`)
  // Only formats the chip multiplies in have its 8-bit rate; int4 and int8 weights are widened first.
  const peak = dtype === 'fp8' && h.flops8 ? h.flops8 : dtype === 'f32' ? h.flops16 / 2 : h.flops16
  const flopsPerMs = (peak * flops * mfu * tensorParallel) / 1000
  const bytesPerMs = (h.bytesPerSecond * bandwidth * mbu * tensorParallel) / 1000
  const weight = WEIGHT_BYTES[dtype]
  const kv = kvBytesPerToken(m, kvWidth(options.kvDtype ?? dtype))
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
  const provenance = { how: 'modelled', hardware: `${deviceLabel(h, tensorParallel)}${imagined(bandwidth, flops)}`, model: m.label } as const
  const step = (n: number, s: number, p: number, pc: number) => (n + p === 0 ? 0 : Math.max(flopsOf(n, p, s, pc) / flopsPerMs, bytesOf(n, p, s, pc) / bytesPerMs) + overheadMs)
  const roofs: Roofs = { flopsPerSecond: flopsPerMs * 1000, read: [{ bytes: h.memoryBytes * tensorParallel, bytesPerSecond: bytesPerMs * 1000 }], overheadMs }
  if (options.speculation) return { hardware: h, model: m, roofs, provenance, ...speculative(options.speculation) }
  return {
    hardware: h,
    model: m,
    roofs,
    provenance,
    step,
    machine: {
      work: (n, s, p, pc) => ({ flops: flopsOf(n, p, s, pc), bytes: bytesOf(n, p, s, pc) }),
      roofs,
    },
    counted: {
      rates: [overheadMs, msPerFlopUnit, msPerByteUnit, 0, 0],
      work(n, s, p, pc2, into: Work) {
        into.first[0] = 1
        const steps = branch(into, 1, flopsOf(n, p, 0, pc2 / 2), bytesOf(n, p, 0, pc2 / 2), s, s, n, n)
        into.steps = p > 0 ? 1 : steps
      },
    },
  }

  /**
   * Puts the roof that binds into slots `slot` (FLOPs) and `slot` + 1 (bytes): the weights' share, and that of
   * the contexts, which grow by so many tokens a step. Returns how many steps the same roof binds.
   */
  function branch(into: Work, slot: number, flopsAtStart: number, bytesAtStart: number, flopContext: number, byteContext: number, flopGrowth: number, byteGrowth: number): number {
    const { first, growth } = into
    const flops = Math.round(flopsAtStart / flopUnit) + 1024 * flopContext
    const bytes = Math.round(bytesAtStart / byteUnit) + 1024 * byteContext
    const compute = flops * msPerFlopUnit
    const memory = bytes * msPerByteUnit
    const bound = compute >= memory
    first[slot] = bound ? flops : 0
    first[slot + 1] = bound ? 0 : bytes
    growth[slot] = bound ? 1024 * flopGrowth : 0
    growth[slot + 1] = bound ? 0 : 1024 * byteGrowth
    // Contexts grow: where the other side grows faster, it takes over some steps from now. Well before that, look again.
    const faster = 1024 * (byteGrowth * msPerByteUnit - flopGrowth * msPerFlopUnit)
    const closing = bound ? faster : -faster
    return closing <= 0 ? Infinity : Math.max(1, Math.floor((Math.abs(compute - memory) / closing) * (1 - 1e-9)) - 1)
  }

  /**
   * Per token: one verification, in which every sequence has K drafts besides its own token, and K draft
   * steps of c plain ones each, shared among the tokens that the iteration yields. A verification reads a
   * context once for all its tokens and computes with it for each: at a high batch compute binds, and drafts no
   * longer come free. What prompts add to a step they add as before.
   */
  function speculative(speculation: Speculation): Pick<StepCost, 'step' | 'counted'> {
    const { drafts, draft_cost } = speculation
    const tokens = tokensPerIteration(speculation.acceptance, drafts)
    const share = 1 / tokens
    const drafting = (drafts * draft_cost) / tokens
    const rows = drafts + 1
    const verify = (n: number, s: number) => Math.max(flopsOf(n * rows, 0, s * rows, 0) / flopsPerMs, bytesOf(n * rows, 0, s, 0) / bytesPerMs) + overheadMs
    const decode = (n: number, s: number) => (n > 0 ? share * verify(n, s) + drafting * step(n, s, 0, 0) : 0)
    const prompts = (n: number, s: number, p: number, pc: number) => (p > 0 ? step(n, s, p, pc) - step(n, s, 0, 0) : 0)
    return {
      step: (n, s, p, pc) => decode(n, s) + prompts(n, s, p, pc),
      counted: {
        rates: [overheadMs * (share + drafting), share * msPerFlopUnit, share * msPerByteUnit, drafting * msPerFlopUnit, drafting * msPerByteUnit],
        work(n, s, p, pc2, into: Work) {
          into.extra = prompts(n, s, p, pc2 / 2)
          if (n === 0) {
            into.first.fill(0)
            into.steps = 1
            return
          }
          into.first[0] = 1
          const verifies = branch(into, 1, flopsOf(n * rows, 0, 0, 0), bytesOf(n * rows, 0, 0, 0), s * rows, s, n * rows, n)
          const drafts = branch(into, 3, flopsOf(n, 0, 0, 0), bytesOf(n, 0, 0, 0), s, s, n, n)
          into.steps = p > 0 ? 1 : Math.min(verifies, drafts)
        },
      },
    }
  }
}

/** "H100 SXM ×8" */
export const deviceLabel = (h: Hardware, tensorParallel = 1) => `${h.label}${tensorParallel > 1 ? ` ×${tensorParallel}` : ''}`

/** A device with other roofs than its own never goes by its name alone. */
function imagined(bandwidth: number, flops: number): string {
  const parts = [bandwidth === 1 ? '' : `${bandwidth}× its bandwidth`, flops === 1 ? '' : `${flops}× its FLOPs`].filter(Boolean)
  return parts.length ? `, imagined with ${parts.join(' and ')}` : ''
}

/** Does it fit? Weights and the KV of so many tokens against the memory of so many devices. */
export function memoryNeeded(m: ModelSpec, kvTokens: number, dtype: NonNullable<RooflineOptions['dtype']> = 'bf16'): { weightBytes: number; kvBytes: number } {
  const weight = WEIGHT_BYTES[dtype]
  return { weightBytes: totalParameters(m) * weight, kvBytes: kvBytesPerToken(m, Math.max(1, Math.min(2, weight))) * kvTokens }
}
