import type { Event } from '../trace/trace'
import { BLOCK_SIZE } from '../runner/runner'
import type { EngineFacts, Update } from './protocol'
import type { ServeState } from '../serving/serve'

/** Upper bounds of vLLM's buckets, s. */
const TTFT = [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560]
const ITL = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80]
const LATENCY = [0.01, 0.05, 0.1, 0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680]
const TOKENS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000]

class Histogram {
  private readonly counts: number[]
  private sum = 0
  private count = 0

  constructor(readonly name: string, readonly help: string, private readonly bounds: readonly number[]) {
    this.counts = bounds.map(() => 0)
  }

  observe(x: number): void {
    this.sum += x
    this.count++
    const at = this.bounds.findIndex((b) => x <= b)
    if (at >= 0) this.counts[at]!++
  }

  text(labels: string): string {
    let below = 0
    const buckets = this.bounds.map((b, i) => `${this.name}_bucket{${labels},le="${b}"} ${(below += this.counts[i]!)}`)
    return [
      `# HELP ${this.name} ${this.help}`, `# TYPE ${this.name} histogram`,
      ...buckets, `${this.name}_bucket{${labels},le="+Inf"} ${this.count}`, `${this.name}_sum{${labels}} ${this.sum}`, `${this.name}_count{${labels}} ${this.count}`,
    ].join('\n')
  }
}

/** A request on its way: what its times are counted from. ms */
interface Life {
  arrival: number
  queued: number
  scheduled?: number
  first?: number
  last?: number
  promptTokens: number
  tokens: number
}

/**
 * What /metrics says, under vLLM's names and in vLLM's units (seconds, tokens): counted from the same events
 * that the Trace is made of.
 */
export class ServerMetrics {
  private readonly ttft = new Histogram('vllm:time_to_first_token_seconds', 'From arrival to the first token.', TTFT)
  private readonly itl = new Histogram('vllm:inter_token_latency_seconds', 'Between two tokens of one request.', ITL)
  private readonly tpot = new Histogram('vllm:request_time_per_output_token_seconds', 'Mean time between the tokens of one request.', ITL)
  private readonly e2e = new Histogram('vllm:e2e_request_latency_seconds', 'From arrival to the last token.', LATENCY)
  private readonly queue = new Histogram('vllm:request_queue_time_seconds', 'In line, until first scheduled.', LATENCY)
  private readonly prefill = new Histogram('vllm:request_prefill_time_seconds', 'From first scheduled to the first token.', LATENCY)
  private readonly decode = new Histogram('vllm:request_decode_time_seconds', 'From the first token to the last.', LATENCY)
  private readonly inference = new Histogram('vllm:request_inference_time_seconds', 'From first scheduled to the last token.', LATENCY)
  private readonly prompts = new Histogram('vllm:request_prompt_tokens', 'Tokens of the prompt.', TOKENS)
  private readonly outputs = new Histogram('vllm:request_generation_tokens', 'Tokens of the output.', TOKENS)
  private readonly iteration = new Histogram('vllm:iteration_tokens_total', 'Tokens of a step.', TOKENS)
  private readonly ended = new Map([['stop', 0], ['length', 0], ['abort', 0]])
  private readonly refused = new Map<string, number>()
  private readonly lives = new Map<number, Life>()
  private promptTokens = 0
  private outputTokens = 0
  private queries = 0
  private hits = 0
  private stepSeconds = 0

  /** A request comes to the engine. */
  asked(id: number, life: { arrival: number; queued: number; promptTokens: number }): void {
    this.lives.set(id, { ...life, tokens: 0 })
  }

  /** A request that the server did not take. */
  turnedAway(why: string): void {
    this.refused.set(why, (this.refused.get(why) ?? 0) + 1)
  }

  update({ events, steps, stopped }: Update): void {
    for (const s of steps) {
      this.iteration.observe(s.batch.reduce((n, b) => n + b.tokens, 0))
      this.stepSeconds += s.duration / 1000
    }
    const byItself = new Set(stopped.map((s) => s.id))
    for (const e of events) this.event(e, byItself)
  }

