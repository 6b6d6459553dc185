import { hardware, HARDWARE } from '$engine/cost/hardware'
import { activeParameters, modelSpec, MODELS, totalParameters, touchedParameters } from '$engine/cost/models'
import type { Bottleneck } from '$engine/trace/bottleneck'
import { percentile } from '$engine/trace/metrics'
import type { Provenance } from '$engine/trace/provenance'
import type { Quantity } from '$engine/trace/quantity'
import type { IconName } from '$assets/icons'
import prompts from '$assets/models/prompts.json'
import { catalogueMachine } from '$engine/worker/lens'
import { EngineError, type Engine, type LoggedRequest, type Machine, type ScenarioJson, type ServingMachine, type Simulated } from '$engine/worker/protocol'
import { verificationOf } from './17_proxy_models/findings'
import { MMLU, MMLU_PROVENANCE } from './mmlu'

/**
 * What each of eight levers does for one server and its traffic: the same requests, served once as things are and once with
 * the lever pulled, in virtual time. The one place where this is worked out; slides show it, rank it, and say what it costs.
 */

export const LEVERS = [
  { lever: 'smaller', label: 'Smaller model', icon: 'scale', acts: ['memory', 'compute', 'overhead'] },
  { lever: 'moe', label: 'Mixture of experts', icon: 'routing', acts: ['compute', 'memory'] },
  { lever: 'speculation', label: 'Speculation', icon: 'lightning', acts: ['memory'] },
  { lever: 'quantization', label: 'Quantization', icon: 'chip', acts: ['memory'] },
  { lever: 'cache', label: 'KV and prefix cache', icon: 'memory-stack', acts: ['compute', 'queue'] },
  { lever: 'batching', label: 'Batching, scheduling', icon: 'lane', acts: ['queue'] },
  { lever: 'capacity', label: 'Capacity', icon: 'server', acts: ['queue'] },
  { lever: 'hardware', label: 'Hardware', icon: 'gpu', acts: ['memory', 'compute'] },
] as const satisfies readonly { lever: string; label: string; icon: IconName; acts: readonly Bottleneck[] }[]

/** What can be done about the requests themselves, and about where they are sent from. */
export const REQUEST_LEVERS = [
  { lever: 'prompt', label: 'Shorter prompts', icon: 'lane', acts: ['compute', 'queue'] },
  { lever: 'output', label: 'Capped answers', icon: 'toll-gate', acts: ['memory', 'queue'] },
  { lever: 'batch_lane', label: 'Batch lane', icon: 'car', acts: ['queue'] },
  { lever: 'nearby', label: 'Nearer region', icon: 'network', acts: ['network'] },
] as const satisfies readonly { lever: string; label: string; icon: IconName; acts: readonly Bottleneck[] }[]

export type Lever = (typeof LEVERS)[number]['lever'] | (typeof REQUEST_LEVERS)[number]['lever']

/** A server as it stands, and what is asked of it. */
export interface Situation {
  machine: ServingMachine
  /** Arrivals, lengths, limits, scheduler; `arrivals.rate` counts where no load is given. */
  scenario: ScenarioJson
  /** Rate as a share of what the server sustains as it stands. */
  load?: number
  /** The very requests of a log, in order of arrival: they are served in place of drawn ones. */
  requests?: readonly LoggedRequest[]
}

/** One way to serve the traffic, and what came of it. */
export interface Served {
  simulated: Simulated
  /** Requests per second that it would sustain. */
  capacity: number
}

export interface Before extends Served {
  /** Requests per second that come, before and after alike. */
  rate: number
}

/** A change in % each. Left out: the lever does not act on it. Null: nobody here knows. */
export interface Effects {
  ttft?: Quantity | null
  tpot?: Quantity | null
  /** Of TTFT. */
  p99?: Quantity | null
  /** Machine time of a request where the machines are full. */
  cost?: Quantity | null
  quality?: Quantity | null
}

export interface Pulled {
  lever: Lever
  /** What is different, in a few words; or why the lever cannot be pulled here. */
  says: string
  /** Absent where it cannot be pulled. */
  after?: Served
  /** True: what comes is more than the server sustains with this lever pulled. */
  overloaded: boolean
  effects: Effects
  /** True for quality in which more is better (a test's score); bits per byte are better when they fall. */
  higherIsBetter?: boolean
}

export interface Board {
  before: Before
  pulled: Partial<Record<Lever, Pulled>>
  complete: boolean
}

