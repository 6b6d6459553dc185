import type { Milliseconds, Roofs, Step, StepShare, Trace } from './trace'

/** Where time went, ms. The parts sum to the time attributed; none is negative. */
export interface Attribution {
  compute: Milliseconds
  memory: Milliseconds
  queue: Milliseconds
  network: Milliseconds
  overhead: Milliseconds
}

export type Bottleneck = keyof Attribution

export const BOTTLENECKS: readonly Bottleneck[] = ['compute', 'memory', 'queue', 'network', 'overhead']

/** The largest part: what the badge says. Undefined when nothing was attributed. */
export function binding(a: Attribution): Bottleneck | undefined {
  const largest = BOTTLENECKS.reduce((best, k) => (a[k] > a[best] ? k : best))
  return a[largest] > 0 ? largest : undefined
}

export function total(a: Attribution): Milliseconds {
  return BOTTLENECKS.reduce((sum, k) => sum + a[k], 0)
}

/** Read rate at a working set, bytes/s: linear between the measured points over log(bytes), flat beyond them. */
export function readRate(roofs: Roofs, workingSet: number): number {
  const curve = roofs.read
  if (curve.length === 0) throw new RangeError('the roofs hold no read rate')
  const above = curve.findIndex((p) => p.bytes >= workingSet)
  if (above === 0) return curve[0]!.bytesPerSecond
  if (above < 0) return curve[curve.length - 1]!.bytesPerSecond
  const a = curve[above - 1]!
  const b = curve[above]!
  const x = Math.log(workingSet / a.bytes) / Math.log(b.bytes / a.bytes)
  return a.bytesPerSecond + (b.bytesPerSecond - a.bytesPerSecond) * x
}

/** Least time for this work on this device, ms, and which roof says so (Williams et al. 2009). */
export function roofline(roofs: Roofs, flops: number, bytes: number, workingSet: number): { ms: Milliseconds; bound: 'compute' | 'memory' } {
  const compute = (flops / roofs.flopsPerSecond) * 1000
  const memory = (bytes / readRate(roofs, workingSet)) * 1000
  return compute >= memory ? { ms: compute, bound: 'compute' } : { ms: memory, bound: 'memory' }
}

/** A whole step: what binds gets its least time, capped at the step's duration; the rest is overhead. */
export function stepAttribution(step: Step, roofs: Roofs): { bound: 'compute' | 'memory'; bindingMs: Milliseconds; overheadMs: Milliseconds } {
  const { ms, bound } = roofline(roofs, step.flops, step.bytes, step.workingSet)
  const bindingMs = Math.min(ms, step.duration)
  return { bound, bindingMs, overheadMs: step.duration - bindingMs }
}

/** Memory-bandwidth and FLOP utilisation of a set of steps against the measured roofs, 0 … 1. */
export function utilisation(steps: readonly Step[], roofs: Roofs): { mbu: number; mfu: number } {
  let memory = 0
  let compute = 0
  let duration = 0
  for (const s of steps) {
    memory += Math.min((s.bytes / readRate(roofs, s.workingSet)) * 1000, s.duration)
    compute += Math.min((s.flops / roofs.flopsPerSecond) * 1000, s.duration)
    duration += s.duration
  }
  return duration > 0 ? { mbu: memory / duration, mfu: compute / duration } : { mbu: 0, mfu: 0 }
}

const zero = (): Attribution => ({ compute: 0, memory: 0, queue: 0, network: 0, overhead: 0 })

/**
 * Attribution of one request's E2E, or of all finished requests' together (DESIGN, "Bottleneck, derived").
 *
 * Inside a step that computed the request: its own solo work is compute or memory, what the step's
 * binding time took beyond that is queue (others' work), the rest of the step is overhead. Steps that
 * ran without it, and the line before it was scheduled, are queue. Time in which the engine ran
 * nothing at all is overhead. The wire is network.
 */
export function bottleneck(trace: Trace, request?: number): Attribution {
  const sum = zero()
  const index = indexByRequest(trace)
  const steps = stepsByReplica(trace.steps)
  for (const r of trace.requests) {
    if (request !== undefined && r.id !== request) continue
    const life = index.get(r.id)
    if (!life || life.lastToken === undefined) continue
    addRequest(sum, steps, trace.roofs, r.arrival, life, r.network)
  }
  return sum
}

interface Life {
  request: number
  gateway?: Milliseconds
  queued?: Milliseconds
  lastToken?: Milliseconds
  finished: boolean
  /** Where it was in line, from when on, and when it left for the next place. */
  stays: { replica: number; from: Milliseconds; left?: Milliseconds }[]
}

