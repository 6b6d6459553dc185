import { choice, define, type Values } from '$components/controls/params'
import type { Context, Reading } from '$components/frame/experiment'
import type { LoggedRequest, Machine, ScenarioJson } from '$engine/worker/protocol'
import { diagnoseFile, type Diagnosis } from '$engine/worker/diagnosis-client'
import { bottleneck, untilFirstToken, type Attribution } from '$engine/trace/bottleneck'
import type { Trace } from '$engine/trace/trace'
import { LEVERS, pullAll, REQUEST_LEVERS, type Board, type Lever, type Situation } from '../levers'
import { preset, scenarioOf, WORKLOADS } from '../workloads'
import { SYMPTOMS } from './symptoms'

export const params = define({
  symptom: choice({ options: Object.fromEntries([['none', 'none'], ...SYMPTOMS.map((s) => [s.id, s.says])]) as Record<string, string>, default: 'none', label: 'Symptom', hint: 'What users report.' }),
  preset,
  view: choice({ options: { map: 'map', case: 'case', matrix: 'matrix' }, default: 'map', label: 'View', hint: 'The map for the talk’s workload or a file, a support bot as the worked case, or all techniques beside what was published of them.' }),
})

/** A symptom is looked up; nothing is served for it. */
export const redrawn = ['symptom'] as const

const MODEL = 'tales-5m'
/** Requests whose time is attributed. */
const ATTRIBUTED = 120

/** A support bot's day: questions to a shop, with its rules before each and three passages of its handbook. An assumption, as every such bot is another. */
export const SUPPORT = {
  requestsADay: 100_000,
  /** Busiest hour against the mean of the day. */
  peak: 2,
  /** The busiest hour may use this share of a machine. */
  full: 0.7,
  /** $ for an hour of a machine, as on slides 04 and 20. */
  price: 2.5,
  scenario: {
    arrivals: { process: 'poisson' },
    input: { dist: 'lognormal', mean: 1800, cv: 0.4, max: 6000 },
    output: { dist: 'lognormal', mean: 180, cv: 0.8, max: 1000 },
    prefixes: { tokens: 1200, groups: 1, share: 1 },
    slo: { ttft_ms: 1000, tpot_ms: 50 },
  },
} as const satisfies { scenario: ScenarioJson } & Record<string, unknown>

export interface PlaybookReading extends Omit<Reading, 'trace'> {
  trace: Trace
  /** What is diagnosed, in words. */
  name: string
  /** Mean ms of a request, and until its first token. */
  parts: Attribution
  untilFirst?: Attribution
  board?: Board
  /** Of a file. */
  diagnosis?: Diagnosis
  /** Requests per second that come; in the worked case in its busiest hour. */
  rate?: number
  /** Machines that serve them. */
  machines?: number
}

/** A file of the reader's, and the meta file of the engine that wrote it. */
export interface Dropped {
  file: File
  meta?: File
}

const EMPTY = (provenance: Trace['provenance']): Trace => ({ provenance, requests: [], events: [], steps: [] })
const ALL: readonly Lever[] = [...LEVERS, ...REQUEST_LEVERS].map((l) => l.lever)

/**
 * Diagnoses the talk's workload on the lens's machine, or the worked case: some of its requests are served in virtual time and their
 * time is attributed; then every lever is pulled on the same traffic.
 */