export interface PullOptions {
  engine: Pick<Engine, 'simulate' | 'curve' | 'machine' | 'serve' | 'quality'>
  signal?: AbortSignal
  seed?: number
  /** Only these (default: all). */
  levers?: readonly Lever[]
}

/** Requests that are counted of each run, and served before them so that the empty start does not show. */
const REQUESTS = 3000
const WARM_UP = 600
/** Tokens of a step where prompts are cut into smaller pieces. */
const SMALL_CHUNK = 512
/** Groups of weights that share a scale. */
const INT8 = { format: 'int8', group: 64 } as const
/** What this device serves, and what stands in for it. */
const LADDER = { base: 'tales-5m', smaller: 'tales-1m-distilled', moe: 'tales-moe', draft: 'tales-0.3m' } as const
const DRAFTS = 4
/** Leviathan et al. 2023, table 2: T5-XXL drafted by T5-small, greedy, summarising and translating: .65 and .75. */
const ACCEPTANCE = 0.7

/** Requests that nobody sits and waits for: an assumption, as every share of them would be. */
const PATIENT = 0.3
/** Round trip within a region, ms (as slide 12 has it for its near ones). */
const NEAR_MS = 5

/** What is changed, before anything is served. */
interface Change {
  says: string
  machine?: ServingMachine
  scenario?: ScenarioJson
  requests?: readonly LoggedRequest[]
  /** Another machine has another price, which nobody here knows. */
  unpriced?: true
  quality?: Quantity | null
  higherIsBetter?: true
}

/**
 * Pulls one lever after the other, those that need nothing measured first; yields after each. On this device other models,
 * precisions and the acceptance of drafts are measured when first asked for, and so is what they do to quality.
 * Rejects as `simulate` does, or with the signal's reason.
 */
export async function* pullAll(situation: Situation, options: PullOptions): AsyncGenerator<Board> {
  const { engine, signal, seed = 1, levers = LEVERS.map((l) => l.lever) } = options
  const serve = async (machine: ServingMachine, scenario: ScenarioJson, rate?: number, logged = situation.requests): Promise<Served & { rate: number }> => {
    if (logged) return serveLogged(logged, machine, { ...scenario, seed }, options)
    const { capacity } = await engine.curve({ machine, vary: 'load', values: [0.5], within: 1, scenario: { ...scenario, seed } }, { signal })
    const comes = rate ?? (situation.load === undefined ? scenario.arrivals!.rate! : situation.load * capacity!)
    const simulated = await engine.simulate({ machine, scenario: { ...scenario, seed, requests: REQUESTS, warmup: WARM_UP, arrivals: { ...scenario.arrivals, rate: comes } } }, { signal })
    return { simulated, capacity: capacity!, rate: comes }
  }
  const before = await serve(situation.machine, situation.scenario)
  const pulled: Board['pulled'] = {}
  yield { before, pulled: { ...pulled }, complete: levers.length === 0 }
  for (const [i, lever] of ORDER.filter((l) => levers.includes(l)).entries()) {
    const change = await CHANGES[lever](situation, { ...options, before }).catch(refused)
    if (typeof change === 'string') pulled[lever] = { lever, says: change, overloaded: false, effects: {} }
    else {
      const after = await serve(change.machine ?? situation.machine, change.scenario ?? situation.scenario, before.rate, change.requests)
      pulled[lever] = { lever, says: change.says, after, overloaded: situation.requests === undefined && before.rate >= after.capacity, effects: effectsOf(before, after, situation, change), higherIsBetter: change.higherIsBetter }
    }
    yield { before, pulled: { ...pulled }, complete: i === levers.length - 1 }
  }
}

/** What needs the simulator alone comes first. */
const ORDER: readonly Lever[] = ['capacity', 'cache', 'batching', 'prompt', 'output', 'batch_lane', 'nearby', 'hardware', 'quantization', 'smaller', 'moe', 'speculation']

/** A log's own requests; what the server sustains is found with the same lengths, drawn anew. */
async function serveLogged(requests: readonly LoggedRequest[], machine: ServingMachine, scenario: ScenarioJson, { engine, signal }: PullOptions): Promise<Served & { rate: number }> {
  const lengths = (of: (r: LoggedRequest) => number) => ({ dist: 'empirical' as const, values: requests.map(of) })
  const { capacity } = await engine.curve({ machine, vary: 'load', values: [0.5], within: 1, scenario: { ...scenario, arrivals: { process: 'poisson' }, input: lengths((r) => r.inputTokens), output: lengths((r) => r.outputTokens) } }, { signal })
  const simulated = await engine.simulate({ machine, requests, scenario: { ...scenario, requests: requests.length, warmup: 0, arrivals: { process: 'trace', file: 'a log' } } }, { signal })
  const span = requests.at(-1)!.arrival - requests[0]!.arrival
  return { simulated, capacity: capacity!, rate: span > 0 ? ((requests.length - 1) / span) * 1000 : 0 }
}

