import { define, linear, type Values } from '$components/controls/params'
import type { Context, Reading } from '$components/frame/experiment'
import { modelSpec } from '$engine/cost/models'
import { perRequest } from '$engine/trace/metrics'
import type { Trace } from '$engine/trace/trace'
import { catalogueMachine } from '$engine/worker/lens'
import { EngineError, type Cascaded, type CurvePoint, type Machine, type Quality, type ScenarioJson, type Simulated } from '$engine/worker/protocol'
import { smallerThan } from '../levers'

export const params = define({
  threshold: linear({ from: 0, to: 1, step: 0.01, default: 0.5, label: 'Threshold', tone: 'decode', hint: 'How sure the small model has to be for its answer to stand: 0 keeps every answer, 1 keeps none.' }),
})

/** One run holds the cascades of all thresholds. */
export const redrawn = ['threshold'] as const

/** The ladder as it was trained, smallest first, and who is asked first of whom. */
export const LADDER = ['tales-0.3m', 'tales-1m', 'tales-1m-distilled', 'tales-5m'] as const
export const [SMALL, LARGE] = ['tales-1m-distilled', 'tales-5m'] as const
/** What plain TypeScript can still serve while somebody waits. */
const REFERENCE = { ladder: LADDER.slice(0, 3), small: 'tales-0.3m', large: 'tales-1m-distilled', rounds: 1 } as const
/** How often each model is timed, so that a busy moment does not hit one alone. */
const ROUNDS = 3
/** Tokens in and out of each timed request. */
const PROMPT = 256
const OUTPUT = 48

/** Requests in a datacentre: far between, so that what is shown is no queue. */
const ASKED = { prompt: 512, output: 128 } as const
const SHARES = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1] as const

/** A model of the ladder. */
export interface Rung {
  /** As the engine or the catalogue names it. */
  model: string
  label: string
  /** Every TTFT and every gap between tokens that was timed, ms. */
  ttfts: number[]
  gaps: number[]
  /** The last run. */
  trace: Trace
  /** How well it reads a passage it has never seen; of models that run here. */
  quality?: Quality
}

/** The same two models as a scenario's cascade, by the share that is passed on. */
export interface SimulatedCascade {
  small: string
  large: string
  /** Every answer by the large one. */
  alone: Simulated
  /** The small one answers first and the large one again; or a router decides once the prompt was read. */
  afterAnswer: CurvePoint[]
  upFront: CurvePoint[]
  provenance: Simulated['provenance']
}

export interface SmallerReading extends Reading {
  /** Smallest first, as far as they have run. */
  rungs: Rung[]
  /** On this device. */
  cascaded?: Cascaded
  /** In a datacentre. */
  simulated?: SimulatedCascade
  /** Why there is no cascade. */
  missing?: string
}

/**
 * Quality against time for models that know the same language, and a cascade of two of them. On this device: all of it
 * measured. On a machine of the catalogue: its model and the next smaller ones by roofline, the cascade by the simulator.
 */
export async function* run(_: Values<typeof params>, context: Context): AsyncGenerator<SmallerReading> {
  if (context.lens === 'elsewhere') yield* elsewhere(context)
  else yield* here(context)
}

