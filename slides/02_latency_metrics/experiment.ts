import { define, integer, linear, log } from '$components/controls/params'
import type { Context, Reading } from '$components/frame/experiment'
import { follow } from '$components/frame/follow'
import { summarize } from '$engine/trace/metrics'
import type { Trace } from '$engine/trace/trace'
import type { Workload, WorkloadRequest } from '$engine/worker/protocol'
import type { Values } from '$components/controls/params'
import { gammaArrivals, stream } from './arrivals'

export const params = define({
  requests: integer({ from: 20, to: 400, default: 60, label: 'Requests', unit: 'req', hint: 'How many requests are sent to the engine.' }),
  cv: linear({ from: 0.2, to: 4, step: 0.1, default: 1, label: 'Burstiness', unit: 'cv', tone: 'queue', hint: 'Spread of the gaps between arrivals: 1 is random, more comes in bursts.' }),
  slo_ttft: log({ from: 20, to: 2000, default: 500, label: 'TTFT limit', unit: 'ms', tone: 'prefill', hint: 'Requests whose first token comes later do not count as good.' }),
})

/** Redrawn from the same Trace; the requests need not be served again. */
export const redrawn = ['slo_ttft'] as const

/** Places in the engine's step: few, so that requests beyond them wait in line as on a full server. */
export const PLACES = 4

/** Share of the rate that the engine sustained in a burst: busy, but it keeps up. */
export const LOAD = 0.75

const MODEL = 'tales-5m'
/** Requests in the burst that finds the rate: every place filled four times over. */
const BURST = 4 * PLACES

export interface TailReading extends Reading {
  /** Requests per second while a burst kept every place busy, measured just before. */
  capacity: number
  /** Requests per second sent. */
  rate: number
  burst: Trace
}

/** A burst to find what the engine sustains, then requests at 75 % of that rate, served as they arrive. */
export async function* run(p: Values<typeof params>, { engine, signal, seed }: Context): AsyncGenerator<TailReading> {
  const burst = await engine.serve(workload(sizes(BURST, seed + 1)), { signal })
  const capacity = summarize(burst).requestThroughput
  const rate = LOAD * capacity
  const arrivals = gammaArrivals(p.requests, rate, p.cv, seed)
  const requests = sizes(p.requests, seed).map((r, i) => ({ ...r, arrival: arrivals[i]! }))
  for await (const { trace, complete } of follow(engine, workload(requests), signal)) yield { trace, complete, capacity, rate, burst }
}

function workload(requests: WorkloadRequest[]): Workload {
  return { model: MODEL, requests, maxSequences: PLACES }
}

/** Short chats of unequal length: prompts of 8 to 64 tokens, outputs of 4 to 44, fewer of the long ones. */
function sizes(count: number, seed: number): WorkloadRequest[] {
  const uniform = stream(seed ^ 0x5eed)
  return Array.from({ length: count }, () => ({
    prompt: 8 + Math.floor(56 * uniform() ** 2),
    maxTokens: 4 + Math.floor(40 * uniform() ** 2),
    ignoreEos: true,
  }))
}