function effectsOf(before: Before, after: Served, { scenario, requests }: Situation, change: Change): Effects {
  const [a, b] = [before.simulated.summary, after.simulated.summary]
  const { provenance } = after.simulated
  const of = (metric: string, from: number | undefined, to: number | undefined, unit: string, formula: string, more = ''): Quantity | null =>
    from === undefined || to === undefined || !(from > 0) ? null
      : { metric, value: 100 * (to / from - 1), unit: '%', provenance, formula, note: `${change.says}: ${sized(from)} ${unit} before, ${sized(to)} ${unit} after${more}` }
  // A log ends, and with it the line: what is drawn without an end has no long-run figure above what is sustained.
  const waiting = requests !== undefined || before.rate < after.capacity
  const same = (what: string) => String.raw`\frac{\text{${what} after}}{\text{${what} before}} - 1`
  const machines = (s: ScenarioJson | undefined) => s?.replicas ?? 1
  const seconds = (served: Served, s: ScenarioJson | undefined) => machines(s) / served.capacity
  // More machines for the same traffic are paid for; of a faster one it is the freed time that can be given back.
  const more = machines(change.scenario ?? scenario) / machines(scenario)
  const cost = more > 1
    ? of('cost_change', before.rate / machines(scenario), before.rate / machines(scenario) * more, 'machines’ worth', String.raw`\frac{\text{machines after}}{\text{machines before}} - 1`)
    : of('cost_change', 1000 * seconds(before, scenario), 1000 * seconds(after, change.scenario ?? scenario), 'ms of a full machine a request', String.raw`\frac{\text{machine time after}}{\text{machine time before}} - 1`, ', if the time that is freed serves others')
  return {
    ttft: waiting ? of('ttft_change', a.ttft_ms?.p50, b.ttft_ms?.p50, 'ms', same('median TTFT')) : null,
    tpot: of('tpot_change', a.tpot_ms?.p50, b.tpot_ms?.p50, 'ms/token', same('median TPOT')),
    p99: waiting ? of('p99_ttft_change', a.ttft_ms?.p99, b.ttft_ms?.p99, 'ms', same('p99 of TTFT')) : null,
    cost: change.unpriced ? null : cost,
    ...(change.quality === undefined ? {} : { quality: change.quality }),
  }
}

/** A runner that does not hold a precision, a model that is not there: said, and the others are still pulled. */
function refused(error: unknown): string {
  if (error instanceof EngineError && error.code === 'model') return error.message
  throw error
}

const sized = (x: number) => String(Number(x.toPrecision(3)))

type Pull = (situation: Situation, context: PullOptions & { before: Before }) => Promise<Change | string>

