import { machineCost } from '../cost/machine'
import { lengths } from '../serving/lengths'
import { Random } from '../serving/random'
import { parseScenario, replicaCount, type Scenario, type ScenarioJson } from '../serving/scenario'
import { Simulation, type SimulateOptions } from '../serving/simulate'
import { relativeWidth } from '../serving/statistics'
import type { Provenance } from '../trace/provenance'
import type { Curve, CurvePoint, CurveRequest, ServingMachine, Simulated, SimulateRequest } from './protocol'

/** Real milliseconds of computing between looks at the message queue: a drag is heard within a frame. */
const SLICE_MS = 6
/** Events between looks at the clock. */
const EVENTS = 500
/** Requests measured at each point of a first curve: twenty of them take less than 300 ms. */
const FIRST = 600
/** A point is done with this many even if its band is still wide: some tens of seconds, beyond which nobody waits. */
const MOST = 1_500_000
/** Requests of each round against the one before. */
const ROUND = 6
/** Share of a run that is cut off before counting begins, so that the empty start does not show. */
const WARM_UP = 0.2
/** A point's 95 % band, half of its width against the value: narrower needs no more requests. */
const WITHIN = 0.1
/** Draws for the mean of a length that has no simple formula once it is cut to its limits. */
const DRAWS = 30_000

export interface SimulatorOptions {
  /** Lets messages in. */
  yieldThread: () => Promise<void>
  now?: () => number
}

/**
 * Simulations beside the page: each a task of small slices of work, so that many can be under way, each can
 * be cancelled within a few milliseconds, and first answers come before refinements.
 */
export class Simulator {
  /** Refinement waits while something is being measured on the same processor. */
  private held?: Promise<void>
  private letGo?: () => void
  /** First answers that are being computed. */
  private urgent = 0
  private readonly sustained = new Map<string, number>()
  private readonly now: () => number

  constructor(private readonly options: SimulatorOptions) {
    this.now = options.now ?? (() => performance.now())
  }

  /** Refinements wait (true) or go on (false); first answers never wait. */
  hold(on: boolean): void {
    if (on) this.held ??= new Promise((resolve) => (this.letGo = resolve))
    else {
      this.letGo?.()
      this.held = this.letGo = undefined
    }
  }

  /** Runs a scenario to its end; what is known so far is said after about every 50 ms of it. Throws ScenarioError, RangeError, or the signal's reason. */
  async simulate(request: SimulateRequest, { signal, onUpdate }: { signal?: AbortSignal; onUpdate?: (soFar: Simulated) => void } = {}): Promise<Simulated> {
    const scenario = await this.atLoad(this.scenario(request), request.machine, request.load, signal)
    const simulation = this.start(scenario, request.machine, { traceEvery: request.traceEvery, files: request.requests && { trace: { requests: request.requests } } })
    const provenance = this.provenance(scenario, request.machine)
    let said = this.now()
    while (await this.slice(simulation, signal)) {
      if (!onUpdate || simulation.measured === 0 || this.now() - said < 50) continue
      onUpdate({ summary: simulation.result(), provenance })
      said = this.now()
    }
    return { summary: simulation.result(), provenance, trace: simulation.trace }
  }

  /**
   * One figure over many values of one parameter, with common random numbers: every point serves the same
   * requests. A first answer for all points with few requests each, then in rounds, each with six times the
   * requests for those whose band is still wide, until none is. Only whole rounds are told: neighbours that
   * served different numbers of requests would make a smooth curve jagged.
   */
  async curve(request: CurveRequest, { signal, onUpdate }: { signal?: AbortSignal; onUpdate?: (soFar: Curve) => void } = {}): Promise<Curve> {
    const base = this.scenario(request)
    const { machine, vary, values, figure = 'ttft_ms', within = WITHIN } = request
    const ofLoad = vary === 'load'
    const needsCapacity = ofLoad || request.load !== undefined
    this.urgent++
    let points: (CurvePoint & { scenario: Scenario })[]
    let capacity: number | undefined
    try {
      capacity = needsCapacity ? await this.capacity(base, machine, signal) : undefined
      points = []
      for (const x of values) {
        const scenario = ofLoad ? withKey(base, 'arrivals.rate', x * capacity!) : withKey(capacity === undefined ? base : withKey(base, 'arrivals.rate', request.load! * capacity), vary, x)
        points.push({ ...(await this.point(x, scenario, machine, FIRST, ofLoad, within, figure, signal)), scenario })
      }
    } finally {
      this.urgent--
    }
    const provenance = this.provenance(base, machine)
    const state = (): Curve => ({ points: points.map(({ scenario: _, ...p }) => p), capacity, provenance, settled: points.every((p) => p.settled) })
    onUpdate?.(state())
    for (;;) {
      const open = points.filter((p) => !p.settled)
      if (open.length === 0) return state()
      for (const p of open) {
        const next = await this.point(p.x, p.scenario, machine, Math.min(MOST, ROUND * p.requests), ofLoad, within, figure, signal, true)
        points = points.map((q) => (q === p ? { ...next, scenario: p.scenario } : q))
      }
      onUpdate?.(state())
    }
  }

