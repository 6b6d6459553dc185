import type { Event, Milliseconds, Trace } from './trace'

/** One finished request, measured from its scheduled arrival (REFERENCE §1). */
export interface RequestMetrics {
  request: number
  /** First token seen by the client − scheduled arrival, ms. */
  ttft: Milliseconds
  /** (E2E − TTFT) / (N − 1), ms/token; undefined for fewer than two tokens. */
  tpot?: number
  /** Gaps between consecutive tokens, ms. */
  itl: number[]
  /** Last token − scheduled arrival, ms. */
  e2e: Milliseconds
  outputTokens: number
  promptTokens: number
}

export interface Slo {
  ttftMs?: number
  tpotMs?: number
}

export interface Spread {
  mean: number
  median: number
  std: number
  p90: number
  p99: number
  max: number
}

/** What a run came to. Rates are over the time from the first arrival to the last token. */
export interface Metrics {
  durationS: number
  completed: number
  failed: number
  inputTokens: number
  outputTokens: number
  /** req/s */
  requestThroughput: number
  /** Requests meeting every SLO, req/s; undefined without an SLO. */
  requestGoodput?: number
  /** Output tokens of all users together, tok/s. */
  outputThroughput: number
  ttft?: Spread
  tpot?: Spread
  itl?: Spread
  e2e?: Spread
  requests: RequestMetrics[]
}

/**
 * Percentile by linear interpolation (numpy's default, "type 7"), as vLLM and SGLang use.
 * `values` need not be sorted; p is in 0 … 100. Throws RangeError on an empty sample.
 */
export function percentile(values: readonly number[], p: number): number {
  if (values.length === 0) throw new RangeError('a percentile of nothing was asked for')
  if (!(p >= 0 && p <= 100)) throw new RangeError(`percentile ${p} is not in 0 … 100`)
  return percentileOfSorted(Float64Array.from(values).sort(), p)
}

function percentileOfSorted(sorted: ArrayLike<number>, p: number): number {
  const rank = ((sorted.length - 1) * p) / 100
  const below = Math.floor(rank)
  const a = sorted[below]!
  const b = sorted[Math.min(below + 1, sorted.length - 1)]!
  return a + (b - a) * (rank - below)
}

/** Mean, population standard deviation (numpy's default) and percentiles; undefined for an empty sample. */
export function spread(values: readonly number[]): Spread | undefined {
  if (values.length === 0) return undefined
  const sorted = Float64Array.from(values).sort()
  const mean = values.reduce((a, b) => a + b, 0) / values.length
  const variance = values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length
  return {
    mean,
    median: percentileOfSorted(sorted, 50),
    std: Math.sqrt(variance),
    p90: percentileOfSorted(sorted, 90),
    p99: percentileOfSorted(sorted, 99),
    max: sorted[sorted.length - 1]!,
  }
}

/** Metrics of each finished request, in order of request id. Unfinished and failed ones are left out. */
export function perRequest(trace: Trace): RequestMetrics[] {
  const tokens = new Map<number, Milliseconds[]>()
  const finished = new Set<number>()
  for (const e of trace.events) {
    if (e.kind === 'token') {
      const times = tokens.get(e.request)
      if (times) times.push(e.t)
      else tokens.set(e.request, [e.t])
    } else if (e.kind === 'finished') finished.add(e.request)
  }
  const out: RequestMetrics[] = []
  for (const r of trace.requests) {
    const times = tokens.get(r.id)
    if (!finished.has(r.id) || !times) continue
    const first = times[0]!
    const last = times[times.length - 1]!
    const itl = times.slice(1).map((t, i) => t - times[i]!)
    out.push({
      request: r.id,
      ttft: first - r.arrival,
      tpot: times.length > 1 ? (last - first) / (times.length - 1) : undefined,
      itl,
      e2e: last - r.arrival,
      outputTokens: times.length,
      promptTokens: r.promptTokens,
    })
  }
  return out
}

/** A request without a TPOT (one token) passes that part of the SLO. */
export function meets(m: RequestMetrics, slo: Slo): boolean {
  return m.ttft <= (slo.ttftMs ?? Infinity) && (m.tpot === undefined || m.tpot <= (slo.tpotMs ?? Infinity))
}

/** REFERENCE §1, over all finished requests of the Trace. */
export function summarize(trace: Trace, slo?: Slo): Metrics {
  const requests = perRequest(trace)
  const lost = new Set(trace.events.filter((e: Event) => e.kind === 'failed' || e.kind === 'rejected').map((e) => e.request))
  const begin = Math.min(...trace.requests.map((r) => r.arrival))
  const end = trace.events.reduce((t, e) => (e.kind === 'token' ? Math.max(t, e.t) : t), begin)
  const durationS = requests.length ? (end - begin) / 1000 : 0
  const outputTokens = requests.reduce((n, r) => n + r.outputTokens, 0)
  const rate = (n: number) => (durationS > 0 ? n / durationS : 0)
  return {
    durationS,
    completed: requests.length,
    failed: lost.size,
    inputTokens: requests.reduce((n, r) => n + r.promptTokens, 0),
    outputTokens,
    requestThroughput: rate(requests.length),
    requestGoodput: slo ? rate(requests.filter((r) => meets(r, slo)).length) : undefined,
    outputThroughput: rate(outputTokens),
    ttft: spread(requests.map((r) => r.ttft)),
    tpot: spread(requests.flatMap((r) => r.tpot ?? [])),
    itl: spread(requests.flatMap((r) => r.itl)),
    e2e: spread(requests.map((r) => r.e2e)),
    requests,
  }
}

/** The JSON of `vllm bench serve`: per-request arrays in seconds, summaries in milliseconds. */
export function toVllmJson(trace: Trace, slo?: Slo): Record<string, unknown> {
  const m = summarize(trace, slo)
  const errors = new Map<number, string>()
  for (const e of trace.events) if (e.kind === 'failed' || e.kind === 'rejected') errors.set(e.request, e.reason ?? e.kind)
  const byId = new Map(m.requests.map((r) => [r.request, r]))
  const each = <T>(f: (r: RequestMetrics | undefined, id: number) => T) => trace.requests.map((r) => f(byId.get(r.id), r.id))
  const summary = (name: string, s: Spread | undefined) =>
    s ? { [`mean_${name}_ms`]: s.mean, [`median_${name}_ms`]: s.median, [`std_${name}_ms`]: s.std, [`p99_${name}_ms`]: s.p99 } : {}
  return {
    duration: m.durationS,
    completed: m.completed,
    failed: m.failed,
    total_input_tokens: m.inputTokens,
    total_output_tokens: m.outputTokens,
    request_throughput: m.requestThroughput,
    request_goodput: m.requestGoodput ?? null,
    output_throughput: m.outputThroughput,
    total_token_throughput: m.durationS > 0 ? (m.inputTokens + m.outputTokens) / m.durationS : 0,
    input_lens: trace.requests.map((r) => r.promptTokens),
    output_lens: each((r) => r?.outputTokens ?? 0),
    ttfts: each((r) => (r ? r.ttft / 1000 : 0)),
    itls: each((r) => r?.itl.map((t) => t / 1000) ?? []),
    start_times: trace.requests.map((r) => r.arrival / 1000),
    errors: each((_, id) => errors.get(id) ?? ''),
    ...summary('ttft', m.ttft),
    ...summary('tpot', m.tpot),
    ...summary('itl', m.itl),
    ...summary('e2el', m.e2e),
  }
}