const CHANGES: Record<Lever, Pull> = {
  async capacity({ scenario }) {
    const replicas = scenario.replicas ?? 1
    const regions = scenario.regions?.map((r) => ({ ...r, replicas: 2 * (r.replicas ?? 1) }))
    return { says: `${2 * replicas} replicas for ${replicas}`, scenario: { ...scenario, replicas: 2 * replicas, ...(regions ? { regions } : {}), router: scenario.router ?? 'shortest-queue' } }
  },

  async cache({ scenario, requests }) {
    if (requests) return 'The file does not say which prompts begin alike.'
    if (scenario.scheduler?.prefix_cache) return 'Prompts are cached already.'
    const { prefixes } = scenario
    if (!prefixes?.tokens) return 'No two prompts begin alike.'
    return { says: `a prefix cache, ${prefixes.tokens} tokens shared`, scenario: { ...scenario, scheduler: { ...scenario.scheduler, prefix_cache: true } } }
  },

  async prompt({ scenario, requests }) {
    const half = (n: number) => Math.max(1, Math.round(n / 2))
    const change = { says: 'prompts of half the tokens', quality: null }
    if (requests) return { ...change, requests: requests.map((r) => ({ ...r, inputTokens: half(r.inputTokens) })) }
    const { input, prefixes } = scenario
    return { ...change, scenario: {
      ...scenario,
      input: { ...input, mean: half(input?.mean ?? 512), ...(input?.max === undefined ? {} : { max: half(input.max) }), ...(input?.values ? { values: input.values.map(half) } : {}) },
      ...(prefixes ? { prefixes: { ...prefixes, tokens: half(prefixes.tokens ?? 512) } } : {}),
    } }
  },

  async output({ scenario, requests }) {
    const cap = Math.max(1, Math.round(requests ? requests.reduce((n, r) => n + r.outputTokens, 0) / requests.length : (scenario.output?.mean ?? 128)))
    return {
      says: `no answer longer than ${cap} tokens, now the mean`, quality: null,
      scenario: requests ? { ...scenario, max_tokens: cap } : { ...scenario, output: { ...scenario.output, max: cap } },
      ...(requests ? { requests: requests.map((r) => ({ ...r, outputTokens: Math.min(cap, r.outputTokens) })) } : {}),
    }
  },

  async batch_lane({ scenario }) {
    if (scenario.batch_lane) return 'There is a batch lane already.'
    return { says: `${100 * PATIENT}\u202f% of the requests can wait, and go behind the others`, scenario: { ...scenario, batch_lane: { share: PATIENT } } }
  },

  async nearby({ scenario }) {
    const { regions } = scenario
    const rtt = Math.max(0, ...(regions ?? []).map((r) => r.rtt_ms ?? 0))
    if (rtt <= NEAR_MS) return 'The way to the server is no part of it.'
    return { says: `a round trip of ${NEAR_MS} ms for ${Math.round(rtt)}`, scenario: { ...scenario, regions: regions!.map((r) => ({ ...r, rtt_ms: Math.min(r.rtt_ms ?? 0, NEAR_MS) })) } }
  },

  async batching({ scenario, machine }) {
    const { policy = 'continuous', chunked_prefill: chunked = true, max_batched_tokens: tokens = machine.limits.tokens } = scenario.scheduler ?? {}
    const continuous = policy === 'continuous' && chunked
    if (continuous && tokens <= SMALL_CHUNK / 4) return 'Prompts come in small pieces already.'
    const to = continuous ? Math.min(SMALL_CHUNK, tokens / 4) : tokens
    return {
      says: continuous ? `steps of ${to} tokens for ${tokens}` : `continuous batching, prompts in pieces`,
      scenario: { ...scenario, scheduler: { ...scenario.scheduler, policy: 'continuous', chunked_prefill: true, max_batched_tokens: to } },
    }
  },

  async hardware({ machine }) {
    const { steps } = machine
    if (steps.kind !== 'roofline') return { says: 'a machine twice as fast in everything', machine: scaled(machine, 'a machine twice as fast', { weights: 0.5, arithmetic: 0.5, caches: 0.5 }), unpriced: true }
    const own = hardware(steps.hardware)
    const next = HARDWARE.filter((h) => h.bytesPerSecond > own.bytesPerSecond && h.flops16 >= own.flops16).sort((a, b) => a.bytesPerSecond - b.bytesPerSecond)[0]
    if (!next) return `Nothing in the catalogue reads faster than ${own.label}.`
    return { says: `${next.label} for ${own.label}`, machine: variant(machine, { hardware: next.name }), unpriced: true }
  },

  async quantization({ machine }, { engine, signal }) {
    const { steps, provenance } = machine
    if (steps.kind === 'roofline') {
      if (steps.dtype !== 'bf16' && steps.dtype !== 'f16' && steps.dtype !== 'f32') return `Weights are ${steps.dtype} already.`
      const dtype = hardware(steps.hardware).flops8 ? 'fp8' : 'int8'
      return { says: `${dtype} weights and cache for ${steps.dtype}`, machine: variant(machine, { dtype }), quality: null }
    }
    if (provenance.how !== 'measured') return { says: 'weights of half the bits', machine: scaled(machine, 'weights of half the bits', { weights: 0.5 }), quality: null }
    const held = await engine.machine({ model: LADDER.base, weights: INT8 }, { signal })
    return { says: 'int8 weights for f32', machine: held, quality: await bits(engine, signal, { model: LADDER.base }, { model: LADDER.base, weights: INT8 }) }
  },

  async smaller({ machine }, { engine, signal }) {
    const { steps, provenance } = machine
    if (steps.kind === 'roofline') {
      const own = modelSpec(steps.model)
      const next = smallerThan(own.name)
      if (!next) return `The catalogue has no dense model of half the size of ${own.label}.`
      const [from, to] = [MMLU[own.name], MMLU[next.name]]
      return {
        says: `${next.label} for ${own.label}`, machine: variant(machine, { model: next.name }), higherIsBetter: true,
        quality: from === undefined || to === undefined ? null : {
          metric: 'quality_change', value: 100 * (to / from - 1), unit: '%', formula: String.raw`\frac{\text{MMLU after}}{\text{MMLU before}} - 1`, note: `MMLU ${from} before, ${to} after`,
          provenance: MMLU_PROVENANCE,
        },
      }
    }
    if (provenance.how !== 'measured') return { says: 'a model of half the size', machine: scaled(machine, 'a model of half the size', { weights: 0.5, arithmetic: 0.5, caches: 0.5 }), quality: null }
    if (machine.label.includes(LADDER.draft)) return `Nothing smaller than ${LADDER.draft} was trained.`
    return { says: `${LADDER.smaller} for ${LADDER.base}`, machine: await engine.machine(LADDER.smaller, { signal }), quality: await bits(engine, signal, { model: LADDER.base }, { model: LADDER.smaller }) }
  },

  async moe({ machine }, { engine, signal, before }) {
    const { steps, provenance, model } = machine
    if (steps.kind === 'roofline') {
      const own = modelSpec(steps.model)
      if (own.moe) return `${own.label} is a mixture already.`
      return { says: `${own.label} cut into 8 experts, 2 for each token`, machine: variant(machine, { model: `${own.name}:8x2` }), quality: null }
    }
    if (provenance.how !== 'measured') {
      const own = model && 'catalogue' in model ? modelSpec(model.catalogue) : undefined
      if (!own || own.moe) return 'What a token would meet of it is not known.'
      const cut = modelSpec(`${own.name}:8x2`)
      // With many tokens in a step every expert is read: the bytes stay, the arithmetic goes.
      const read = touchedParameters(cut, Math.max(1, before.simulated.summary.mean_in_system)) / activeParameters(own)
      return { says: `${own.label} cut into 8 experts, 2 for each token`, machine: scaled(machine, cut.label, { weights: read, arithmetic: activeParameters(cut) / activeParameters(own) }), quality: null }
    }
    return { says: `${LADDER.moe} for ${LADDER.base}`, machine: await engine.machine(LADDER.moe, { signal }), quality: await bits(engine, signal, { model: LADDER.base }, { model: LADDER.moe }) }
  },

  async speculation({ machine }, { engine, signal }) {
    if (machine.steps.speculation) return 'Tokens are drafted already.'
    const with_ = (acceptance: number, cost: number, says: string): Change => ({ says, machine: { ...machine, steps: { ...machine.steps, speculation: { drafts: DRAFTS, acceptance, draft_cost: cost } } } })
    const { steps, provenance } = machine
    if (provenance.how === 'measured') {
      const requests = prompts.slice(0, 4).map(({ text }) => ({ prompt: text, maxTokens: 32 }))
      const trace = await engine.serve({ model: LADDER.base, maxSequences: 1, requests, speculate: { method: 'linear', k: DRAFTS, draft: LADDER.draft } }, { signal })
      const { tokens, drafted } = verificationOf(trace)
      if (drafted === 0) return 'Nothing was drafted here.'
      const duration = (role?: 'draft') => percentile(trace.steps.filter((s) => s.role === role && s.batch.every((b) => b.context > 0)).map((s) => s.duration), 50)
      const acceptance = acceptanceFor(tokens)
      return with_(acceptance, duration('draft') / (steps.kind === 'affine' ? steps.base_ms + steps.per_sequence_ms : duration()), `${DRAFTS} drafts by ${LADDER.draft}, ${Math.round(100 * acceptance)}\u202f% accepted (measured)`)
    }
    const draft = steps.kind === 'roofline' ? drafter(steps.model) : undefined
    const cost = draft && steps.kind === 'roofline' ? await ratio(engine, signal, variant(machine, { model: draft.name }), machine as Machine /* of the catalogue, and whole */) : 0.1
    return with_(ACCEPTANCE, cost, `${DRAFTS} drafts${draft ? ` by ${draft.label}` : ''}, ${100 * ACCEPTANCE}\u202f% accepted (Leviathan et al. 2023)`)
  },
}