/** On one replica steps do not overlap; on several they do. */
function stepsByReplica(steps: readonly Step[]): Map<number, Step[]> {
  const all = new Map<number, Step[]>()
  for (const s of steps) {
    const own = all.get(s.replica ?? 0)
    if (own) own.push(s)
    else all.set(s.replica ?? 0, [s])
  }
  return all
}

function indexByRequest(trace: Trace): Map<number, Life> {
  const lives = new Map<number, Life>()
  for (const e of trace.events) {
    let life = lives.get(e.request)
    if (!life) lives.set(e.request, (life = { request: e.request, finished: false, stays: [] }))
    if (e.kind === 'gateway') life.gateway ??= e.t
    else if (e.kind === 'queued') {
      life.queued ??= e.t
      life.stays.push({ replica: e.replica ?? 0, from: e.t })
    } else if (e.kind === 'offloaded' && life.stays.length > 0) life.stays[life.stays.length - 1]!.left = e.t
    else if (e.kind === 'token') life.lastToken = e.t
    else if (e.kind === 'finished') life.finished = true
  }
  for (const [id, life] of lives) if (!life.finished) lives.delete(id)
  return lives
}

function addRequest(sum: Attribution, byReplica: Map<number, Step[]>, roofs: Roofs | undefined, arrival: Milliseconds, life: Life, network: { out: Milliseconds; back: Milliseconds } | undefined): void {
  const end = life.lastToken!
  const gateway = clamp(life.gateway ?? arrival, arrival, end)
  const queued = clamp(life.queued ?? gateway, gateway, end)
  // The way out is network up to the stated time; being later than that is the client's or gateway's doing.
  const out = Math.min(gateway - arrival, network?.out ?? 0)
  sum.network += out
  sum.overhead += gateway - arrival - out + (queued - gateway)
  const back = Math.min(end - queued, network?.back ?? 0)
  sum.network += back

  const until = end - back
  const stays = life.stays.length > 0 ? life.stays : [{ replica: 0, from: queued }]
  let at = queued
  for (const [i, { replica, left }] of stays.entries()) {
    const next = clamp(stays[i + 1]?.from ?? until, at, until)
    // Who leaves for another place is on the wire until he is in line there; who left for host memory waits.
    const leaves = i < stays.length - 1 && left !== undefined ? clamp(left, at, next) : next
    addStay(sum, byReplica.get(replica) ?? [], roofs, life.request, at, leaves)
    sum.network += next - leaves
    at = next
  }
}

/** Time between `from` and `until` on one replica. */
function addStay(sum: Attribution, steps: readonly Step[], roofs: Roofs | undefined, request: number, from: Milliseconds, until: Milliseconds): void {
  let at = from
  for (let i = firstEndingAfter(steps, from); i < steps.length && steps[i]!.start < until; i++) {
    const step = steps[i]!
    const start = Math.max(step.start, at)
    const end = Math.min(step.start + step.duration, until)
    if (end <= start) continue
    sum.overhead += start - at
    addStep(sum, step, end - start, step.batch.find((s) => s.request === request), roofs)
    at = end
  }
  sum.overhead += Math.max(0, until - at)
}

/** Spreads `ms` of a step over the parts, in the step's own proportions. */
function addStep(sum: Attribution, step: Step, ms: Milliseconds, share: StepShare | undefined, roofs: Roofs | undefined): void {
  if (!share) {
    sum.queue += ms
    return
  }
  if (!roofs) {
    sum.overhead += ms
    return
  }
  const { bindingMs } = stepAttribution(step, roofs)
  const solo = roofline(roofs, share.soloFlops, share.soloBytes, step.workingSet)
  const own = Math.min(solo.ms, bindingMs)
  const scale = step.duration > 0 ? ms / step.duration : 0
  sum[solo.bound] += own * scale
  sum.queue += (bindingMs - own) * scale
  sum.overhead += (step.duration - bindingMs) * scale
}

function clamp(x: number, low: number, high: number): number {
  return Math.min(Math.max(x, low), high)
}

/** First step that ends after t; steps are in order of start and, on one replica, do not overlap. */
function firstEndingAfter(steps: readonly Step[], t: Milliseconds): number {
  let low = 0
  let high = steps.length
  while (low < high) {
    const mid = (low + high) >> 1
    if (steps[mid]!.start + steps[mid]!.duration > t) high = mid
    else low = mid + 1
  }
  return low
}

/** The same Trace, as if every answer had ended with its first token: its bottleneck is that of TTFT. */
export function untilFirstToken(trace: Trace): Trace {
  const spoke = new Set<number>()
  const events = trace.events.filter((e) => {
    const after = spoke.has(e.request)
    if (e.kind === 'token') spoke.add(e.request)
    return !after || e.kind === 'finished'
  })
  return { ...trace, events }
}
