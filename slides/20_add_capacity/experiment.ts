import { define, integer, linear, toggle, type Values } from '$components/controls/params'
import type { Context, Reading } from '$components/frame/experiment'
import type { Trace } from '$engine/trace/trace'
import type { Curve, ScenarioJson, Simulated } from '$engine/worker/protocol'

export const params = define({
  replicas: integer({ from: 1, to: 16, default: 2, label: 'Replicas', unit: '', hint: 'Parallel roads; with an autoscaler the most there may be.' }),
  load: linear({ from: 0.3, to: 8, step: 0.1, default: 1.6, label: 'Load', unit: '', tone: 'queue', hint: 'Requests that come at the peak, against what one replica can serve.' }),
  autoscale: toggle({ default: false, label: 'Autoscale', tone: 'queue', hint: 'Replicas come and go with the load, from one to as many as are set.' }),
  startup: integer({ from: 0, to: 300, step: 5, default: 60, label: 'Start-up', unit: 's', tone: 'queue', hint: 'From the decision to the first request served by a new replica.' }),
})

export const REPLICAS = [1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16]
const MODEL = 'tales-5m'
/** Places in a replica's step: few, as the toll has few gates. */
const PLACES = 4
const PROMPT = 256
/** Long answers: so a day has no more requests than can be simulated while somebody looks. */
const OUTPUT = 512
const LONGEST = 4096
const ROAD = 70
const HOUR_MS = 3_600_000
/** Length of an interval of the day. */
export const INTERVAL_MS = HOUR_MS / 4

/** Share of the peak at each hour: a night, a morning on which all come at nine, a dip at noon, an evening. */
export const HOURS = [0.15, 0.15, 0.1, 0.1, 0.1, 0.15, 0.2, 0.25, 0.3, 1, 1, 0.95, 0.7, 0.9, 1, 0.95, 0.85, 0.6, 0.45, 0.5, 0.5, 0.4, 0.3, 0.2] as const
export const NINE = 9
/** $ for an hour of a replica: as the price on slide 04 stands at first. */
export const PRICE = 2.5
/** How the autoscaler decides: one more when everybody has a full step before it, one less when most places are empty. */
const SCALER = { min: 1, interval_ms: 10_000, up_above: PLACES, down_below: PLACES / 4 }

export interface CapacityReading extends Reading {
  /** p99 against replicas at the peak's load. */
  curve: Curve
  /** Requests per second at the peak, and what one replica sustains. */
  rate: number
  capacity: number
  /** A day with all replicas running, and with the autoscaler where it is on; growing while they run. */
  fixed?: Simulated
  scaled?: Simulated
}

/**
 * So many replicas behind one router: p99 of TTFT against their number at a load, and a day of traffic with all of them
 * or with an autoscaler. Simulated from the machine's step costs.
 */
export async function* run(p: Values<typeof params>, { engine, signal, seed }: Context): AsyncGenerator<CapacityReading> {
  const machine = await engine.machine(MODEL, { signal })
  // What one replica sustains: the same for all loads, found once.
  const single = await engine.curve({ machine, vary: 'load', values: [0.5], within: 1, scenario: { seed, ...requests() } }, { signal })
  const capacity = single.capacity!
  const rate = p.load * capacity
  const base: ScenarioJson = { seed, ...requests(), router: 'shortest-queue' }
  const road = await engine.simulate({ machine, traceEvery: 1, scenario: { ...base, requests: ROAD, arrivals: { rate }, replicas: p.replicas } }, { signal })

  const state: { curve?: Curve; fixed?: Simulated; scaled?: Simulated; over: boolean; failure?: { error: unknown } } = { over: false }
  let wake = () => {}
  const told = () => wake()
  const curve = engine.curve(
    { machine, vary: 'replicas', values: [...new Set([...REPLICAS, p.replicas])].sort((a, b) => a - b).filter((n) => n > p.load), within: 0.15, scenario: { ...base, arrivals: { rate } } },
    { signal, onUpdate: (c) => { state.curve = c; told() } },
  ).then((c) => { state.curve = c })
  const day = (autoscaler: ScenarioJson['autoscaler'], onUpdate: (s: Simulated) => void) => engine.simulate({
    machine,
    scenario: {
      ...base, replicas: p.replicas, autoscaler, timeline_ms: INTERVAL_MS,
      // Counted, not drawn: the last of them comes about at midnight.
      requests: Math.round((rate * HOURS.reduce((a, b) => a + b, 0) * HOUR_MS) / 1000),
      arrivals: { rate, profile: [...HOURS], profile_period_ms: HOUR_MS },
    },
  }, { signal, onUpdate: (s) => { onUpdate(s); told() } }).then(onUpdate)
  const days = async () => {
    if (p.autoscale) await day({ ...SCALER, startup_ms: 1000 * p.startup }, (s) => { state.scaled = s })
    await day(null, (s) => { state.fixed = s })
  }
  void Promise.all([curve, days()]).then(() => { state.over = true }, (error: unknown) => { state.failure = { error } }).finally(told)

  for (;;) {
    const news = new Promise<void>((resolve) => { wake = resolve })
    if (state.failure) throw state.failure.error
    const { over } = state
    if (state.curve) yield { trace: road.trace as Trace, complete: over, curve: state.curve, rate, capacity, fixed: state.fixed, scaled: state.scaled }
    if (over) return
    await news
  }
}

/** Long answers to short questions, their lengths as wide apart as their mean. */
function requests(): ScenarioJson {
  return {
    input: { dist: 'fixed', mean: PROMPT },
    output: { dist: 'lognormal', mean: OUTPUT, cv: 1, max: LONGEST },
    scheduler: { max_sequences: PLACES, prefix_cache: false, kv_blocks: null },
  }
}