export async function* run(p: Values<typeof params>, { engine, signal, seed }: Context): AsyncGenerator<PlaybookReading> {
  const machine = await engine.machine(MODEL, { signal })
  const worked = p.view === 'case'
  const workload = WORKLOADS[p.preset as keyof typeof WORKLOADS]
  const scenario: ScenarioJson = { ...(worked ? SUPPORT.scenario : scenarioOf(workload)), scheduler: { prefix_cache: false } }
  const fitted = fitting(scenario, machine)
  const { capacity } = await engine.curve({ machine, vary: 'load', values: [0.5], within: 1, scenario: { ...fitted, seed } }, { signal })
  const comes = worked ? (SUPPORT.requestsADay / 86_400) * SUPPORT.peak : workload.load * capacity!
  // As many machines as its busiest hour fills to seven tenths.
  const replicas = worked ? Math.max(1, Math.ceil(comes / (SUPPORT.full * capacity!))) : 1
  const situation: Situation = { machine, scenario: { ...fitted, replicas, router: 'shortest-queue', arrivals: { ...fitted.arrivals, rate: comes } } }
  // Its lengths and gaps, drawn by the simulator and served step by step on one machine: the Trace's time can be attributed.
  const drawn = await engine.simulate({ machine, traceEvery: 1, scenario: { ...situation.scenario, replicas: 1, seed, requests: ATTRIBUTED, arrivals: { ...fitted.arrivals, rate: comes / replicas } } }, { signal })
  const trace = await engine.serve(workloadOf(drawn.trace!), { signal, on: machine })
  const base = { trace, complete: false, name: worked ? 'Support bot' : workload.label, ...partsOf(trace), rate: comes, machines: replicas }
  yield base
  for await (const board of pullAll(situation, { engine, signal, seed, levers: ALL })) yield { ...base, board, complete: board.complete }
}

/** Diagnoses what somebody dropped, then pulls every lever on its very requests. */
export async function* runFile({ file, meta }: Dropped, { engine, signal, seed, onProgress }: Pick<Context, 'engine' | 'signal' | 'seed'> & { onProgress?: (p: { done: number; doing: string }) => void }): AsyncGenerator<PlaybookReading> {
  const diagnosis = await diagnoseFile(file, { meta, signal, onProgress })
  yield* runDiagnosis(diagnosis, { engine, signal, seed })
}

/** The same for what was diagnosed already. */
export async function* runDiagnosis(diagnosis: Diagnosis, { engine, signal, seed }: Pick<Context, 'engine' | 'signal' | 'seed'>): AsyncGenerator<PlaybookReading> {
  const base = { trace: EMPTY(diagnosis.provenance), complete: false, name: diagnosis.source.name, parts: diagnosis.parts.e2e, untilFirst: diagnosis.parts.ttft, diagnosis, rate: diagnosis.figures.rate }
  yield base
  const { machine, requests, replicas, rttMs, blocksUnknown } = diagnosis.served
  const { sequences, tokens, blocks } = machine.limits
  const scenario: ScenarioJson = {
    max_tokens: requests.reduce((n, r: LoggedRequest) => Math.max(n, r.outputTokens), 1),
    scheduler: { max_sequences: sequences, max_batched_tokens: tokens, kv_blocks: blocksUnknown ? null : blocks, prefix_cache: false },
    replicas, router: 'shortest-queue',
    ...(rttMs > 0 ? { regions: [{ name: 'client', rtt_ms: rttMs, replicas }] } : {}),
  }
  for await (const board of pullAll({ machine, scenario, requests }, { engine, signal, seed, levers: ALL })) yield { ...base, board, complete: board.complete }
}

/** Lengths that the machine's cache can hold. */
function fitting(scenario: ScenarioJson, machine: Machine): ScenarioJson {
  const most = Math.floor((machine.limits.blocks * 16) / 4)
  const cut = <L extends { max?: number; mean?: number } | undefined>(lengths: L): L => (lengths ? { ...lengths, max: Math.min(most, lengths.max ?? most) } : lengths)
  return { ...scenario, input: cut(scenario.input), output: cut(scenario.output) }
}

function workloadOf(trace: Trace) {
  const tokens = new Map<number, number>()
  for (const e of trace.events) if (e.kind === 'token') tokens.set(e.request, (tokens.get(e.request) ?? 0) + 1)
  return { model: 'timing', requests: trace.requests.filter((r) => tokens.has(r.id)).map((r) => ({ arrival: r.arrival, prompt: r.promptTokens, maxTokens: tokens.get(r.id)!, ignoreEos: true })) }
}

function partsOf(trace: Trace): Pick<PlaybookReading, 'parts' | 'untilFirst'> {
  return { parts: bottleneck(trace), untilFirst: bottleneck(untilFirstToken(trace)) }
}
