import { measured, ofRequest, tail } from '$components/frame/measured'
import { binding, bottleneck, BOTTLENECKS, total, type Attribution, type Bottleneck } from '$engine/trace/bottleneck'
import { perRequest } from '$engine/trace/metrics'
import type { Quantity } from '$engine/trace/quantity'
import type { Trace } from '$engine/trace/trace'
import { RTT, type BurstReading } from './experiment'

const SHARE = String.raw`\frac{t_{\text{queue}}}{\mathrm{E2E}}`
const TIMES = String.raw`\frac{\mathrm{E2E}_{\text{burst}}}{\mathrm{E2E}_{\text{alone}}}`
const REST = String.raw`\mathrm{E2E} - t_{\text{queue}}`

/** Where one request's time went. */
export interface Stay {
  attribution: Attribution
  e2e: Quantity
  ttft: Quantity
  rate?: Quantity
  largest: Bottleneck
  /** The largest part's share, %. */
  largestShare: Quantity
  /** Share of the queue, %. */
  queueShare: Quantity
  /** All but the queue, ms. */
  rest: Quantity
}

export interface Findings {
  alone: Stay
  /** The last of the burst, once it is done; `grew` is the place besides the queue that gained most. */
  last?: Stay & { times: Quantity; tail?: Quantity; grew: Bottleneck }
}

/** Undefined until the request alone is done. */
export function findings({ alone, burst }: BurstReading): Findings | undefined {
  const first = stayOf(alone, 0)
  if (!first) return undefined
  const last = burst && stayOf(burst, burst.requests.length - 1)
  return {
    alone: first,
    ...(burst && last ? { last: { ...last, times: measured(burst, 'e2e_ratio', last.e2e.value / first.e2e.value, '×', { formula: TIMES }), tail: tail(burst), grew: grownMost(first.attribution, last.attribution) } } : {}),
  }
}

function grownMost(before: Attribution, after: Attribution): Bottleneck {
  return BOTTLENECKS.filter((part) => part !== 'queue').reduce((a, b) => (after[b] - before[b] > after[a] - before[a] ? b : a))
}

function stayOf(trace: Trace, request: number): Stay | undefined {
  const own = ofRequest(trace, request)
  if (!own) return undefined
  const attribution = bottleneck(trace, request)
  const all = total(attribution)
  const largest = binding(attribution)
  if (!largest) return undefined
  return {
    attribution, e2e: own.e2e, ttft: own.ttft, rate: own.rate, largest,
    largestShare: measured(trace, 'largest_share', (100 * attribution[largest]) / all, '%', { note: `of the end-to-end time, ${RTT} ms of which are a stated way there and back` }),
    queueShare: measured(trace, 'queue_share', (100 * attribution.queue) / all, '%', { formula: SHARE }),
    rest: measured(trace, 'rest_ms', all - attribution.queue, 'ms', { formula: REST }),
  }
}

export interface Column {
  label: string
  /** As the table and the crosshair call it. */
  name: string
  attribution: Attribution
}

/** The request alone, then everyone of the burst who is done, by place in line. */
export function columns({ alone, burst }: BurstReading): { alone?: Column; line: (Column | undefined)[] } {
  const done = burst ? new Set(perRequest(burst).map((r) => r.request)) : new Set<number>()
  const count = burst?.requests.length ?? 0
  return {
    alone: perRequest(alone).length ? { label: 'alone', name: 'Alone', attribution: bottleneck(alone, 0) } : undefined,
    line: (burst?.requests ?? []).map((r, i) => (done.has(r.id) ? { label: i === count - 1 ? 'yours' : String(i + 1), name: i === count - 1 ? `Yours, number ${i + 1} in line` : `Number ${i + 1} in line`, attribution: bottleneck(burst!, r.id) } : undefined)),
  }
}
