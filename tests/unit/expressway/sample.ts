import type { Event, RequestRecord, Step, StepShare, Trace } from '$engine/trace/trace'

export interface SampleOptions {
  requests?: number
  seed?: number
  /** Mean time between arrivals, ms; 0: all at once. */
  every?: number
  prompt?: [from: number, to: number]
  output?: [from: number, to: number]
  maxSequences?: number
  maxBatchedTokens?: number
  /** KV blocks in the pool; a small one preempts. */
  blocks?: number
  network?: { out: number; back: number }
}

interface Job {
  record: RequestRecord
  output: number
  computed: number
  sampled: number
}

/**
 * A server in small: first come, first served, chunked prefill, continuous batching, recompute preemption,
 * a step's time affine in its tokens. Written apart from the engine, so that the road is held against
 * something that shares no code with it.
 */
export function sampleTrace(options: SampleOptions = {}): Trace {
  const { requests: count = 12, seed = 7, every = 40, prompt = [32, 512], output = [16, 96], maxSequences = 8, maxBatchedTokens = 256, blocks = 1e6, network } = options
  const random = generator(seed)
  const pick = ([from, to]: [number, number]) => Math.round(from + random() * (to - from))
  const requests: RequestRecord[] = []
  const events: Event[] = []
  const steps: Step[] = []
  const coming: Job[] = []
  let t = 0
  for (let id = 0; id < count; id++) {
    const maxTokens = pick(output)
    const record: RequestRecord = { id, arrival: t, promptTokens: pick(prompt), maxTokens, network }
    requests.push(record)
    coming.push({ record, output: Math.max(1, Math.round(maxTokens * (0.5 + random() / 2))), computed: 0, sampled: 0 })
    t += every * -Math.log(1 - random())
  }
  const atDoor = (job: Job) => job.record.arrival + (network?.out ?? 0)
  for (const job of coming) {
    events.push({ t: job.record.arrival, request: job.record.id, kind: 'sent' }, { t: atDoor(job), request: job.record.id, kind: 'gateway' }, { t: atDoor(job), request: job.record.id, kind: 'queued' })
  }
  const waiting: Job[] = []
  let running: Job[] = []
  const held = (tokens: number) => Math.ceil(tokens / 16)
  const used = () => running.reduce((n, job) => n + held(job.computed), 0)
  let now = 0
  while (coming.length || waiting.length || running.length) {
    while (coming.length && atDoor(coming[0]!) <= now) waiting.push(coming.shift()!)
    if (!waiting.length && !running.length) {
      now = atDoor(coming[0]!)
      continue
    }
    let budget = maxBatchedTokens
    const batch: { job: Job; tokens: number }[] = []
    const free = () => blocks - used() - batch.reduce((n, b) => n + held(b.job.computed + b.tokens) - held(b.job.computed), 0)
    for (const job of [...running]) {
      if (!running.includes(job)) continue
      const tokens = Math.min(budget, job.record.promptTokens + job.sampled - job.computed)
      if (tokens <= 0) continue
      while (running[running.length - 1] !== job && free() < held(job.computed + tokens) - held(job.computed)) {
        const victim = running.pop()!
        victim.computed = 0
        const planned = batch.findIndex((b) => b.job === victim)
        if (planned >= 0) batch.splice(planned, 1)
        waiting.unshift(victim)
        events.push({ t: now, request: victim.record.id, kind: 'preempted', reason: 'recompute' })
      }
      batch.push({ job, tokens })
      budget -= tokens
    }
    while (waiting.length && running.length < maxSequences && budget > 0) {
      const job = waiting[0]!
      const tokens = Math.min(budget, job.record.promptTokens + job.sampled)
      if (running.length && free() < held(job.record.promptTokens + job.sampled + 1)) break
      waiting.shift()
      running.push(job)
      batch.push({ job, tokens })
      budget -= tokens
      events.push({ t: now, request: job.record.id, kind: 'scheduled' })
    }
    const total = batch.reduce((n, b) => n + b.tokens, 0)
    const duration = 3.5 + 0.09 * total + 0.6 * random()
    const shares: StepShare[] = batch.map(({ job, tokens }) => ({
      request: job.record.id, tokens, context: job.computed, sampled: job.computed + tokens === job.record.promptTokens + job.sampled, soloFlops: tokens, soloBytes: 1,
    }))
    const end = now + duration
    for (const [i, { job, tokens }] of batch.entries()) {
      job.computed += tokens
      if (job.sampled === 0) events.push({ t: end, request: job.record.id, kind: 'prefill', count: tokens })
      if (shares[i]!.sampled) {
        job.sampled++
        events.push({ t: end + (network?.back ?? 0), request: job.record.id, kind: 'token', token: 1 })
        if (job.sampled === job.output) events.push({ t: end + (network?.back ?? 0), request: job.record.id, kind: 'finished' })
      }
    }
    steps.push({ start: now, duration, batch: shares, flops: total, bytes: total, workingSet: 1, kvBlocks: used() })
    running = running.filter((job) => job.sampled < job.output)
    now = end
  }
  return { provenance: { how: 'simulated', seed, costs: { how: 'published', source: 'tests', conditions: 'invented' } }, requests, events, steps }
}

/** mulberry32. */
function generator(seed: number): () => number {
  let a = seed
  return () => {
    a = (a + 0x6d2b79f5) | 0
    let x = Math.imul(a ^ (a >>> 15), 1 | a)
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x
    return ((x ^ (x >>> 14)) >>> 0) / 4294967296
  }
}
