import type { Clock } from '../serving/clock'
import type { Milliseconds, ServerView } from '../trace/trace'
import { label, mean, parseMetrics, total, type Metrics } from './metrics-text'
import { fetchText, type Transport } from './transport'

/** vLLM's names, then SGLang's; for what they both say. */
const NAMES = {
  running: ['vllm:num_requests_running', 'sglang:num_running_reqs'],
  waiting: ['vllm:num_requests_waiting', 'sglang:num_queue_reqs'],
  kvUse: ['vllm:kv_cache_usage_perc', 'vllm:gpu_cache_usage_perc', 'sglang:token_usage'],
  preemptions: ['vllm:num_preemptions_total', 'sglang:num_retracted_reqs_total', 'sglang:num_retracted_requests_total'],
  promptTokens: ['vllm:prompt_tokens_total', 'sglang:prompt_tokens_total'],
  outputTokens: ['vllm:generation_tokens_total', 'sglang:generation_tokens_total'],
  prefixQueries: ['vllm:prefix_cache_queries_total', 'vllm:prefix_cache_queries', 'vllm:gpu_prefix_cache_queries_total'],
  prefixHits: ['vllm:prefix_cache_hits_total', 'vllm:prefix_cache_hits', 'vllm:gpu_prefix_cache_hits_total', 'sglang:cached_tokens_total'],
} as const

const TIMES = {
  ttft: ['vllm:time_to_first_token_seconds', 'sglang:time_to_first_token_seconds'],
  itl: ['vllm:inter_token_latency_seconds', 'vllm:time_per_output_token_seconds', 'sglang:inter_token_latency_seconds', 'sglang:time_per_output_token_seconds'],
  e2e: ['vllm:e2e_request_latency_seconds', 'sglang:e2e_request_latency_seconds'],
  queue: ['vllm:request_queue_time_seconds', 'sglang:queue_time_seconds', 'sglang:request_queue_time_seconds'],
  prefill: ['vllm:request_prefill_time_seconds'],
  decode: ['vllm:request_decode_time_seconds'],
} as const

type Counter = 'preemptions' | 'promptTokens' | 'outputTokens' | 'prefixQueries' | 'prefixHits'

/** What a server is configured with, as far as it says. */
export interface EngineLimits {
  kvBlocks?: number
  blockSize?: number
  maxSequences?: number
  maxBatchedTokens?: number
}

/** Which server writes these metrics; undefined for one whose names are not known. */
export function serverKind(metrics: Metrics): 'vllm' | 'sglang' | undefined {
  for (const name of metrics.keys()) {
    if (name.startsWith('vllm:')) return 'vllm'
    if (name.startsWith('sglang:')) return 'sglang'
  }
  return undefined
}

export function engineLimits(metrics: Metrics): EngineLimits {
  const number = (name: string, key: string) => {
    const value = Number(label(metrics, name, key) ?? NaN)
    return Number.isFinite(value) && value > 0 ? value : undefined
  }
  return {
    kvBlocks: number('vllm:cache_config_info', 'num_gpu_blocks'), blockSize: number('vllm:cache_config_info', 'block_size'),
    maxSequences: number('expressway:scheduler_config_info', 'max_num_seqs'), maxBatchedTokens: number('expressway:scheduler_config_info', 'max_num_batched_tokens'),
  }
}

/** What went on between two looks at a server's counters, and what its gauges showed on the way. */
export function serverView(first: Metrics, last: Metrics, samples: ServerView['samples']): ServerView {
  const grown = (names: readonly string[]) => {
    const now = total(last, names)
    // A counter that fell has begun anew.
    const before = total(first, names) ?? 0
    return now === undefined ? undefined : now >= before ? now - before : now
  }
  const time = (names: readonly string[]) => {
    for (const name of names) {
      const count = grown([`${name}_count`])
      const sum = grown([`${name}_sum`])
      if (count && sum !== undefined) return { meanMs: (1000 * sum) / count, count }
    }
    return undefined
  }
  const counter = (key: Counter) => grown(NAMES[key])
  return {
    kind: serverKind(last) ?? 'unknown', samples,
    ttft: time(TIMES.ttft), itl: time(TIMES.itl), e2e: time(TIMES.e2e), queue: time(TIMES.queue), prefill: time(TIMES.prefill), decode: time(TIMES.decode),
    preemptions: counter('preemptions'), promptTokens: counter('promptTokens'), outputTokens: counter('outputTokens'),
    prefixQueries: counter('prefixQueries'), prefixHits: counter('prefixHits'),
  }
}

/** One look must not take longer. ms */
const PATIENCE = 5000

/** Looks at a server's /metrics again and again while it is loaded. */
export class Scraper {
  first: Metrics | undefined
  last: Metrics | undefined
  /** Why there is nothing, in words. */
  trouble: string | undefined
  readonly samples: ServerView['samples'] = []
  private looking: Promise<void> = Promise.resolve()
  private timer: ReturnType<typeof setTimeout> | undefined

  constructor(private readonly options: { transport: Transport; path: string; headers: Record<string, string>; clock: Clock; everyMs: Milliseconds }) {}

  /** The first look; rejects never. */
  async start(): Promise<void> {
    await this.look()
    if (this.first) this.again()
  }

  /** The last look, and what all came to; undefined where the server said nothing. */
  async finish(): Promise<ServerView | undefined> {
    clearTimeout(this.timer)
    this.timer = undefined
    await this.looking
    if (this.first) await this.look()
    return this.first && this.last ? serverView(this.first, this.last, this.samples) : undefined
  }

  private again(): void {
    this.timer = setTimeout(() => {
      this.looking = this.look().then(() => {
        if (this.timer !== undefined) this.again()
      })
    }, this.options.everyMs)
  }

  private async look(): Promise<void> {
    const { transport, path, headers, clock } = this.options
    try {
      const { status, text } = await fetchText(transport, { method: 'GET', path, headers }, AbortSignal.timeout(PATIENCE))
      if (status !== 200) throw new Error(`HTTP ${status}`)
      const metrics = parseMetrics(text)
      if (!serverKind(metrics)) throw new Error('none of vLLM’s or SGLang’s names in it')
      this.first ??= metrics
      this.last = metrics
      this.samples.push({ t: clock.now(), running: total(metrics, NAMES.running), waiting: total(metrics, NAMES.waiting), kvUse: mean(metrics, NAMES.kvUse) })
    } catch (error) {
      this.trouble = `${path} could not be read: ${error instanceof Error ? error.message : String(error)}`
    }
  }
}
