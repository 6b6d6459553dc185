import { choice, define, linear, log, power2, type Values } from '$components/controls/params'
import { stream } from '$components/frame/arrivals'
import type { Context, Reading } from '$components/frame/experiment'
import type { Trace } from '$engine/trace/trace'
import { catalogueMachine } from '$engine/worker/lens'
import type { Engine, Workload } from '$engine/worker/protocol'

export const params = define({
  batch: power2({ from: 1, to: 64, default: 8, label: 'Batch', unit: 'seq', tone: 'decode', hint: 'Places in the engine’s step.' }),
  policy: choice({ options: ['continuous', 'static'], default: 'continuous', label: 'Batching', hint: 'Static waits for the longest of a batch; continuous lets the next one in as soon as a place is free.' }),
  slo_tpot: log({ from: 5, to: 500, default: 50, label: 'TPOT limit', unit: 'ms', tone: 'decode', hint: 'Requests whose tokens come slower do not count as good.' }),
  spread: linear({ from: 0, to: 3, step: 0.1, default: 1, label: 'Output spread', unit: 'cv', hint: 'How unlike the output lengths are: 0 makes all alike.' }),
})

/** One run holds all batches. */
export const redrawn = ['batch', 'slo_tpot'] as const

export const BATCHES = [1, 2, 4, 8, 16, 32, 64]
export const POLICIES = ['continuous', 'static'] as const

/** Short prompts and outputs: the sweep is over in seconds, and decode is what it is about. */
const PROMPT = 8
const OUTPUT = 16
const LONGEST = 160
/** Every place is filled so many times over, a few requests at least. */
const TURNS = 2
/** On the roads, in virtual time, much oftener: what a policy is worth shows once the first batch is over. */
const ROAD_TURNS = 6
const FEWEST = 4

export interface SweepPoint {
  batch: number
  trace: Trace
}

export interface BatchReading extends Reading {
  /** Served on the machine that is looked at, ascending in batch. */
  sweep: SweepPoint[]
  /** On this device: the same in virtual time by its step costs. Else empty: the sweep is that already. */
  simulated: SweepPoint[]
  /** Both policies on the same requests in virtual time, by batch: for the roads. */
  roads: Partial<Record<(typeof POLICIES)[number], SweepPoint[]>>
  /** MPT-7B on an A100, by roofline. */
  roofline: SweepPoint[]
}

/** A sweep of the batch: how many tokens a second all users get, and how long one of them waits for his. */
export async function* run(p: Values<typeof params>, context: Context): AsyncGenerator<BatchReading> {
  const { engine, signal, lens = 'here', seed } = context
  const reading: Omit<BatchReading, 'trace' | 'complete'> = { sweep: [], simulated: [], roads: {}, roofline: await mpt7b(engine, signal) }
  for (const batch of BATCHES) {
    reading.sweep = [...reading.sweep, { batch, trace: await engine.serve(workload(batch, p.policy, p.spread, seed), { signal }) }]
    yield { ...reading, trace: reading.sweep.at(-1)!.trace, complete: false }
  }
  const machine = await engine.machine('timing', { signal })
  const virtually = async (policy: (typeof POLICIES)[number], turns: number) => {
    const points: SweepPoint[] = []
    for (const batch of BATCHES) points.push({ batch, trace: await engine.serve(workload(batch, policy, p.spread, seed, turns), { signal, on: machine }) })
    return points
  }
  for (const policy of POLICIES) reading.roads[policy] = await virtually(policy, ROAD_TURNS)
  reading.simulated = lens === 'here' ? await virtually(p.policy, TURNS) : []
  yield { ...reading, trace: reading.sweep.at(-1)!.trace, complete: true }
}

/** More requests than places, all there at once, outputs as wide apart as asked. */
function workload(batch: number, policy: 'continuous' | 'static', spread: number, seed: number, turns = TURNS): Workload {
  const uniform = stream(seed ^ 0xba7c)
  const count = Math.max(FEWEST, turns * batch)
  const variance = Math.log(1 + spread * spread)
  return {
    model: 'timing', policy, maxSequences: batch,
    requests: Array.from({ length: count }, () => {
      const normal = Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform())
      const length = OUTPUT * Math.exp(Math.sqrt(variance) * normal - variance / 2)
      return { prompt: PROMPT, maxTokens: Math.min(LONGEST, Math.max(2, Math.round(length))), ignoreEos: true }
    }),
  }
}

/** The efficiency that fits the published curve (found by the claims ledger): what servers of 2023 reached on this card. */
const A100 = { hardware: 'a100-40-sxm', model: 'mpt-7b', mfu: 0.52, mbu: 0.56, overheadMs: 1 } as const

async function mpt7b(engine: Engine, signal: AbortSignal): Promise<SweepPoint[]> {
  const on = catalogueMachine(A100)
  const points: SweepPoint[] = []
  for (const batch of BATCHES) {
    const requests = Array.from({ length: batch }, () => ({ prompt: 512, maxTokens: 64, ignoreEos: true }))
    points.push({ batch, trace: await engine.serve({ model: 'timing', maxSequences: batch, requests }, { signal, on }) })
  }
  return points
}
