import { define, type Values } from '$components/controls/params'
import type { Context, Reading } from '$components/frame/experiment'
import type { Trace } from '$engine/trace/trace'
import { pullAll, type Board } from '../levers'
import { preset, scenarioOf, WORKLOADS } from '../workloads'

export const params = define({ preset })

const MODEL = 'tales-5m'
/** Requests that are looked into one by one, to say where their time goes. */
const LOOKED_INTO = 300

export interface SpeedupsReading extends Reading {
  /** Some requests of the workload as things are. */
  trace: Trace
  /** What each lever does to the workload, as far as it was pulled. */
  board?: Board
}

/**
 * A workload on one machine: where its time goes, then one lever after the other, pulled on the same requests in
 * virtual time. On this device what a lever changes is measured first: other models, other precisions, how many drafts survive.
 */
export async function* run(p: Values<typeof params>, { engine, signal, seed }: Context): AsyncGenerator<SpeedupsReading> {
  const workload = WORKLOADS[p.preset]
  const machine = await engine.machine(MODEL, { signal })
  const scenario = scenarioOf(workload)
  const { trace } = await engine.simulate({ machine, load: workload.load, traceEvery: 1, scenario: { ...scenario, seed, requests: LOOKED_INTO } }, { signal })
  yield { trace: trace!, complete: false }
  for await (const board of pullAll({ machine, scenario, load: workload.load }, { engine, signal, seed })) yield { trace: trace!, board, complete: board.complete }
}