/** The same catalogue machine with something else in it. */
function variant({ steps, model }: ServingMachine, change: { hardware?: string; model?: string; dtype?: 'fp8' | 'int8' }): Machine {
  if (steps.kind !== 'roofline' || !model || !('catalogue' in model)) throw new RangeError('only a machine of the catalogue has variants in it')
  return catalogueMachine({ hardware: steps.hardware, model: steps.model, tensorParallel: steps.tensor_parallel, dtype: steps.dtype, mfu: steps.mfu ?? undefined, mbu: steps.mbu ?? undefined, overheadMs: steps.overhead_ms, ...change })
}

/**
 * A machine known by five numbers with some of what they are made of changed (REFERENCE: the base is the reading of weights, a prompt
 * token is arithmetic, a context token is the reading of its cache). A model of the change, not a measurement of it.
 */
function scaled(machine: ServingMachine, what: string, { weights = 1, arithmetic = 1, caches = 1 }: { weights?: number; arithmetic?: number; caches?: number }): ServingMachine {
  const { steps } = machine
  if (steps.kind !== 'affine') throw new RangeError('only five numbers can be scaled')
  const provenance: Provenance = { how: 'modelled', hardware: machine.label, model: what }
  return {
    ...machine, label: `${machine.label}, ${what}`, provenance,
    steps: {
      ...steps, base_ms: steps.base_ms * weights, per_sequence_ms: steps.per_sequence_ms * arithmetic, per_context_token_ms: steps.per_context_token_ms * caches,
      per_prefill_token_ms: steps.per_prefill_token_ms * arithmetic, per_prefill_token_context_ms: steps.per_prefill_token_context_ms * arithmetic,
    },
  }
}

