import { choice, define, log, type Values } from '$components/controls/params'
import type { Context, Reading } from '$components/frame/experiment'
import { byPhase, sums } from '$components/frame/measured'
import { MODELS } from '$engine/cost/models'
import { percentile, perRequest } from '$engine/trace/metrics'
import type { Trace } from '$engine/trace/trace'
import { catalogueMachine } from '$engine/worker/lens'
import { EngineError, type Machine, type Workload } from '$engine/worker/protocol'

export const FORMATS = ['f32', 'f16', 'int8', 'int4'] as const
export type Format = (typeof FORMATS)[number]

export const params = define({
  size: log({ from: 6, to: 400, default: 25, label: 'Size', unit: 'M', tone: 'decode', hint: 'Parameters of the synthetic model, about: it is made in steps of its width.' }),
  precision: choice({ options: FORMATS, default: 'f16', label: 'Precision', hint: 'How each weight is stored.' }),
})

/** Decode steps timed of each model. */
const STEPS = 16
const PROMPT = 16
/** Sizes looked at besides the reader's own: those that were trained, and synthetic ones, millions of parameters. */
const TRAINED = ['tales-0.3m', 'tales-1m', 'tales-5m']
const SYNTHETIC = [6, 25, 56, 98]

/** One model's decoding, one request at a time. */
export interface Point {
  label: string
  kind: 'trained' | 'synthetic' | 'catalogue'
  /** Bytes that a decode step goes through. */
  bytes: number
  /** Median gap, ms. */
  tpot: number
  trace: Trace
}

export interface SizeReading extends Reading {
  /** The reader's own model. */
  own: Point
  /** All, ascending in bytes. */
  points: Point[]
  /** The reader's own with a second chat beside it. */
  two?: Trace
  /** The reader's own once more, after everything else, and how long after, ms. */
  again?: { trace: Trace; afterMs: number }
  /** Why sizes are missing. */
  missing?: string
}

/** The reader's model first, then smaller and larger ones, then two chats at once, then the first again: has it become slower? */
export async function* run(p: Values<typeof params>, context: Context): AsyncGenerator<SizeReading> {
  if (context.lens === 'elsewhere') return yield* elsewhere(p.precision, context)
  const { engine, signal } = context
  const serve = (of: Pick<Workload, 'model' | 'parameters'>, chats = 1) =>
    engine.serve({ ...of, weights: { format: p.precision }, maxSequences: chats, requests: Array.from({ length: chats }, () => ({ prompt: PROMPT, maxTokens: STEPS + 1, ignoreEos: true })) }, { signal })
  const own = { model: 'timing', parameters: p.size * 1e6 }

  const first = await serve(own)
  const began = performance.now()
  const mine = pointOf('yours', 'synthetic', first)
  const found: SizeReading = { trace: first, own: mine, points: [mine], complete: false }
  yield { ...found }
  const add = (point: Point) => {
    // The reader's own may be one of the ladder's.
    if (point.trace.held && point.trace.held.parameters === first.held?.parameters) return
    found.points = [...found.points, point].sort((a, b) => a.bytes - b.bytes)
  }
  try {
    for (const model of TRAINED) {
      add(pointOf(model, 'trained', await serve({ model })))
      yield { ...found }
    }
    for (const millions of SYNTHETIC) {
      add(pointOf(`${millions}M`, 'synthetic', await serve({ model: 'timing', parameters: millions * 1e6 })))
      yield { ...found }
    }
  } catch (error) {
    if (!(error instanceof EngineError && error.code === 'out-of-memory')) throw error
    found.missing = error.message
  }
  found.two = await serve(own, 2)
  yield { ...found }
  found.again = { trace: await serve(own), afterMs: performance.now() - began }
  yield { ...found, complete: true }
}

/** On another machine: the models of the catalogue that fit it, by roofline; one that was recorded knows its own model only. */
async function* elsewhere(precision: Format, { engine, signal }: Context): AsyncGenerator<SizeReading> {
  const machine = await engine.machine('timing', { signal })
  const serve = async (label: string, on: Machine, chats = 1) =>
    pointOf(label, 'catalogue', await engine.serve({ model: 'timing', maxSequences: chats, requests: Array.from({ length: chats }, () => ({ prompt: PROMPT, maxTokens: STEPS + 1, ignoreEos: true })) }, { signal, on }))
  const { steps } = machine
  if (steps.kind !== 'roofline') {
    const own = await serve(machine.label, machine)
    yield { trace: own.trace, own, points: [own], two: (await serve(machine.label, machine, 2)).trace, complete: true }
    return
  }
  // It computes in 16 bits at least: f32 is not what anybody serves with.
  const dtype = precision === 'int8' || precision === 'int4' ? precision : 'bf16'
  const of = (model: string) => catalogueMachine({ hardware: steps.hardware, model, tensorParallel: steps.tensor_parallel, dtype })
  const label = (name: string) => MODELS.find((m) => m.name === name)!.label
  const own = await serve(label(steps.model), of(steps.model))
  const found: SizeReading = { trace: own.trace, own, points: [own], complete: false }
  const large: string[] = []
  for (const { name } of MODELS.filter((m) => m.name !== steps.model)) {
    try {
      found.points = [...found.points, await serve(label(name), of(name))].sort((a, b) => a.bytes - b.bytes)
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      large.push(label(name))
    }
  }
  yield { ...found, two: (await serve(own.label, of(steps.model), 2)).trace, missing: large.length ? `Too large for it: ${large.join(', ')}.` : undefined, complete: true }
}

function pointOf(label: string, kind: Point['kind'], trace: Trace): Point {
  const { decode } = byPhase(trace)
  return { label, kind, trace, bytes: sums(decode).bytes / decode.length, tpot: tpotOf(trace) }
}

/** Median of all gaps, ms. */
export const tpotOf = (trace: Trace) => percentile(perRequest(trace).flatMap((r) => r.itl), 50)
