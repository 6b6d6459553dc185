import { kvBytesPerToken as configKvBytesPerToken, parameterCount, type ModelConfig } from '../model/config'
import { work as workOfConfig, type Share, type Widths, type Work } from '../model/work'
import type { StepsSpec } from '../serving/scenario'
import type { StepCost } from '../serving/step-cost'
import type { DeviceInfo, Provenance } from '../trace/provenance'
import type { Milliseconds, Roofs, Trace } from '../trace/trace'
import { affine, type AffineCosts } from './affine'
import { hardware } from './hardware'
import { activeParameters, kvBytesPerToken, modelSpec, totalParameters, touchedParameters, type ModelSpec } from './models'
import type { StepFit } from './step-fit'
import { deviceLabel, kvWidth, roofline, WEIGHT_BYTES, type RooflineOptions } from './roofline'
import { speculativeAffine, type Speculation } from './speculation'

export type Dtype = NonNullable<RooflineOptions['dtype']>
export type KvDtype = NonNullable<RooflineOptions['kvDtype']>

/**
 * A machine with a model on it, as far as serving knows it: what a step takes, how much fits, what its
 * roofs are. Plain data, so that it crosses the wall to a worker and may lie in a file.
 */
export interface Machine {
  /** "H100 SXM, Llama-3.1-8B" */
  label: string
  /** How the step costs are known: measured here, recorded elsewhere, or modelled. */
  provenance: Provenance
  /** As a scenario's `steps`. */
  steps: (({ kind: 'affine' } & AffineCosts) | RooflineSteps) & { speculation?: Speculation }
  limits: { sequences: number; tokens: number; blocks: number }
  roofs: Roofs
  model: MachineModel
  /** Smallest difference the clock could tell, where it was measured. */
  resolution?: Milliseconds
  /** What its step costs were fitted to, and how well they hold. */
  fit?: StepFit
}

type RooflineSteps = { kind: 'roofline' } & Pick<StepsSpec, 'hardware' | 'model' | 'tensor_parallel' | 'dtype'> & Partial<Pick<StepsSpec, 'kv_dtype' | 'mfu' | 'mbu' | 'overhead_ms' | 'bandwidth' | 'flops'>>

/** What a step computes: a model of the catalogue, or the shape of one that runs here. */
export type MachineModel = { catalogue: string; dtype: Dtype; kvDtype?: KvDtype; tensorParallel: number } | { config: ModelConfig; widths: Widths }

/** Share of memory that servers give to weights and KV (vLLM's default). */
const MEMORY_SHARE = 0.9
/** vLLM's defaults. */
const SEQUENCES = 256
const TOKENS = 2048
const BLOCK_SIZE = 16

/** Any hardware and model of the catalogue, by roofline. Throws RangeError for unknown names, and where the model does not fit. */
export function catalogueMachine({ hardware: device, model, tensorParallel = 1, dtype = 'bf16', kvDtype, ...efficiency }: RooflineOptions & { hardware: string }): Machine {
  const cost = roofline({ hardware: device, model, tensorParallel, dtype, kvDtype, ...efficiency })
  const { hardware: h, model: m } = cost
  const weights = totalParameters(m) * WEIGHT_BYTES[dtype]
  const memory = h.memoryBytes * tensorParallel
  const blocks = Math.floor((memory * MEMORY_SHARE - weights) / (kvBytesPerToken(m, kvWidth(kvDtype ?? dtype)) * BLOCK_SIZE))
  if (blocks < 1) {
    const gb = (bytes: number) => `${Math.round(bytes / 1e9)} GB`
    throw new RangeError(`${m.label} needs ${gb(weights)} for its ${dtype} weights, ${deviceLabel(h, tensorParallel)} has ${gb(memory)}: take more devices (an ending such as x${Math.ceil((weights * 1.3) / h.memoryBytes)}) or a smaller model`)
  }
  return {
    label: `${deviceLabel(h, tensorParallel)}, ${m.label}`,
    provenance: cost.provenance,
    steps: { kind: 'roofline', hardware: device, model, tensor_parallel: tensorParallel, dtype, kv_dtype: kvDtype, mfu: efficiency.mfu, mbu: efficiency.mbu, overhead_ms: efficiency.overheadMs, bandwidth: efficiency.bandwidth, flops: efficiency.flops },
    limits: { sequences: SEQUENCES, tokens: TOKENS, blocks },
    roofs: cost.roofs,
    model: { catalogue: model, dtype, kvDtype, tensorParallel },
  }
}