  /**
   * Requests per second that a scenario's servers sustain: how fast they answer while a line never ends.
   * Throws as `curve`.
   */
  async capacity(scenario: Scenario, machine: ServingMachine | undefined, signal?: AbortSignal): Promise<number> {
    if (scenario.service) return (replicaCount(scenario) * 1000) / scenario.service.mean_ms
    const { arrivals: _, requests: __, warmup: ___, slo: ____, ...kind } = scenario
    const key = JSON.stringify([kind, machine?.steps, machine?.limits])
    const known = this.sustained.get(key)
    if (known !== undefined) return known
    const places = scenario.scheduler.max_sequences * replicaCount(scenario)
    const requests = Math.min(40_000, Math.max(2000, 12 * places))
    const times: number[] = []
    const saturated: Scenario = { ...scenario, requests, warmup: 0, arrivals: { ...scenario.arrivals, process: 'closed', concurrency: requests, think_ms: 0 }, autoscaler: null, response_cache: null }
    let tokens = 0
    const simulation = this.start(saturated, machine, { onAnswer: (job, at) => { times.push(at); tokens += job.outputLength } })
    while (await this.slice(simulation, signal));
    // Neither the filling of the places nor their emptying: the stretch in the middle.
    const [from, to] = [Math.floor(times.length * 0.15), Math.floor(times.length * 0.75)]
    const span = times[to]! - times[from]!
    if (!(span > 0)) throw new RangeError('these servers answer in no time: there is no rate that they sustain')
    // A few thousand lengths have a mean of their own; the rate is that of the distribution's.
    const rate = (((to - from) / span) * 1000 * (tokens / times.length)) / meanLength(scenario)
    this.sustained.set(key, rate)
    return rate
  }

  private async point(x: number, scenario: Scenario, machine: ServingMachine | undefined, requests: number, ofLoad: boolean, within: number, figure: CurvePoint['figure'], signal: AbortSignal | undefined, patient = false): Promise<CurvePoint> {
    const simulation = this.start({ ...scenario, requests, warmup: Math.ceil(requests * WARM_UP) }, machine)
    do {
      while (patient && (this.held || this.urgent > 0)) {
        await (this.held ?? this.options.yieldThread())
        signal?.throwIfAborted()
      }
    } while (await this.slice(simulation, signal))
    const summary = simulation.result()
    const spread = summary[figure]
    const width = spread ? Math.max(relativeWidth(spread.mean, spread.interval), relativeWidth(spread.p99, spread.p99_interval)) : Infinity
    // What cannot be served has no long-run figure: more requests only make it longer.
    const stable = ofLoad ? x < 1 : summary.verdict === null
    return { x, summary, figure, requests, width, stable, settled: !stable || width <= within || requests >= MOST || spread === null }
  }

  private async atLoad(scenario: Scenario, machine: ServingMachine | undefined, load: number | undefined, signal: AbortSignal | undefined): Promise<Scenario> {
    return load === undefined ? scenario : withKey(scenario, 'arrivals.rate', load * (await this.capacity(scenario, machine, signal)))
  }

  /** Computes for a few milliseconds, then lets messages in. False when the simulation is over. */
  private async slice(simulation: Simulation, signal: AbortSignal | undefined): Promise<boolean> {
    signal?.throwIfAborted()
    const until = this.now() + SLICE_MS
    let more = true
    while (more && this.now() < until) more = simulation.advance(EVENTS)
    if (more) {
      await this.options.yieldThread()
      signal?.throwIfAborted()
    }
    return more
  }

  /** The written scenario on its machine; what it says itself goes before what the machine says. */
  private scenario({ scenario, machine }: { scenario: ScenarioJson; machine?: ServingMachine }): Scenario {
    if (!machine || scenario.service) return parseScenario({ ...scenario })
    const { sequences, tokens, blocks } = machine.limits
    return parseScenario({ ...scenario, steps: machine.steps, scheduler: { max_sequences: sequences, max_batched_tokens: tokens, kv_blocks: blocks, ...scenario.scheduler } })
  }

  private start(scenario: Scenario, machine: ServingMachine | undefined, options: SimulateOptions = {}): Simulation {
    return new Simulation(scenario, { ...options, cost: machine && !scenario.service ? machineCost(machine) : undefined })
  }

  private provenance(scenario: Scenario, machine: ServingMachine | undefined): Provenance {
    const { seed } = scenario
    if (machine && !scenario.service) return { how: 'simulated', costs: machine.provenance, seed }
    const conditions = scenario.service ? `${scenario.service.kind} service of ${scenario.service.mean_ms} ms` : 'step costs of the scenario'
    return { how: 'simulated', costs: { how: 'published', source: 'queueing model', conditions }, seed }
  }
}

/** Mean output tokens of a request, as drawn and cut. */
function meanLength({ output, seed }: Scenario): number {
  if (output.dist === 'fixed') return Math.min(output.max, Math.max(output.min, Math.round(output.mean)))
  if (output.dist === 'exponential' && output.max > 30 * output.mean && output.min <= 1) return Math.max(1, output.mean)
  const draw = lengths(output, new Random(seed, DRAWS))
  let sum = 0
  for (let i = 0; i < DRAWS; i++) sum += draw()
  return sum / DRAWS
}

/** The scenario with one number in it changed: 'arrivals.rate', 'replicas'. Throws RangeError for a key that holds no number. */
function withKey(scenario: Scenario, path: string, value: number): Scenario {
  const [key, ...rest] = path.split('.')
  const change = (of: Record<string, unknown>, name: string, keys: readonly string[]): Record<string, unknown> => {
    const held = of[name]
    if (keys.length === 0) {
      if (typeof held !== 'number' && held !== null) throw new RangeError(`${path} is no number of a scenario`)
      return { ...of, [name]: value }
    }
    if (typeof held !== 'object' || held === null) throw new RangeError(`${path} is no number of this scenario`)
    return { ...of, [name]: change(held as Record<string, unknown>, keys[0]!, keys.slice(1)) }
  }
  return change(scenario as unknown as Record<string, unknown>, key!, rest) as unknown as Scenario
}