  private event(e: Event, byItself: ReadonlySet<number>): void {
    const life = this.lives.get(e.request)
    if (!life) return
    switch (e.kind) {
      case 'scheduled':
        if (life.scheduled !== undefined) return // again, after a preemption
        life.scheduled = e.t
        this.queue.observe((e.t - life.queued) / 1000)
        this.queries += life.promptTokens
        break
      case 'cached':
        this.hits += e.count ?? 0
        break
      case 'token':
        this.token(life, e.t)
        break
      case 'finished':
        this.finished(life)
        this.ended.set(byItself.has(e.request) ? 'stop' : 'length', this.ended.get(byItself.has(e.request) ? 'stop' : 'length')! + 1)
        this.lives.delete(e.request)
        break
      case 'failed':
      case 'rejected':
        this.ended.set('abort', this.ended.get('abort')! + 1)
        this.lives.delete(e.request)
    }
  }

  private token(life: Life, t: number): void {
    life.tokens++
    this.outputTokens++
    if (life.first === undefined) {
      life.first = t
      this.promptTokens += life.promptTokens
      this.ttft.observe((t - life.arrival) / 1000)
      this.prefill.observe((t - life.scheduled!) / 1000)
    } else this.itl.observe((t - life.last!) / 1000)
    life.last = t
  }

  private finished(life: Life): void {
    const { arrival, scheduled = arrival, first = scheduled, last = first, tokens } = life
    this.e2e.observe((last - arrival) / 1000)
    this.decode.observe((last - first) / 1000)
    this.inference.observe((last - scheduled) / 1000)
    if (tokens > 1) this.tpot.observe((last - first) / (tokens - 1) / 1000)
    this.prompts.observe(life.promptTokens)
    this.outputs.observe(tokens)
  }

  /** Prometheus' text format 0.0.4. */
  text(facts: EngineFacts, state: ServeState): string {
    const model = `model_name="${escape(facts.model)}"`
    const value = (type: 'gauge' | 'counter', name: string, help: string, x: number, labels = model) => [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, `${name}{${labels}} ${x}`].join('\n')
    const family = (name: string, help: string, label: string, of: ReadonlyMap<string, number>) => [`# HELP ${name} ${help}`, `# TYPE ${name} counter`, ...Array.from(of, ([key, n]) => `${name}{${model},${label}="${escape(key)}"} ${n}`)].join('\n')
    return `${[
      value('gauge', 'vllm:num_requests_running', 'Requests with a place in the batch.', state.running),
      value('gauge', 'vllm:num_requests_waiting', 'Requests in line.', state.waiting),
      value('gauge', 'vllm:kv_cache_usage_perc', 'Share of the KV blocks in use, 0 to 1.', state.blocksUsed / facts.blocks),
      value('counter', 'vllm:num_preemptions_total', 'Requests that gave their blocks back and began again.', state.preemptions),
      value('counter', 'vllm:prompt_tokens_total', 'Prompt tokens of requests that got a first token.', this.promptTokens),
      value('counter', 'vllm:generation_tokens_total', 'Output tokens.', this.outputTokens),
      value('counter', 'vllm:prefix_cache_queries_total', 'Prompt tokens looked for in the prefix cache.', facts.prefixCache ? this.queries : 0),
      value('counter', 'vllm:prefix_cache_hits_total', 'Prompt tokens found there.', this.hits),
      family('vllm:request_success_total', 'Requests that ended, by how.', 'finished_reason', this.ended),
      ...[this.ttft, this.itl, this.tpot, this.e2e, this.queue, this.prefill, this.decode, this.inference, this.prompts, this.outputs, this.iteration].map((h) => h.text(model)),
      value('gauge', 'vllm:cache_config_info', 'Of the KV cache.', 1, `block_size="${BLOCK_SIZE}",num_gpu_blocks="${facts.blocks}",enable_prefix_caching="${facts.prefixCache ? 'True' : 'False'}"`),
      value('gauge', 'expressway:scheduler_config_info', 'Of the scheduler.', 1, `max_num_seqs="${facts.maxSequences}",max_num_batched_tokens="${facts.maxBatchedTokens}"`),
      value('counter', 'expressway:step_seconds_total', 'Time in which a step was computed.', this.stepSeconds),
      family('expressway:requests_refused_total', 'Requests that were not taken, by why.', 'reason', this.refused),
    ].join('\n')}\n`
  }
}

function escape(text: string): string {
  return text.replace(/[\\"\n]/g, (c) => (c === '\n' ? '\\n' : `\\${c}`))
}