/** A recorded machine as it lies in assets/profiles: what `expressway measure` writes, or a server's fitted log. */
export type RecordedProfile = RecordedSteps & (RecordedServer | RecordedRunner)

/** A server whose model and hardware are of the catalogue. */
interface RecordedServer {
  /** Names in the catalogue, for FLOPs, bytes and roofs. */
  hardware: string
  model: string
  dtype: Dtype
  tensor_parallel?: number
}

/** A device measured through a runner: the whole file is measure/profile.ts's. */
interface RecordedRunner {
  config: ModelConfig
  widths: Widths
  roofs: Roofs
  resolution?: Milliseconds
}

interface RecordedSteps {
  version: 1
  /** What a person would call the machine and its model. */
  label: string
  device: DeviceInfo
  /** When it was recorded. */
  at: string
  steps: AffineCosts
  scheduler: { max_sequences: number; max_batched_tokens: number; kv_blocks: number }
  /** How the numbers were found, and how well they hold. */
  source: string
}

/** Throws RangeError naming what is wrong with the file. */
export function recordedMachine(profile: RecordedProfile): Machine {
  if (profile?.version !== 1) throw new RangeError(`the profile is of version ${JSON.stringify(profile?.version)}, this page reads version 1`)
  for (const key of ['base_ms', 'per_sequence_ms', 'per_context_token_ms', 'per_prefill_token_ms', 'per_prefill_token_context_ms'] as const) {
    if (!(profile.steps?.[key] >= 0)) throw new RangeError(`the profile's steps.${key} must be a number of at least 0, is ${JSON.stringify(profile.steps?.[key])}`)
  }
  const { max_sequences: sequences, max_batched_tokens: tokens, kv_blocks: blocks } = profile.scheduler
  return {
    label: profile.label,
    provenance: { how: 'recorded', device: profile.device, at: profile.at },
    steps: { kind: 'affine', ...profile.steps },
    limits: { sequences, tokens, blocks },
    ...recordedModel(profile),
  }
}

function recordedModel(profile: RecordedProfile): Pick<Machine, 'roofs' | 'model' | 'resolution'> {
  if ('config' in profile) return { roofs: profile.roofs, model: { config: profile.config, widths: profile.widths }, resolution: profile.resolution }
  const { hardware, model, dtype, tensor_parallel: tensorParallel = 1 } = profile
  return { roofs: roofline({ hardware, model, tensorParallel, dtype, mfu: 1, mbu: 1, overheadMs: 0 }).roofs, model: { catalogue: model, dtype, tensorParallel } }
}

/** What the machine's cache holds for each position of a text. */
export function machineCache({ model }: Machine): { bytesPerToken: number; layers: number } {
  return { bytesPerToken: machineHeld(model)!.kvBytesPerToken, layers: 'config' in model ? model.config.layers : modelSpec(model.catalogue).layers }
}

/**
 * The same machine with keys and values of 8 bits: as many more blocks as they are smaller. Steps by roofline
 * read less; those of a recorded machine stay what they were measured at.
 */
export function withInt8Cache(machine: Machine): Machine {
  const { steps, model, limits } = machine
  // Here one scale of 4 bytes for each position and head, as the runners keep it.
  const small: MachineModel = 'config' in model ? { ...model, widths: { ...model.widths, kv: 1 + 4 / model.config.headDim } } : { ...model, kvDtype: 'int8' }
  const times = machineHeld(model)!.kvBytesPerToken / machineHeld(small)!.kvBytesPerToken
  return {
    ...machine, model: small, limits: { ...limits, blocks: Math.floor(limits.blocks * times) },
    ...(steps.kind === 'roofline' ? { steps: { ...steps, kv_dtype: 'int8' as const } } : {}),
  }
}

