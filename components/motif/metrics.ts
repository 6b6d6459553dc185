import type { MetricName } from '$engine/trace/quantity'

/** Short names as labels, long ones as titles of the pop-over. */
const NAMES: Record<string, readonly [short: string, long: string]> = {
  ttft: ['TTFT', 'Time to first token'],
  tpot: ['TPOT', 'Time per output token'],
  itl: ['ITL', 'Gap between two tokens'],
  e2e: ['E2E', 'End-to-end latency'],
  decode_rate: ['decode', 'Decode rate, one user'],
  throughput: ['throughput', 'Output tokens of all users'],
  goodput: ['goodput', 'Requests that met every target'],
  prefill_ms: ['prefill', 'Prefill time'],
  decode_ms: ['decode', 'Decode time'],
  queue_ms: ['queue', 'Time in the queue'],
  network_ms: ['network', 'Time on the network'],
  exchange_rate: ['exchange rate', 'Input tokens per output token, in time'],
  kv_bytes: ['KV cache', 'Bytes in the KV cache'],
  weight_bytes: ['weights', 'Bytes of weights'],
  mbu: ['MBU', 'Memory bandwidth used'],
  mfu: ['MFU', 'Arithmetic used'],
  acceptance: ['acceptance', 'Draft tokens accepted'],
  intensity: ['intensity', 'Arithmetic intensity'],
  ridge: ['ridge', 'Intensity at which compute binds'],
  read_bandwidth: ['bandwidth', 'Read bandwidth'],
  matmul_rate: ['matmul rate', 'Matrix multiplication rate'],
  requests: ['requests', 'Requests'],
  cold_ttft: ['cold TTFT', 'Time to first token, nothing cached'],
  warm_ttft: ['warm TTFT', 'Time to first token, prefix cached'],
  cached_tokens: ['cached', 'Prompt tokens found in the cache'],
  prompt_price: ['price', 'Price of the prompt'],
  tokens_per_step: ['tokens per step', 'Tokens per step of the target model'],
  target_steps: ['steps', 'Steps of the target model'],
  speedup: ['gain', 'Plain time per token over drafted'],
  modelled_speedup: ['gain', 'Plain time per token over drafted'],
}

/** "p99 TTFT" from 'p99_ttft'; a metric without a name of its own reads as it is called. */
export function shortName(metric: MetricName): string {
  return name(metric, 0)
}

/** "p99 of time to first token" from 'p99_ttft'. */
export function longName(metric: MetricName): string {
  return name(metric, 1)
}

function name(metric: string, which: 0 | 1): string {
  if (Object.hasOwn(NAMES, metric)) return NAMES[metric]![which]
  const [, statistic, rest] = metric.match(/^(p\d+|max|mean)_(.+)$/) ?? []
  if (statistic && rest) {
    const inner = name(rest, which)
    return which === 0 ? `${statistic} ${inner}` : `${statistic} of ${inner[0]!.toLowerCase()}${inner.slice(1)}`
  }
  return metric.replaceAll('_', ' ')
}
