import { ENOUGH_FOR_P99, FORMULAS, measured } from '$components/frame/measured'
import { meets, summarize } from '$engine/trace/metrics'
import type { Quantity } from '$engine/trace/quantity'
import type { TrafficReading } from '$components/frame/traffic'

export interface Findings {
  /** Average TTFT. */
  mean: Quantity
  /** Slowest, or p99, over the average. */
  ratio: Quantity
  goodput: Quantity
  /** Requests that kept the limit, and all that finished. */
  good: Quantity
  completed: Quantity
  /** Requests sent per second, and what a burst sustained. */
  rate: Quantity
  capacity: Quantity
  /** Output tokens of all users. */
  throughput: Quantity
}

const GOODPUT = String.raw`\frac{\left|\{\,\mathrm{TTFT} \le \text{limit}\,\}\right|}{\text{duration}}`
const THROUGHPUT = String.raw`\frac{\sum N_{\text{out}}}{\text{duration}}`
const CAPACITY = String.raw`\frac{\text{requests}}{\text{duration of the burst}}`

/** What the finished requests say so far; undefined before the first. */
export function findings({ trace, burst, capacity, rate }: TrafficReading, sloTtftMs: number): Findings | undefined {
  const slo = { ttftMs: sloTtftMs }
  const m = summarize(trace, slo)
  if (!m.ttft) return undefined
  const enough = m.completed >= ENOUGH_FOR_P99
  const worst = enough ? m.ttft.p99 : m.ttft.max
  return {
    mean: measured(trace, 'mean_ttft', m.ttft.mean, 'ms', { formula: FORMULAS.ttft, samples: m.requests.map((r) => r.ttft) }),
    ratio: measured(trace, 'tail_over_mean', worst / m.ttft.mean, '×'),
    goodput: measured(trace, 'goodput', m.requestGoodput!, 'req/s', { formula: GOODPUT }),
    good: measured(trace, 'good', m.requests.filter((r) => meets(r, slo)).length, ''),
    completed: measured(trace, 'completed', m.completed, ''),
    rate: measured(trace, 'request_rate', rate, 'req/s'),
    capacity: measured(burst, 'capacity', capacity, 'req/s', { formula: CAPACITY }),
    throughput: measured(trace, 'throughput', m.outputThroughput, 'tok/s', { formula: THROUGHPUT }),
  }
}
