import { choice, define, log, power2, type Values } from '$components/controls/params'
import type { Context, Reading } from '$components/frame/experiment'
import { modelSpec } from '$engine/cost/models'
import type { Trace } from '$engine/trace/trace'
import { catalogueMachine } from '$engine/worker/lens'
import { EngineError, type Engine, type Machine, type Quality, type WorkloadRequest } from '$engine/worker/protocol'

export const FORMATS = ['f32', 'f16', 'int8', 'int4'] as const
export type Format = (typeof FORMATS)[number]

export const params = define({
  price: log({ from: 0.1, to: 20, default: 2.5, label: 'Price', unit: '$/h', hint: 'What an hour of one device costs.' }),
  batch: power2({ from: 1, to: 64, default: 1, label: 'Batch', unit: 'seq', tone: 'decode', hint: 'Requests that decode together.' }),
  precision: choice({ options: ['all', ...FORMATS], default: 'all', label: 'Precision', hint: 'How each weight is stored.' }),
})

/** A price changes no run, and which precisions are looked at neither. */
export const redrawn = ['price', 'precision'] as const

/** Smallest first: the first point stands soon. */
const TRAINED = ['tales-0.3m', 'tales-1m-distilled', 'tales-1m', 'tales-moe', 'tales-5m']
/** What plain TypeScript computes in a few seconds. */
const LIGHT = TRAINED.slice(0, 3)
/** Of the catalogue: small ones, large ones, and mixtures. */
const CATALOGUE = ['llama-3.1-8b', 'qwen2.5-7b', 'mixtral-8x7b', 'llama-3.1-70b', 'deepseek-v3', 'llama-3.1-405b']
const SHARED = [1, 2, 4, 8, 16]

/** One request: tokens in and out. Prompts are paid for as well. */
export const PROMPT = 32
export const OUTPUT = 49
/** So much of the clock every point spans, ms: small models run oftener for it. */
const SPAN_MS = 40
const MOST_RUNS = 16

/** A model in a precision. */
export interface Choice {
  /** As Traces call it: "tales-5m", "Llama-3.1-70B". */
  model: string
  format: Format
  /** Devices that share it. */
  devices: number
  /** One request at a time. */
  alone: Trace[]
  /** As many at once as the reader wants; the same as alone at a batch of 1. */
  together: Trace[]
  /** How well it reads a passage of this project's own; nobody has asked a catalogue's model. */
  quality?: Quality
}

export interface TradeoffReading extends Reading {
  choices: Choice[]
  /** Of how many. */
  planned: number
  /** What is missing, and why. */
  missing?: string
}

/** The same text read by the same weights: asked once for all batches and prices. */
const known = new WeakMap<Engine, Map<string, Quality>>()

/** Each trained model in each precision, timed and put to the test, one by one. */
export async function* run(p: Values<typeof params>, context: Context): AsyncGenerator<TradeoffReading> {
  if (context.lens === 'elsewhere') return yield* elsewhere(p.batch, context)
  const { engine, profile, signal } = context
  const models = profile.device.runner === 'reference' ? LIGHT : TRAINED
  const choices: Choice[] = []
  const refused = new Set<string>()
  const seen = new Set<string>()
  let planned = models.length * FORMATS.length
  let newest: Trace | undefined
  const reading = (complete: boolean): TradeoffReading => ({ trace: newest!, choices: [...choices], planned, complete, missing: words(refused, models.length < TRAINED.length) })

  for (const model of models) {
    for (const format of FORMATS) {
      if (refused.has(format)) continue
      const weights = { format }
      const serve = (batch: number) => often(() => engine.serve({ model, weights, maxSequences: batch, requests: requests(batch) }, { signal }))
      try {
        const alone = await serve(1)
        newest = alone.at(-1)!
        const name = 'device' in newest.provenance ? newest.provenance.device.model : model
        // A runner that reads with a smaller model in this one's place has read with it already.
        if (seen.has(`${name} ${format}`)) continue
        seen.add(`${name} ${format}`)
        const together = p.batch === 1 ? alone : await serve(p.batch)
        choices.push({ model: name, format, devices: 1, alone, together, quality: await quality(model, format, context) })
        yield reading(false)
      } catch (error) {
        if (!(error instanceof EngineError && error.code === 'model' && format !== 'f32')) throw error
        refused.add(format)
        planned = models.length * (FORMATS.length - refused.size)
      }
    }
  }
  yield reading(true)
}

const requests = (batch: number): WorkloadRequest[] => Array.from({ length: batch }, () => ({ prompt: PROMPT, maxTokens: OUTPUT, ignoreEos: true }))

/** As often as it takes to be timed; the first run only warms up. */
async function often(serve: () => Promise<Trace>): Promise<Trace[]> {
  const runs: Trace[] = []
  let ms = 0
  for (let i = 0; i < 2 || (ms < SPAN_MS && i < MOST_RUNS); i++) {
    const trace = await serve()
    if (i === 0) continue
    runs.push(trace)
    ms += trace.steps.reduce((sum, s) => sum + s.duration, 0)
  }
  return runs
}

async function quality(model: string, format: Format, { engine, profile, signal }: Context): Promise<Quality> {
  let of = known.get(engine)
  if (!of) known.set(engine, (of = new Map()))
  const key = JSON.stringify([profile.device.name, profile.own?.name, model, format])
  let found = of.get(key)
  if (!found) of.set(key, (found = await engine.quality({ model, weights: { format } }, { signal })))
  return found
}

function words(refused: ReadonlySet<string>, short: boolean): string | undefined {
  const parts = [
    ...(refused.size ? [`The runner here does not hold ${[...refused].join(', ')}.`] : []),
    ...(short ? ['The larger models are left out: they would take minutes here.'] : []),
  ]
  return parts.length ? parts.join(' ') : undefined
}

/** Models of the catalogue on the other machine, on as few of it as hold them: times and costs; what they know was not asked. */
async function* elsewhere(batch: number, { engine, signal }: Context): AsyncGenerator<TradeoffReading> {
  const machine = await engine.machine('timing', { signal })
  const serve = (on: Machine, at: number) => engine.serve({ model: 'timing', maxSequences: at, requests: requests(at) }, { signal, on })
  const choices: Choice[] = []
  const add = async (model: string, format: Format, devices: number, on: Machine) => {
    const alone = [await serve(on, 1)]
    choices.push({ model, format, devices, alone, together: batch === 1 ? alone : [await serve(on, batch)] })
    return { trace: choices[0]!.together[0]!, choices: [...choices], planned: choices.length, complete: false }
  }
  const { steps } = machine
  if (steps.kind !== 'roofline') {
    yield { ...(await add(machine.label, 'f16', 1, machine)), complete: true }
    return
  }
  for (const model of new Set([steps.model, ...CATALOGUE])) {
    for (const format of FORMATS) {
      // It computes in 16 bits at least: f32 is not what anybody serves with.
      if (format === 'f32') continue
      const fitting = fewest(steps.hardware, model, format)
      if (fitting) yield await add(modelSpec(model).label, format, fitting.devices, fitting.machine)
    }
  }
  yield { trace: choices[0]!.together[0]!, choices: [...choices], planned: choices.length, complete: true }
}

/** As few devices as hold the model; undefined where not even the most do. */
function fewest(hardware: string, model: string, format: Format): { devices: number; machine: Machine } | undefined {
  for (const devices of SHARED) {
    try {
      return { devices, machine: catalogueMachine({ hardware, model, tensorParallel: devices, dtype: format === 'f16' ? 'bf16' : format }) }
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
    }
  }
  return undefined
}