async function* here({ engine, signal, profile }: Context): AsyncGenerator<SmallerReading> {
  const { ladder, small, large, rounds } = profile.device.runner === 'reference' ? REFERENCE : { ladder: LADDER, small: SMALL, large: LARGE, rounds: ROUNDS }
  const rungs = new Map<string, Rung>()
  let cascaded: Cascaded | undefined
  let missing: string | undefined
  const reading = (complete: boolean): SmallerReading => ({
    trace: rungs.get(large)!.trace, rungs: ladder.flatMap((m) => rungs.get(m) ?? []), cascaded, missing, complete,
  })
  // The two that the slide is about come first.
  const order = [...new Set([large, small, ...ladder])]
  for (let round = 0; round < rounds; round++) {
    for (const model of order) {
      // What runs first pays for what is made when it is first used: a short run takes that.
      await engine.serve({ model, maxSequences: 1, requests: [{ prompt: PROMPT, maxTokens: 2, ignoreEos: true }] }, { signal })
      rungs.set(model, timed(rungs.get(model), model, await engine.serve({ model, maxSequences: 1, requests: [{ prompt: PROMPT, maxTokens: OUTPUT, ignoreEos: true }] }, { signal })))
      if (round > 0 || rungs.size >= 2) yield reading(false)
    }
  }
  for (const model of order) {
    rungs.get(model)!.quality = await engine.quality({ model }, { signal })
    yield reading(false)
  }
  try {
    const queue: Cascaded[] = []
    let wake = () => {}
    const whole = engine.cascade({ small, large }, { signal, onUpdate: (soFar) => { queue.push(soFar); wake() } })
    let over = false
    const ends = whole.then(() => { over = true }, () => { over = true }).finally(() => wake())
    while (!over) {
      await Promise.race([ends, new Promise<void>((resolve) => { wake = resolve })])
      const newest = queue.pop()
      queue.length = 0
      if (newest) {
        cascaded = newest
        yield reading(false)
      }
    }
    cascaded = await whole
  } catch (error) {
    // The reader's own model may know other tokens: then there is a ladder, and no cascade.
    if (!(error instanceof EngineError && error.code === 'model')) throw error
    missing = error.message
  }
  yield reading(true)
}

async function* elsewhere({ engine, signal, seed }: Context): AsyncGenerator<SmallerReading> {
  const machine = await engine.machine(LARGE, { signal })
  const requests = [{ prompt: ASKED.prompt, maxTokens: ASKED.output, ignoreEos: true }]
  const serve = async (label: string, model: string, on: Machine) => timed(undefined, model, await engine.serve({ model: 'timing', requests }, { signal, on }), label)
  const { steps } = machine
  if (steps.kind !== 'roofline') {
    const own = await serve(machine.label, machine.label, machine)
    yield { trace: own.trace, rungs: [own], missing: `${machine.label} was recorded with one model: there is no smaller one to compare with.`, complete: true }
    return
  }
  const on = (model: string) => catalogueMachine({ hardware: steps.hardware, model, tensorParallel: steps.tensor_parallel, dtype: steps.dtype })
  const names = [steps.model]
  for (let next = smallerThan(steps.model); next && names.length < 3; next = smallerThan(next.name)) names.unshift(next.name)
  const rungs: Rung[] = []
  for (const name of names) rungs.push(await serve(modelSpec(name).label, name, on(name)))
  const reading: SmallerReading = { trace: rungs.at(-1)!.trace, rungs, complete: false }
  if (names.length < 2) {
    yield { ...reading, missing: `The catalogue has no dense model of half the size of ${rungs[0]!.label}.`, complete: true }
    return
  }
  yield reading
  const smaller = rungs.at(-2)!
  const scenario: ScenarioJson = {
    seed, arrivals: { process: 'deterministic', rate: 0.05 }, input: { dist: 'fixed', mean: ASKED.prompt }, output: { dist: 'fixed', mean: ASKED.output },
  }
  const alone = await engine.simulate({ machine, scenario: { ...scenario, requests: 100 } }, { signal })
  const small = on(smaller.model).steps
  const curve = (mode: 'after-answer' | 'up-front', decide: number) => engine.curve({
    machine, vary: 'cascade.escalation_rate', values: SHARES, figure: 'e2e_ms', within: 1,
    scenario: { ...scenario, cascade: { mode, escalation_rate: 0, decide_ms: decide, steps: small } },
  }, { signal })
  // A router that is the small model has decided when it has read the prompt.
  const [afterAnswer, upFront] = [await curve('after-answer', 0), await curve('up-front', smaller.ttfts[0]!)]
  yield {
    ...reading, complete: true,
    simulated: { small: smaller.label, large: rungs.at(-1)!.label, alone, afterAnswer: afterAnswer.points, upFront: upFront.points, provenance: afterAnswer.provenance },
  }
}

function timed(before: Rung | undefined, model: string, trace: Trace, label?: string): Rung {
  const found = perRequest(trace)
  return {
    model, label: label ?? ('device' in trace.provenance ? trace.provenance.device.model : model), trace, quality: before?.quality,
    ttfts: [...(before?.ttfts ?? []), ...found.map((r) => r.ttft)], gaps: [...(before?.gaps ?? []), ...found.flatMap((r) => r.itl)],
  }
}
