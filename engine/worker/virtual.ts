import { catalogueMachine, machineCost, machineHeld, machineWork, positionsOf, withInt8Cache, type Machine } from '../cost/machine'
import type { ModelConfig } from '../model/config'
import { modelSpec } from '../cost/models'
import { BLOCK_SIZE, type Runner, type StepBatch, type StepResult } from '../runner/runner'
import { VirtualClock } from '../serving/clock'
import { serve, type ServeRequest } from '../serving/serve'
import { append } from '../trace/phases'
import type { RequestRecord, Trace } from '../trace/trace'
import { EngineError, type Workload } from './protocol'

/** Texts that were seen for a prompt: pills of a machine that computes none borrow them. */
export interface BorrowedText {
  prompt: readonly string[]
  output: readonly string[]
}

export interface VirtualOptions {
  signal?: AbortSignal
  yieldThread?: () => Promise<void>
  /** Texts of the i-th request, where some are known. */
  borrow?: (i: number) => BorrowedText | undefined
}

/** Characters a token of English text has, about (SentencePiece and BPE vocabularies of this size). */
const CHARACTERS_A_TOKEN = 4

/**
 * Serves a workload in virtual time on a machine of known step costs: the live engine's own serving loop,
 * scheduler and Trace, on a runner that only lets time pass. Rejects as `serve` of the live engine does.
 */
export async function serveVirtually(workload: Workload, of: Machine, { signal, yieldThread, borrow }: VirtualOptions = {}): Promise<Trace> {
  const machine = asAsked(workload, of)
  const clock = new VirtualClock()
  const trace: Trace = {
    // What was measured here was measured of steps; what they come to is simulated.
    provenance: machine.provenance.how === 'measured' ? { how: 'simulated', costs: machine.provenance, seed: 0 } : machine.provenance,
    requests: [], events: [], steps: [],
    roofs: machine.roofs, resolution: machine.resolution, kvBlocksTotal: machine.limits.blocks, blockSize: BLOCK_SIZE, held: machineHeld(machine.model),
  }
  const requests = workload.requests.map((r, id): ServeRequest => {
    const text = borrow?.(id)
    const promptTokens = typeof r.prompt === 'number' ? r.prompt : (text?.prompt.length ?? Math.ceil(r.prompt.length / CHARACTERS_A_TOKEN))
    if (!(Number.isInteger(promptTokens) && promptTokens > 0)) throw new EngineError('The prompt is empty: type a word or two.', 'prompt')
    const present = r.context ?? 0
    const known = present + promptTokens
    const arrival = r.arrival ?? 0
    const oneWay = (r.rtt ?? 0) / 2
    let next = 0
    const record: RequestRecord = {
      id, arrival, promptTokens: known, maxTokens: r.maxTokens,
      present: present || undefined,
      promptTexts: text && present === 0 ? Array.from({ length: promptTokens }, (_, i) => text.prompt[i % text.prompt.length] ?? '') : undefined,
      network: oneWay > 0 ? { out: oneWay, back: oneWay } : undefined,
      timingOnly: text ? undefined : true,
    }
    return {
      record, prompt: new Int32Array(known), queuedAt: arrival + oneWay, eos: [],
      textOf: text && text.output.length > 0 ? () => text.output[next++ % text.output.length]! : undefined,
    }
  })
  trace.requests.push(...requests.map((r) => r.record))
  await serve(requests, {
    runner: virtualRunner(machine, clock), clock, signal, yieldThread,
    limits: { maxSequences: workload.maxSequences, maxBatchedTokens: workload.maxBatchedTokens }, policy: workload.policy,
    emit: (update) => append(trace, { requests: [], ...update }),
  })
  return trace
}

/** The machine with what the workload asks of it. Throws EngineError for what virtual time does not know. */
function asAsked({ kvBlocks, weights, kv, speculate, experts, parameters, prefixCache }: Workload, machine: Machine): Machine {
  const unknown = speculate ? 'guesses no tokens ahead' : experts !== undefined || parameters !== undefined ? 'has the model of its lens and no other size' : prefixCache ? 'keeps no prefixes: ask simulate with prefixes' : undefined
  if (unknown) throw new EngineError(`A machine in virtual time ${unknown}.`, 'scenario')
  const weighed = weights || kv === 'f16' ? withPrecision(machine, weights?.format ?? 'f16') : machine
  const precise = kv === 'int8' ? withInt8Cache(weighed) : weighed
  return kvBlocks === undefined ? precise : { ...precise, limits: { ...precise.limits, blocks: Math.min(precise.limits.blocks, kvBlocks) } }
}

/** A catalogue machine computes in 16 bits at least; its weights are as wide as they are asked for. */
function withPrecision(machine: Machine, format: 'f32' | 'f16' | 'int8' | 'int4'): Machine {
  const { steps } = machine
  if (steps.kind !== 'roofline') throw new EngineError(`${machine.label} was measured in one precision: others are for the catalogue, or live.`, 'scenario')
  const dtype = format === 'int8' || format === 'int4' ? format : 'bf16'
  return catalogueMachine({ hardware: steps.hardware, model: steps.model, tensorParallel: steps.tensor_parallel, dtype, bandwidth: steps.bandwidth, flops: steps.flops })
}

/** A runner whose steps take what the machine's cost says. Its tokens mean nothing. */
function virtualRunner(machine: Machine, clock: VirtualClock): Runner {
  const cost = machineCost(machine)
  const { sequences, tokens, blocks } = machine.limits
  return {
    device: 'device' in machine.provenance ? machine.provenance.device : { name: machine.label, runner: 'recorded', model: 'catalogue' in machine.model ? modelSpec(machine.model.catalogue).label : 'synthetic' },
    config: configOf(machine),
    limits: { sequences, tokens, blocks, chain: 1 },
    work: machineWork(machine.model),
    run({ chunks }: StepBatch): StepResult {
      let decodes = 0
      let context = 0
      let prefill = 0
      let prefillContext = 0
      for (const { tokens: { length }, start } of chunks) {
        // A chunk of one token after others is a decode, or costs what one does.
        if (length === 1 && start > 0) {
          decodes++
          context += start
        } else {
          prefill += length
          prefillContext += length * (start + length / 2)
        }
      }
      clock.advance(cost.step(decodes, context, prefill, prefillContext))
      return { tokens: Int32Array.from(chunks, (c) => (c.sample ? 0 : -1)) }
    },
    dispose() {},
  }
}

function configOf(machine: Machine): ModelConfig {
  if ('config' in machine.model) return machine.model.config
  const m = modelSpec(machine.model.catalogue)
  return {
    layers: m.layers, hidden: m.hidden, heads: m.heads, kvHeads: m.kvHeads, headDim: m.headDim, ffn: m.ffn, vocabSize: m.vocab,
    rmsNormEps: 1e-5, ropeTheta: 10000, maxPositions: positionsOf(machine), tied: m.tied, eos: [],
  }
}
