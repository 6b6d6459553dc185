import { Distribution, type Summary } from './distribution'
import type { Job, MemoryUse } from './replica'
import type { Interval } from './timeline'

/** `interval` is the 95 % interval of the mean. */
export interface Spread {
  mean: number
  p50: number
  p99: number
  interval: [number, number]
  p99_interval: [number, number]
}

/** What a group of requests saw. */
export interface GroupResult {
  completed: number
  wait_ms: Spread | null
  ttft_ms: Spread | null
  tpot_ms: Spread | null
  e2e_ms: Spread | null
}

/** Requests of the clients in a region (of all that it served, where clients have no homes). */
export interface RegionResult extends GroupResult {
  name: string
  /** Requests that its replicas served, whoever asked. */
  served: number
}

/** Requests in the batch lane; tok/s over the whole run. */
export interface BatchLaneResult extends GroupResult {
  output_throughput: number
  /** Share answered within the deadline; null without one. */
  in_time: number | null
}

/** What KV memory was used for: shares that sum to 1, over all steps of all replicas (REFERENCE: 60–80 % waste before paging). */
export interface MemoryShares {
  /** Positions computed. */
  used: number
  /** Kept for positions that were computed later. */
  reserved: number
  /** Kept and never used: the rest of last blocks, and of what clients allowed. */
  internal: number
  /** Free, while somebody waited for as much in one piece. */
  external: number
  /** Free otherwise. */
  free: number
}

/** The vLLM-shaped summary and what queueing adds to it; ms unless the name says otherwise. */
export interface SimulationResult extends Partial<Record<`${'mean' | 'median' | 'std' | 'p90' | 'p99'}_${'ttft' | 'tpot' | 'e2el'}_ms`, number>> {
  duration: number
  completed: number
  failed: number
  total_input_tokens: number
  total_output_tokens: number
  request_throughput: number
  request_goodput: number | null
  output_throughput: number
  total_token_throughput: number
  wait_ms: Spread | null
  ttft_ms: Spread | null
  tpot_ms: Spread | null
  e2e_ms: Spread | null
  /** Share of the time that servers were busy. */
  utilisation: number
  mean_in_system: number
  preemptions: number
  kv_blocks_peak: number
  /** Null where KV memory is unbounded, shared by prefixes, or not there. */
  kv_memory: MemoryShares | null
  /** Requests whose keys and values went to host memory. */
  offloads: number
  prefix_hit_rate: number | null
  rejected: number
  /** Why requests were rejected, and how many for each reason. */
  rejected_reasons: Record<string, number>
  /** Answers given by the response caches. */
  cache_hits: { exact: number; semantic: number }
  /** Answers that a response cache gave to the wrong question. */
  wrong_answers: number
  /** Requests that the larger model of a cascade answered; null without a cascade. */
  escalated: number | null
  batch_lane: BatchLaneResult | null
  /** The scenario's long requests and the others; null without any. */
  by_length: { short: GroupResult; long: GroupResult } | null
  /** Share of the time that the replicas kept for long requests were busy; null without such. */
  long_pool_utilisation: number | null
  regions: RegionResult[]
  /** Replicas × seconds from first arrival to last answer: what the run costs. */
  replica_seconds: number
  timeline: Interval[] | null
  /** Steps, or services, that were simulated. */
  steps: number
  /** A sentence when the load is more than can be served: the figures then grow with `requests`. */
  verdict: string | null
  /** Of all requests' times; equal digests mean equal times to the last bit. */
  digest: string
  seed: number
  simulated_requests_per_second: number
}

/** Gathers what a group of requests saw, in memory that does not grow with their number. */
export class Figures {
  completed = 0
  inputTokens = 0
  outputTokens = 0
  private readonly wait: Distribution
  private readonly ttft: Distribution
  private readonly tpot: Distribution
  private readonly e2e: Distribution

  constructor(expected: number) {
    this.wait = new Distribution(expected)
    this.ttft = new Distribution(expected)
    this.tpot = new Distribution(expected)
    this.e2e = new Distribution(expected)
  }

  /** `index`: the request's number among those measured. */
  add(index: number, job: Job, ttft: number, tpot: number, e2e: number): void {
    this.completed++
    this.inputTokens += job.promptTokens
    this.outputTokens += job.outputLength
    const batch = this.wait.batchOf(index)
    this.wait.add(index, job.scheduled - job.arrival, batch)
    this.ttft.add(index, ttft, batch)
    this.e2e.add(index, e2e, batch)
    if (job.outputLength > 1) this.tpot.add(index, tpot, batch)
  }

  group(): GroupResult {
    return { completed: this.completed, wait_ms: spread(this.wait.summary()), ttft_ms: spread(this.ttft.summary()), tpot_ms: spread(this.tpot.summary()), e2e_ms: spread(this.e2e.summary()) }
  }

  /** The same, and under vLLM's names. */
  summary() {
    const [wait, ttft, tpot, e2el] = [this.wait, this.ttft, this.tpot, this.e2e].map((d) => d.summary())
    const names = Object.entries({ ttft, tpot, e2el }).flatMap(([name, x]) => (x ? named(name, x) : []))
    return { ...(Object.fromEntries(names) as Record<string, number>), wait_ms: spread(wait), ttft_ms: spread(ttft), tpot_ms: spread(tpot), e2e_ms: spread(e2el) }
  }
}

export function memoryShares(uses: readonly MemoryUse[]): MemoryShares | null {
  const sum = (key: keyof MemoryUse) => uses.reduce((n, u) => n + u[key], 0)
  const capacity = sum('capacity')
  if (capacity === 0) return null
  const [used, reserved, internal, external] = (['used', 'reserved', 'internal', 'external'] as const).map((key) => sum(key) / capacity) as [number, number, number, number]
  return { used, reserved, internal, external, free: Math.max(0, 1 - used - reserved - internal - external) }
}

function named(name: string, s: Summary): [string, number][] {
  return [[`mean_${name}_ms`, s.mean], [`median_${name}_ms`, s.p50], [`std_${name}_ms`, s.std], [`p90_${name}_ms`, s.p90], [`p99_${name}_ms`, s.p99]]
}

function spread(s: Summary | undefined): Spread | null {
  return s ? { mean: s.mean, p50: s.p50, p99: s.p99, interval: s.interval, p99_interval: s.p99_interval } : null
}
