import { define, linear, type Values } from '$components/controls/params'
import { gammaArrivals, stream } from '$components/frame/arrivals'
import type { Context, Reading } from '$components/frame/experiment'
import { ENOUGH_FOR_P99 } from '$components/frame/measured'
import { summarize } from '$engine/trace/metrics'
import type { Trace } from '$engine/trace/trace'
import type { Curve, Machine, Workload } from '$engine/worker/protocol'

export const params = define({
  load: linear({ from: 0.3, to: 1.05, step: 0.01, default: 0.85, label: 'Load', unit: '', tone: 'queue', hint: 'Requests that come, against those that can be served.' }),
  cv: linear({ from: 0.2, to: 4, step: 0.1, default: 1, label: 'Burstiness', unit: 'cv', tone: 'queue', hint: 'Spread of the gaps between arrivals: 1 is random, more comes in bursts.' }),
  service_cv: linear({ from: 0, to: 3, step: 0.1, default: 1, label: 'Output spread', unit: 'cv', hint: 'Spread of the output lengths: 0 makes all requests alike.' }),
})

/** One run holds all loads: moving along the curve serves nothing anew. */
export const redrawn = ['load'] as const

export const LOADS = [0.3, 0.36, 0.42, 0.48, 0.54, 0.6, 0.65, 0.7, 0.74, 0.78, 0.82, 0.85, 0.88, 0.9, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98]
/** Loads at which the live engine is asked. */
export const LIVE_LOADS = [0.5, 0.7, 0.85]
/** Loads of which the road has a picture. */
export const ROAD_LOADS = [0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1, 1.05]

/** Places in the engine's step: few, as the toll has few gates, so that requests stand in line before it. */
export const PLACES = 4
const MODEL = 'tales-5m'
const PROMPT = 32
const OUTPUT = 16
const LONGEST = 400
/** Requests on the road, of a burst that compares speeds, and of a live run: for a p99 at least, else as many as this takes. */
const ROAD = 90
const BURST = 60
const LIVE = 400
const LIVE_S = 8

export interface LivePoint {
  load: number
  trace: Trace
  /** The same requests in virtual time on the same machine's step costs. */
  virtual: Trace
}

export interface CongestionReading extends Reading {
  curve: Curve
  machine: Machine
  /** By load, as ROAD_LOADS. */
  roads: Trace[]
  live: LivePoint[]
  /** Live runs to come besides. */
  expected: number
}

/**
 * p50 and p99 of TTFT against the load: simulated from the machine's step costs, first roughly, then ever
 * surer; on this device also live, at three loads, the very requests that the simulator is asked about.
 */
export async function* run(p: Values<typeof params>, context: Context): AsyncGenerator<CongestionReading> {
  const { engine, signal, lens = 'here', seed } = context
  const machine = await engine.machine(MODEL, { signal })
  const state: { curve?: Curve; roads: Trace[]; live: LivePoint[]; over: boolean; failure?: unknown } = { roads: [], live: [], over: false }
  let wake = () => {}
  const told = () => wake()

  const curve = engine.curve(
    {
      machine, vary: 'load', values: LOADS,
      scenario: {
        seed,
        arrivals: { process: 'gamma', cv: p.cv },
        input: { dist: 'fixed', mean: PROMPT },
        output: { dist: 'lognormal', mean: OUTPUT, cv: p.service_cv, max: LONGEST },
        scheduler: { max_sequences: PLACES, prefix_cache: false },
      },
    },
    { signal, onUpdate: (c) => { state.curve = c; told() } },
  ).then((c) => { state.curve = c })
  const beside = async () => {
    while (!state.curve) await new Promise<void>((resolve) => { listeners.push(resolve) })
    const { capacity } = state.curve
    for (const load of ROAD_LOADS) state.roads.push(await engine.serve(workload(ROAD, load * capacity!, p, seed), { signal, on: machine }))
    told()
    if (lens !== 'here') return
    // The same burst live and in virtual time: by how much this device is faster now than when its steps were timed.
    const burst = workload(BURST, Infinity, p, seed + 1)
    const speed = duration(await engine.serve(burst, { signal, on: machine })) / duration(await engine.serve(burst, { signal }))
    for (const load of LIVE_LOADS) {
      const rate = load * capacity! * speed
      const requests = Math.min(LIVE, Math.max(40, Math.round(LIVE_S * rate)))
      const trace = await engine.serve(workload(requests, rate, p, seed + 2), { signal })
      const virtual = await engine.serve(workload(requests, rate / speed, p, seed + 2), { signal, on: machine })
      state.live.push({ load, trace, virtual })
      told()
    }
  }
  const listeners: (() => void)[] = []
  void Promise.all([curve, beside()]).then(() => { state.over = true }, (error: unknown) => { state.failure = { error } }).finally(told)

  for (;;) {
    const news = new Promise<void>((resolve) => { wake = () => { for (const l of listeners.splice(0)) l(); resolve() } })
    if (state.failure) throw (state.failure as { error: unknown }).error
    const { over } = state
    if (state.curve && state.roads.length === ROAD_LOADS.length) {
      yield { trace: state.roads[0]!, complete: over, curve: state.curve, machine, roads: state.roads, live: [...state.live], expected: lens === 'here' ? LIVE_LOADS.length : 0 }
    }
    if (over) return
    await news
  }
}

/** Whether a live point has the requests that a p99 takes. */
export const enough = ({ trace }: LivePoint): boolean => trace.requests.length >= ENOUGH_FOR_P99

const duration = (trace: Trace): number => summarize(trace).durationS

/** Chats of one prompt's length, outputs as wide apart as asked, at a rate in requests per second. */
function workload(count: number, rate: number, p: { cv: number; service_cv: number }, seed: number): Workload {
  const uniform = stream(seed ^ 0x1e49)
  const times = Number.isFinite(rate) ? scaled(gammaArrivals(count, rate, p.cv, seed), rate) : []
  const lengths = Array.from({ length: count }, () => Math.min(LONGEST, Math.max(1, Math.round(OUTPUT * lognormal(p.service_cv, uniform)))))
  return {
    model: MODEL, maxSequences: PLACES,
    requests: lengths.map((maxTokens, i) => ({ prompt: PROMPT, maxTokens, ignoreEos: true, arrival: times[i] ?? 0 })),
  }
}

/** Mean 1, by Box and Muller. */
function lognormal(cv: number, uniform: () => number): number {
  const variance = Math.log(1 + cv * cv)
  const normal = Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform())
  return Math.exp(Math.sqrt(variance) * normal - variance / 2)
}

/** A few hundred gaps add up to the rate only roughly; stretched as a whole they meet it. */
function scaled(times: number[], rate: number): number[] {
  const last = times.at(-1)!
  return last > 0 ? times.map((t) => (t / last) * ((times.length - 1) / rate) * 1000) : times
}
