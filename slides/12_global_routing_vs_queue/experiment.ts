import { choice, define, integer, linear, type Values } from '$components/controls/params'
import type { Context, Reading } from '$components/frame/experiment'
import type { Trace } from '$engine/trace/trace'
import type { Curve, ScenarioJson, Simulated } from '$engine/worker/protocol'

export const params = define({
  load: linear({ from: 0.3, to: 1.05, step: 0.01, default: 0.9, label: 'Load here', unit: '', tone: 'queue', hint: 'Requests that come, against what the near region alone can serve.' }),
  rtt: integer({ from: 1, to: 300, default: 80, label: 'Round trip', unit: 'ms', hint: 'To the far region and back.' }),
  router: choice({
    options: { nearest: 'nearest', estimate: 'estimate', shortest: 'shortest', random: 'random', 'least-kv': 'least KV', affinity: 'affinity' },
    default: 'nearest', label: 'Router', hint: 'How a request finds its replica.',
  }),
  staleness: integer({ from: 0, to: 2000, step: 10, default: 0, label: 'Old news', unit: 'ms', tone: 'queue', hint: 'What the router sees of the queues may be this old.' }),
})

/** One run compares all routers: choosing another serves nothing anew. */
export const redrawn = ['router'] as const

export type RouterChoice = Values<typeof params>['router']

const ROUTERS = {
  nearest: 'nearest', estimate: 'least-latency', shortest: 'shortest-queue', random: 'random', 'least-kv': 'least-kv', affinity: 'prefix-affinity',
} as const satisfies Record<RouterChoice, ScenarioJson['router']>
export const ROUTER_NAMES = Object.keys(ROUTERS) as RouterChoice[]

/** Loads of the near region at which its wait is asked for. */
export const LOADS = [0.3, 0.4, 0.5, 0.58, 0.65, 0.7, 0.75, 0.8, 0.84, 0.88, 0.91, 0.94, 0.96, 0.98]

export const REPLICAS = 2
const MODEL = 'tales-5m'
/** Places in a replica's step: few, as the toll has few gates. */
const PLACES = 4
const PROMPT = 256
const PREFIX = 192
const OUTPUT = 32
const LONGEST = 256
/** More prefixes than one replica keeps, fewer than four do. */
const MANY = 48
const BLOCKS = 400
/** Requests of a comparison, of those on the road. */
const COMPARED = 3000
const ROAD = 90

export interface RoutingReading extends Reading {
  /** Mean wait in the near region against its own load. */
  here: Curve
  /** Every router on the same arrivals: prompts of many prefixes … */
  many: Record<RouterChoice, Simulated>
  /** … and all prompts with the same one. */
  one: Record<RouterChoice, Simulated>
  /** The shortest queue with many prefixes on fresh news; the same as in `many` where the news is fresh anyway. */
  fresh: Simulated
  roads: Record<RouterChoice, Trace>
}

/**
 * Two regions, all clients near the first: how long the wait there grows, and what six routers make of the
 * same arrivals over both. Simulated from the machine's step costs.
 */
export async function* run(p: Values<typeof params>, { engine, signal, seed }: Context): AsyncGenerator<RoutingReading> {
  const machine = await engine.machine(MODEL, { signal })
  let here: Curve | undefined
  let told!: () => void
  const first = new Promise<void>((resolve) => { told = resolve })
  const whole = engine.curve(
    { machine, vary: 'load', values: LOADS, figure: 'wait_ms', scenario: { seed, ...requests(MANY), replicas: REPLICAS, router: 'shortest-queue' } },
    { signal, onUpdate: (curve) => { here = curve; told() } },
  )
  // Whoever awaits it hears of its failure; until then nobody does.
  whole.catch(told)
  await first
  here ??= await whole
  const rate = p.load * here.capacity!
  const regions = [{ name: 'Here', rtt_ms: 0, replicas: REPLICAS }, { name: 'Overseas', rtt_ms: p.rtt, replicas: REPLICAS }]
  const ask = (router: RouterChoice, groups: number, staleness: number, count: number, traceEvery?: number) => engine.simulate({
    machine, traceEvery,
    scenario: { seed, requests: count, warmup: traceEvery ? 0 : count / 5, arrivals: { rate }, ...requests(groups), regions, router: ROUTERS[router], router_staleness_ms: staleness },
  }, { signal })
  const all = (groups: number, staleness: number) => each((router) => ask(router, groups, staleness, COMPARED))
  const many = await all(MANY, p.staleness)
  const one = await all(1, p.staleness)
  const fresh = p.staleness > 0 ? await ask('shortest', MANY, 0, COMPARED) : many.shortest
  const roads = await each(async (router) => (await ask(router, MANY, p.staleness, ROAD, 1)).trace!)
  const found = { trace: roads.nearest, many, one, fresh, roads }
  yield { ...found, here, complete: false }
  yield { ...found, here: await whole, complete: true }
}

async function each<T>(of: (router: RouterChoice) => Promise<T>): Promise<Record<RouterChoice, T>> {
  const out: Partial<Record<RouterChoice, T>> = {}
  for (const router of ROUTER_NAMES) out[router] = await of(router)
  return out as Record<RouterChoice, T>
}

/** Chats that begin with one of so many prefixes, on replicas that keep what they computed as long as it fits. */
function requests(groups: number): ScenarioJson {
  return {
    input: { dist: 'fixed', mean: PROMPT },
    output: { dist: 'lognormal', mean: OUTPUT, cv: 1, max: LONGEST },
    prefixes: { groups, tokens: PREFIX, share: 1 },
    scheduler: { max_sequences: PLACES, kv_blocks: BLOCKS, prefix_cache: true },
  }
}
