import { summarize } from '$engine/trace/metrics'
import type { Trace } from '$engine/trace/trace'
import type { Workload, WorkloadRequest } from '$engine/worker/protocol'
import { gammaArrivals } from './arrivals'
import type { Context, Reading } from './experiment'
import { follow } from './follow'

export interface Traffic {
  model: string
  /** Requests to send, in order; their arrivals are set here. */
  requests: readonly WorkloadRequest[]
  /** Requests of the same kind, all at once, to find what the engine sustains. */
  burst: readonly WorkloadRequest[]
  /** Places in the engine's step: requests beyond them wait in line. */
  places: number
  /** Rate sent as a share of the rate sustained. */
  load: number
  /** Coefficient of variation of the gaps between arrivals. */
  cv: number
}

export interface TrafficReading extends Reading {
  /** Requests per second while the burst kept every place busy, measured just before. */
  capacity: number
  /** Requests per second sent. */
  rate: number
  burst: Trace
}

/** Finds what the engine sustains with a burst, then sends requests at a share of that rate, served as they arrive. */
export async function* traffic(t: Traffic, { engine, signal, seed }: Context): AsyncGenerator<TrafficReading> {
  const workload = (requests: WorkloadRequest[]): Workload => ({ model: t.model, requests, maxSequences: t.places })
  const burst = await engine.serve(workload([...t.burst]), { signal })
  const capacity = summarize(burst).requestThroughput
  const rate = t.load * capacity
  const arrivals = atRate(gammaArrivals(t.requests.length, rate, t.cv, seed), rate)
  const requests = t.requests.map((r, i) => ({ ...r, arrival: arrivals[i]! }))
  for await (const { trace, complete } of follow(engine, workload(requests), signal)) yield { trace, complete, capacity, rate, burst }
}

/**
 * A few hundred bursty gaps add up to the stated rate only roughly (cv 2.5: within 15 %), and a little
 * more load is a lot more wait. Stretched as a whole they keep their rhythm and meet the rate exactly.
 */
function atRate(arrivals: number[], perSecond: number): number[] {
  const last = arrivals[arrivals.length - 1]!
  const wanted = ((arrivals.length - 1) / perSecond) * 1000
  return last > 0 ? arrivals.map((t) => (t / last) * wanted) : arrivals
}
