import type { AffineCosts } from '../cost/affine'
import type { StepFit } from '../cost/step-fit'
import type { ModelConfig } from '../model/config'
import type { Widths } from '../model/work'
import type { KernelShare } from '../runner/profile'
import type { KvPrecision, WeightPrecision } from '../runner/runner'
import type { Tuning } from '../runner/webgpu/tuning'
import type { DeviceInfo } from '../trace/provenance'
import type { Milliseconds, Roofs } from '../trace/trace'

/**
 * What `expressway measure` found out about a machine, as it lies in assets/profiles/NAME.json. The deck reads it as a
 * recorded machine (cost/machine.ts): `config` to `scheduler` are of the model that `models` begins with.
 */
export interface MeasuredProfile {
  version: 1
  /** What a person would call the machine and its model. */
  label: string
  device: DeviceInfo
  /** When it was recorded. */
  at: string
  /** Smallest difference that the clock could tell. */
  resolution: Milliseconds
  roofs: Roofs
  config: ModelConfig
  widths: Widths
  steps: AffineCosts
  scheduler: { max_sequences: number; max_batched_tokens: number; kv_blocks: number }
  /** How the numbers were found, and how well they hold. */
  source: string
  models: MeasuredModel[]
  /** WebGPU: the kernels that were tried, and which are used. */
  tuning?: Tuning
  /** The largest synthetic models that a runner could be made for. */
  largest?: LargestModel[]
}

export interface MeasuredModel {
  name: string
  parameters: number
  config: ModelConfig
  weights: WeightPrecision
  kv: KvPrecision
  widths: Widths
  /** Decode at batch 1 after 64 tokens, ms a token. */
  decodeMs: Milliseconds
  /** Prefill of a chunk of 256, ms a token. */
  prefillMs: Milliseconds
  /** WebGPU: dispatches of one decode at batch 1. */
  dispatches?: number
  /** Steps by kernel. */
  phases: MeasuredPhase[]
  /** Decodes of several sequences after 64 tokens each. */
  batches: { sequences: number; stepMs: Milliseconds; tokensPerSecond: number }[]
  /** Decodes at batch 1 by context. */
  contexts: { context: number; stepMs: Milliseconds }[]
  /** Steps of many shapes, and the five numbers fitted to them. */
  fit: StepFit
}

export interface MeasuredPhase {
  phase: string
  stepMs: Milliseconds
  flops: number
  bytes: number
  /** Shares of the roofs, 0 … 1. */
  mbu: number
  mfu: number
  /** Absent where the device has no timer for kernels. */
  kernels?: KernelShare[]
}

/** Found by trying: a runner was made for it and took a step; for one of `refused` parameters it could not. */
export interface LargestModel {
  kind: 'dense' | 'mixture'
  weights: WeightPrecision
  parameters: number
  refused?: number
  /** What the refusal said. */
  why?: string
}
