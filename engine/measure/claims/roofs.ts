import { hardware } from '../../cost/hardware'
import { kvBytesPerToken, modelSpec } from '../../cost/models'
import { memoryNeeded, roofline, type RooflineOptions } from '../../cost/roofline'
import type { StepCost } from '../../serving/step-cost'
import { tokensPerIteration } from './speculation'

/** What one A100 reaches with the engines of 2023: found to fit MPT-7B's batch curve (REFERENCE §5), used for its contemporaries too. */
export const A100_2023 = { hardware: 'a100-40-sxm', mfu: 0.52, mbu: 0.56, overheadMs: 1 } as const

/** Time of one prompt of which the first `cached` tokens are in the KV cache, ms. */
export function prefillMs(cost: StepCost, tokens: number, cached = 0): number {
  const computed = tokens - cached
  return cost.step(0, 0, computed, computed * (cached + computed / 2))
}

/**
 * Time of a batch from start to end, ms: prompts one after another, each giving the first token; then
 * all decode together.
 */
export function batchMs(cost: StepCost, batch: number, input: number, output: number): number {
  let ms = batch * prefillMs(cost, input)
  for (let k = 0; k < output - 1; k++) ms += cost.step(batch, batch * (input + k), 0, 0)
  return ms
}

export interface SteadyState {
  /** Requests in flight. */
  running: number
  /** Output tokens per second. */
  throughput: number
  tpotMs: number
}

/**
 * A server that never runs empty: every step decodes one token of each running request and computes
 * the prompt tokens of those that replace the finished ones. As many run as memory (nine tenths of it)
 * holds and as keep a step within `limitMs`.
 */
export function steadyState(options: RooflineOptions, input: number, output: number, limitMs = Infinity): SteadyState {
  const cost = roofline(options)
  const { weightBytes, kvBytes } = memoryNeeded(cost.model, input + output / 2, options.dtype)
  const step = (n: number) => {
    const prefill = (n * input) / output
    return cost.step(n, n * (input + output / 2), prefill, (prefill * input) / 2)
  }
  let running = Math.floor((0.9 * cost.hardware.memoryBytes * (options.tensorParallel ?? 1) - weightBytes) / kvBytes)
  if (running < 1) throw new RangeError(`${cost.model.label} leaves no room for a request on ${options.tensorParallel ?? 1} × ${cost.hardware.label}`)
  while (running > 1 && step(running) > limitMs) running--
  const tpotMs = step(running)
  return { running, throughput: (1000 * running) / tpotMs, tpotMs }
}

/** Speed-up of speculative decoding when `batch` sequences verify drafts + 1 tokens each in one step; a draft step costs `cost` plain ones. */
export function speculativeSpeedUp(options: RooflineOptions, batch: number, context: number, acceptance: number, drafts: number, cost: number): number {
  const { step } = roofline(options)
  const plain = step(batch, batch * context, 0, 0)
  const verify = step(batch * (drafts + 1), batch * context, 0, 0)
  return (tokensPerIteration(acceptance, drafts) * plain) / (verify + drafts * cost * plain)
}

/** Share of KV memory that a model's weights leave on one device, in tokens (nine tenths of the memory are used, as vLLM does). */
export function kvTokens(device: string, model: string): number {
  const m = modelSpec(model)
  return Math.floor((0.9 * hardware(device).memoryBytes - memoryNeeded(m, 0).weightBytes) / kvBytesPerToken(m, 2))
}
