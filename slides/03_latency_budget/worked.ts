import { catalogueMachine } from '$engine/worker/lens'
import type { Provenance } from '$engine/trace/provenance'
import type { Engine, ScenarioJson, SimulationResult } from '$engine/worker/protocol'
import { WORKLOADS } from '../workloads'

/** What a round of the work looks at, ms: what its user waits for, part by part. */
export interface WorkedRow {
  /** What was done to get here; undefined: nothing yet. */
  fix?: Pick<Fix, 'name'>
  parts: Record<WorkedPart, number>
  total: number
}

export type WorkedPart = 'network' | 'gateway' | 'retrieval' | 'queue' | 'prefill' | 'decode'
export const WORKED_PARTS: readonly WorkedPart[] = ['network', 'gateway', 'retrieval', 'queue', 'prefill', 'decode']

export interface Worked {
  /** From as it was found to within its budget: each row the one before with its largest part fixed. */
  rows: WorkedRow[]
  /** As it was found, with the second largest part fixed instead. */
  instead: WorkedRow
  budgetMs: number
  provenance: Provenance
}

/** A server as it was found, and what is done about each part when it is the largest. */
interface Server {
  replicas: number
  streamed: boolean
  prompt: number
  rtt: number
  reranked: boolean
}

interface Fix {
  name: string
  apply: (s: Server) => Server
}

/** A lookup service that shows an answer once it is whole, nearly full. */
const FOUND: Server = { replicas: 1, streamed: false, prompt: WORKLOADS.rag.input.mean, rtt: 40, reranked: true }
const LOAD = 0.95
const PLACES = 8
const REQUESTS = 4000
const BUDGET_MS = 1000

const FIXES: Record<WorkedPart, Fix> = {
  decode: { name: 'stream the answer', apply: (s) => ({ ...s, streamed: true }) },
  queue: { name: 'one more replica', apply: (s) => ({ ...s, replicas: s.replicas + 1 }) },
  prefill: { name: 'a quarter of the chunks', apply: (s) => ({ ...s, prompt: s.prompt / 4 }) },
  retrieval: { name: 'no reranker', apply: (s) => ({ ...s, reranked: false }) },
  network: { name: 'a nearer region', apply: (s) => ({ ...s, rtt: s.rtt / 4 }) },
  gateway: { name: 'a nearer region', apply: (s) => ({ ...s, rtt: s.rtt / 4 }) },
}

/**
 * The worked case: attribute, fix the largest part, look again, until the user's second is kept. Llama-3.1-8B on one
 * H100 by roofline, its line simulated; every row is a run of its own over the same arrivals.
 */
export async function work(engine: Engine, { signal, seed }: { signal: AbortSignal; seed: number }): Promise<Worked> {
  const machine = catalogueMachine({ hardware: 'h100-sxm', model: 'llama-3.1-8b' })
  const scenario = (s: Server): ScenarioJson => ({
    seed, requests: REQUESTS, warmup: REQUESTS / 10, replicas: s.replicas, router: 'shortest-queue',
    input: { dist: 'lognormal', mean: s.prompt, cv: WORKLOADS.rag.input.cv, max: WORKLOADS.rag.input.max },
    output: { dist: 'lognormal', mean: WORKLOADS.rag.output.mean, cv: WORKLOADS.rag.output.cv, max: WORKLOADS.rag.output.max },
    scheduler: { prefix_cache: false, max_sequences: PLACES },
  })
  const { capacity } = await engine.curve({ machine, vary: 'load', values: [LOAD], within: 1, scenario: scenario(FOUND) }, { signal })
  const look = async (s: Server, fix?: Fix): Promise<WorkedRow> => {
    const { summary } = await engine.simulate({ machine, scenario: { ...scenario(s), arrivals: { rate: LOAD * capacity! } } }, { signal })
    const parts = partsOf(s, summary)
    return { fix: fix && { name: fix.name }, parts, total: WORKED_PARTS.reduce((sum, part) => sum + parts[part], 0) }
  }
  let server = FOUND
  const rows = [await look(server)]
  const [, second] = ranked(rows[0]!)
  const instead = await look(FIXES[second!].apply(FOUND), FIXES[second!])
  // Each part is fixed once at most.
  for (const left = new Set(WORKED_PARTS); rows.at(-1)!.total > BUDGET_MS && left.size > 0;) {
    const part = ranked(rows.at(-1)!).find((p) => left.has(p))!
    left.delete(part)
    server = FIXES[part].apply(server)
    rows.push(await look(server, FIXES[part]))
  }
  return { rows, instead, budgetMs: BUDGET_MS, provenance: { how: 'simulated', costs: machine.provenance, seed } }
}

/** Parts from the largest to the smallest. */
export const ranked = ({ parts }: WorkedRow): WorkedPart[] => [...WORKED_PARTS].sort((a, b) => parts[b] - parts[a])

/** What a user waits for, in the mean: the whole answer, or its first token. */
function partsOf(s: Server, { wait_ms, ttft_ms, e2e_ms }: SimulationResult): Record<WorkedPart, number> {
  const [wait, ttft, e2e] = [wait_ms!.mean, ttft_ms!.mean, e2e_ms!.mean]
  const [gateway, ...lookup] = WORKLOADS.rag.before
  return {
    network: s.rtt, gateway: gateway.ms,
    retrieval: lookup.filter((part) => s.reranked || part.name !== 'rerank').reduce((sum, part) => sum + part.ms, 0),
    queue: wait, prefill: ttft - wait, decode: s.streamed ? 0 : e2e - ttft,
  }
}
