import { affine, type AffineCosts } from '../cost/affine'
import { HARDWARE } from '../cost/hardware'
import { replay } from '../serving/replay'
import type { SchedulerLimits } from '../serving/scheduler'
import type { LoggedRequest } from '../serving/trace-files'
import { bottleneck, BOTTLENECKS, untilFirstToken, type Attribution } from '../trace/bottleneck'
import type { Provenance } from '../trace/provenance'
import type { Event, Trace } from '../trace/trace'

/** Where one request's time went, ms: until its first token, and from then on. */
export interface Parts {
  ttft: Attribution
  decode: Attribution
}

export const nothing = (): Attribution => ({ compute: 0, memory: 0, queue: 0, network: 0, overhead: 0 })

export function plus(a: Attribution, b: Attribution): Attribution {
  return Object.fromEntries(BOTTLENECKS.map((k) => [k, a[k] + b[k]])) as unknown as Attribution
}

export function times(a: Attribution, factor: number): Attribution {
  return Object.fromEntries(BOTTLENECKS.map((k) => [k, a[k] * factor])) as unknown as Attribution
}

/** Parts of each finished request of a Trace with steps, by its steps' FLOPs and bytes against the Trace's roofs. */
export function partsOfTrace(trace: Trace): Map<number, Parts> {
  const first = untilFirstToken(trace)
  const parts = new Map<number, Parts>()
  for (const { id } of trace.requests) {
    const one = (of: Trace) => bottleneck({ ...of, requests: of.requests.filter((r) => r.id === id), events: eventsOf(of, id) })
    const whole = one(trace)
    const ttft = one(first)
    if (BOTTLENECKS.every((k) => whole[k] === 0)) continue
    // The way back is taken off the end of either; what is between the two first tokens' ends is decode.
    parts.set(id, { ttft, decode: Object.fromEntries(BOTTLENECKS.map((k) => [k, Math.max(0, whole[k] - ttft[k])])) as unknown as Attribution })
  }
  return parts
}

const indices = new WeakMap<Trace, Map<number, Event[]>>()
/** A request's events; attribution of one request then does not walk through those of all. */
function eventsOf(trace: Trace, id: number): Event[] {
  let index = indices.get(trace)
  if (!index) {
    index = new Map()
    for (const e of trace.events) {
      const own = index.get(e.request)
      if (own) own.push(e)
      else index.set(e.request, [e])
    }
    indices.set(trace, index)
  }
  return index.get(id) ?? []
}

/**
 * A step's base cost is the reading of the weights, as far as any hardware of the catalogue could need that long
 * beside what it takes for a prefill token: 2 FLOPs a weight against w bytes of it, so base / per prefill token =
 * w / 2 · FLOP rate / bandwidth, which no device puts above this many tokens. The rest of the base is overhead. A step takes what the larger of both takes: what
 * a prefill token costs shows only in prompts longer than that, and of shorter ones a token takes its share of the step at most.
 */
const RIDGE_TOKENS = Math.max(...HARDWARE.map((h) => (h.flops16 * h.matmul) / (h.bytesPerSecond * h.reading)))

/** Of a step's base cost, what is reading weights at most; ms. `longPrompt`: tokens of the longer prompts that it was fitted to. */
export function weightsMs(c: AffineCosts, longPrompt: number): number {
  return Math.min(c.base_ms, RIDGE_TOKENS * (c.per_prefill_token_ms + c.base_ms / Math.max(1, longPrompt)))
}

/**
 * Parts of each request of a log: its replay on a machine of these costs says what a step spent on it and on others; the
 * observed times say how long each phase took. `memory`: of the base cost, what is reading weights, ms. Memory is the weights' and the contexts' reading, compute what tokens
 * add; what others' work adds to a step, and the line, is queue. In the order of the requests, which must hold what was observed.
 */
export function partsOfLog(requests: readonly LoggedRequest[], costs: AffineCosts, memory: number, limits: SchedulerLimits): { parts: Parts[]; preemptions: number; busyMs: number; spanMs: number } {
  const provenance: Provenance = { how: 'published', source: 'replay', conditions: '' }
  const overhead = costs.base_ms - memory
  const own = requests.map((): Parts => ({ ttft: nothing(), decode: nothing() }))
  const scheduled = new Set<number>()
  let busyMs = 0
  let end = 0
  const { served, preemptions } = replay(requests, affine(costs, provenance), limits, ({ grants }, start, until) => {
    busyMs += until - start
    end = until
    for (const { sequence, start: context, tokens } of grants) {
      scheduled.add(sequence.id)
      const p = sequence.outputTokens === 0 ? own[sequence.id]!.ttft : own[sequence.id]!.decode
      const decode = tokens === 1 && context >= sequence.promptTokens
      const reads = memory + (decode ? costs.per_context_token_ms * context : 0)
      const computes = decode ? costs.per_sequence_ms : costs.per_prefill_token_ms * tokens + costs.per_prefill_token_context_ms * tokens * (context + tokens / 2)
      p.memory += reads
      p.compute += computes
      p.overhead += overhead
    }
  })
  const parts = requests.map((r, i): Parts => {
    const { firstToken, lastToken, scheduled: from } = r.observed!
    const s = served[i]!
    const line = from === undefined ? 0 : Math.max(0, Math.min(from, firstToken) - r.arrival)
    const replayed = from === undefined ? s.firstToken - r.arrival : s.firstToken - s.scheduled
    return {
      ttft: plus(spread(own[i]!.ttft, replayed, firstToken - r.arrival - line), { ...nothing(), queue: line }),
      decode: spread(own[i]!.decode, s.lastToken - s.firstToken, lastToken - firstToken),
    }
  })
  return { parts, preemptions, busyMs, spanMs: end }
}

/** Own work in its share of the replayed time, the rest queue, over the time that was observed. */
function spread(own: Attribution, replayedMs: number, observedMs: number): Attribution {
  if (!(observedMs > 0)) return nothing()
  const spent = own.compute + own.memory + own.overhead
  if (!(replayedMs > 0) || spent === 0) return { ...nothing(), queue: observedMs }
  const share = times(own, observedMs / Math.max(replayedMs, spent))
  const rest = observedMs - share.compute - share.memory - share.overhead
  return { ...share, queue: Math.max(0, rest) }
}