/** What its steps take, known as the machine is known, and what they have to compute and move. */
export function machineCost({ steps, provenance, roofs, model }: Pick<Machine, 'steps' | 'provenance'> & Partial<Pick<Machine, 'roofs' | 'model'>>): StepCost {
  if (steps.kind === 'affine') {
    const plain = affine(steps, provenance)
    return steps.speculation ? speculativeAffine(plain, steps, steps.speculation) : roofs && model ? { ...plain, machine: { roofs, work: workOfSums(machineWork(model)) } } : plain
  }
  return roofline({
    hardware: steps.hardware, model: steps.model, tensorParallel: steps.tensor_parallel, dtype: steps.dtype, kvDtype: steps.kv_dtype ?? undefined,
    mfu: steps.mfu ?? undefined, mbu: steps.mbu ?? undefined, overheadMs: steps.overhead_ms, bandwidth: steps.bandwidth, flops: steps.flops, speculation: steps.speculation,
  })
}

/** Work of a step by its sums: decodes at their mean context, and all prefill as one chunk. */
function workOfSums(work: (shares: readonly Share[]) => Work): NonNullable<StepCost['machine']>['work'] {
  return (decodes, context, prefill, prefillContext) => work([
    ...Array.from({ length: decodes }, () => ({ tokens: 1, context: context / decodes, sampledRows: 1 })),
    ...(prefill > 0 ? [{ tokens: prefill, context: prefillContext / prefill - prefill / 2, sampledRows: 1 }] : []),
  ])
}

/** FLOPs and bytes of a step on this machine (each device's share added up). */
export function machineWork(model: MachineModel): (shares: readonly Share[]) => Work {
  if ('config' in model) return (shares) => workOfConfig(model.config, shares, model.widths)
  const m = modelSpec(model.catalogue)
  const weight = WEIGHT_BYTES[model.dtype]
  return (shares) => workOfSpec(m, shares, { weight, kv: kvWidth(model.kvDtype ?? model.dtype) })
}

/** What the model holds of the machine's memory, and what each position of its cache does. */
export function machineHeld(model: MachineModel): Trace['held'] {
  if ('config' in model) {
    const parameters = parameterCount(model.config)
    return { parameters, weightBytes: parameters * model.widths.weight, kvBytesPerToken: configKvBytesPerToken(model.config, model.widths.kv) }
  }
  const m = modelSpec(model.catalogue)
  const parameters = totalParameters(m)
  return { parameters, weightBytes: parameters * WEIGHT_BYTES[model.dtype], kvBytesPerToken: kvBytesPerToken(m, kvWidth(model.kvDtype ?? model.dtype)) }
}

/** As engine/model/work counts, for a model of the catalogue. */
function workOfSpec(m: ModelSpec, shares: readonly Share[], widths: Widths): Work {
  let tokens = 0
  let sampled = 0
  let attended = 0
  let held = 0
  for (const s of shares) {
    tokens += s.tokens
    sampled += s.sampledRows
    attended += s.tokens * s.context + (s.tokens * (s.tokens + 1)) / 2
    held += s.context + s.tokens
  }
  const kvToken = kvBytesPerToken(m, widths.kv)
  const weights = (touchedParameters(m, tokens) + (sampled > 0 ? m.hidden * m.vocab : 0)) * widths.weight
  return {
    flops: 2 * activeParameters(m) * tokens + 2 * m.hidden * m.vocab * sampled + 4 * m.layers * m.heads * m.headDim * attended,
    bytes: weights + kvToken * (held + tokens),
    workingSet: weights + kvToken * held,
  }
}

/** The longest text that a catalogue machine is asked for: what fits its KV blocks. */
export function positionsOf(machine: Machine): number {
  return 'config' in machine.model ? machine.model.config.maxPositions : machine.limits.blocks * BLOCK_SIZE
}

/** Throws RangeError listing the names there are. */
export function checkNames(device: string, model: string): void {
  hardware(device)
  modelSpec(model)
}