/** What both are called until the version. */
const family = (name: string) => name.split(/[-\d]/)[0]!

/** The largest dense model of the catalogue with half the weights at most: of the same family and vocabulary, where there is one. */
export function smallerThan(name: string) {
  const own = modelSpec(name)
  const fits = MODELS.filter((m) => !m.moe && totalParameters(m) <= totalParameters(own) / 2).sort((a, b) => totalParameters(b) - totalParameters(a))
  return fits.find((m) => m.vocab === own.vocab && family(m.name) === family(name)) ?? fits[0]
}

/** Who can draft for it: the smallest model of its vocabulary with a twentieth of its weights at least. */
function drafter(name: string) {
  const own = modelSpec(name)
  const fits = MODELS.filter((m) => m.vocab === own.vocab && totalParameters(m) <= totalParameters(own) / 4).sort((a, b) => totalParameters(a) - totalParameters(b))
  return fits.find((m) => totalParameters(m) >= totalParameters(own) / 20) ?? fits.at(-1)
}

/** A decode step on one machine in steps of another. */
async function ratio(engine: Pick<Engine, 'serve'>, signal: AbortSignal | undefined, draft: Machine, target: Machine): Promise<number> {
  const step = async (on: Machine) => {
    const trace = await engine.serve({ model: 'timing', requests: [{ prompt: 512, maxTokens: 3, ignoreEos: true }] }, { signal, on })
    return trace.steps.at(-1)!.duration
  }
  return (await step(draft)) / (await step(target))
}

/** The share of drafts, each as likely as the next, that yields so many tokens a verification: (1 − a^(K+1)) / (1 − a). */
export function acceptanceFor(tokens: number, drafts = DRAFTS): number {
  let [low, high] = [0, 1]
  for (let i = 0; i < 50; i++) {
    const a = (low + high) / 2
    if ((1 - a ** (drafts + 1)) / (1 - a) < tokens) low = a
    else high = a
  }
  return low
}

/** Bits per byte of one model against another's, both read here. */
async function bits(engine: Pick<Engine, 'quality'>, signal: AbortSignal | undefined, exact: Parameters<Engine['quality']>[0], other: Parameters<Engine['quality']>[0]): Promise<Quantity> {
  const [a, b] = [await engine.quality(exact, { signal }), await engine.quality(other, { signal })]
  return {
    metric: 'bits_per_byte_change', value: 100 * (b.bitsPerByte / a.bitsPerByte - 1), unit: '%', provenance: b.provenance,
    formula: String.raw`\frac{\text{bits per byte after}}{\text{bits per byte before}} - 1`, note: `${a.bitsPerByte.toFixed(3)} bits per byte before, ${b.bitsPerByte.toFixed(3)} after, ${b.bytes} bytes of a passage that neither was trained on`,
  }
}
