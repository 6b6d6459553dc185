import prompts from '$assets/models/prompts.json'
import { define } from '$components/controls/params'
import { stream } from '$components/frame/arrivals'
import type { Context, Reading } from '$components/frame/experiment'
import { follow } from '$components/frame/follow'
import { ENOUGH_FOR_P99 } from '$components/frame/measured'
import { traffic } from '$components/frame/traffic'
import { perRequest } from '$engine/trace/metrics'
import type { Trace } from '$engine/trace/trace'
import type { WorkloadRequest } from '$engine/worker/protocol'

export const params = define({})

const MODEL = 'tales-5m'
/** Output tokens of the opening's own generation. */
const OUTPUT = 64
/** Places in the step while the road is busy, and how busy it is. */
const PLACES = 6
const LOAD = 0.75
/** The traffic behind the opening takes about this long, whatever the machine; fewer requests on a slow one. */
const TRAFFIC_S = 12
const FEWEST = 24

export interface CoverReading extends Reading {
  /** The default prompt, alone: TTFT and tok/s. */
  solo: Trace
  /** Many users: the tail. */
  crowd?: Trace
  /** Requests of the crowd that have finished, of how many. */
  served: number
  sent: number
}

/** The default prompt alone, then enough traffic for a tail. */
export async function* run(_: object, context: Context): AsyncGenerator<CoverReading> {
  const { engine, signal, seed } = context
  const solo: { trace?: Trace } = {}
  for await (const { trace, complete } of follow(engine, { model: MODEL, requests: [{ prompt: prompts[0]!.text, maxTokens: OUTPUT }] }, signal)) {
    if (complete) solo.trace = trace
    yield { trace, complete: false, solo: trace, served: 0, sent: 0 }
  }
  const alone = perRequest(solo.trace!)[0]
  if (!alone) return
  const perSecond = 1000 / alone.e2e
  const sent = Math.min(ENOUGH_FOR_P99, Math.max(FEWEST, Math.round(perSecond * TRAFFIC_S)))
  const crowd = traffic({ model: MODEL, requests: users(sent, seed), burst: users(3 * PLACES, seed + 1), places: PLACES, load: LOAD, cv: 1 }, context)
  for await (const { trace, complete } of crowd) {
    const served = trace.events.reduce((n, e) => n + (e.kind === 'finished' ? 1 : 0), 0)
    yield { trace, complete, solo: solo.trace!, crowd: complete ? trace : undefined, served, sent }
  }
}

/** The shown prompts in any order, each with its own patience. */
function users(count: number, seed: number): WorkloadRequest[] {
  const uniform = stream(seed)
  return Array.from({ length: count }, () => ({ prompt: prompts[Math.floor(prompts.length * uniform())]!.text, maxTokens: 12 + Math.floor(36 * uniform()) }))
}
