import { work, type Share } from '../model/work'
import type { Runner, Sampling, StepBatch, StepResult } from '../runner/runner'
import type { Event, Milliseconds, RequestRecord, Step } from '../trace/trace'
import type { Clock } from './clock'
import { Scheduler, type Progress, type SchedulerLimits } from './scheduler'

/** A request ready for the engine's door. */
export interface ServeRequest {
  record: RequestRecord
  /** Prompt ids. */
  prompt: Int32Array
  /** When it joins the line: arrival, the way there, and its own tokenizing. ms. */
  queuedAt: Milliseconds
  eos: readonly number[]
  sampling?: Sampling
  /** Text of an output token; called once for each, in order. Absent: no texts. */
  textOf?: (id: number) => string
}

export interface ServeOptions {
  runner: Runner
  clock: Clock
  limits?: Partial<Pick<SchedulerLimits, 'maxSequences' | 'maxBatchedTokens'>>
  /** Called after each step with what it added. Times are ms from the start of the run. */
  emit: (update: { events: Event[]; steps: Step[] }) => void
  signal?: AbortSignal
  /** Lets other work of this thread go first; called every few milliseconds. */
  yieldThread?: () => Promise<void>
}

/** Real milliseconds between looks at the message queue: a cancel is seen within this and one step. */
const YIELD_EVERY_MS = 6

/**
 * Serves requests as they arrive by the clock, on one runner. Everything it decides is the scheduler's;
 * everything it reports is what happened. Rejects with the signal's reason when aborted, and with the
 * runner's error when the device fails; the requests in flight are then reported as failed first.
 */
export async function serve(requests: readonly ServeRequest[], options: ServeOptions): Promise<void> {
  const { runner, clock, emit, signal, yieldThread } = options
  const limits = {
    maxSequences: Math.min(options.limits?.maxSequences ?? Infinity, runner.limits.sequences),
    maxBatchedTokens: Math.min(options.limits?.maxBatchedTokens ?? Infinity, runner.limits.tokens),
    blocks: runner.limits.blocks,
  }
  const byId = new Map(requests.map((r) => [r.record.id, r]))
  const coming = [...requests].sort((a, b) => a.queuedAt - b.queuedAt || a.record.id - b.record.id)
  const scheduled = new Set<number>() // ids that hold a place; a preempted one is scheduled anew
  const origin = clock.now()
  const now = () => clock.now() - origin
  let preempted: number[] = []
  const scheduler = new Scheduler(limits, (r) => {
    preempted.push(r.id)
    scheduled.delete(r.id)
  })
  let lastYield = performance.now()
  let next = 0

  try {
    while (next < coming.length || !scheduler.idle) {
      signal?.throwIfAborted()
      const arrived: Event[] = []
      for (; next < coming.length && coming[next]!.queuedAt <= now(); next++) enter(coming[next]!, arrived)
      if (arrived.length) emit({ events: arrived, steps: [] })

      // Arrivals to come break the chain: whoever comes during it would wait for all of it.
      const batch = scheduler.next(next < coming.length ? 1 : runner.limits.chain)
      const lost = preempted.map((request): Event => ({ t: now(), request, kind: 'preempted', reason: 'recompute' }))
      preempted = []
      if (batch) {
        const start = now()
        const result = await runner.run(batch)
        const end = now()
        const progress = scheduler.complete(batch, result)
        emit(report(batch, result, progress, start, end, lost))
      } else if (next < coming.length) {
        await clock.until(origin + coming[next]!.queuedAt, signal)
      }
      if (yieldThread && performance.now() - lastYield > YIELD_EVERY_MS) {
        await yieldThread()
        lastYield = performance.now()
      }
    }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    const open = requests.filter((r) => byId.has(r.record.id))
    emit({ events: open.map((r) => ({ t: now(), request: r.record.id, kind: 'failed', reason })), steps: [] })
    throw error
  } finally {
    for (const id of byId.keys()) runner.release?.(id)
  }

  function enter(r: ServeRequest, events: Event[]): void {
    const { id, arrival, network, promptTokens, maxTokens } = r.record
    events.push({ t: arrival, request: id, kind: 'sent' }, { t: arrival + (network?.out ?? 0), request: id, kind: 'gateway' })
    const last = promptTokens + maxTokens
    const reason = last > runner.config.maxPositions
      ? `${promptTokens} prompt and ${maxTokens} output tokens pass the model's ${runner.config.maxPositions} positions`
      : scheduler.refuses(promptTokens, maxTokens)
    if (reason) {
      events.push({ t: r.queuedAt, request: id, kind: 'rejected', reason })
      byId.delete(id)
      return
    }
    events.push({ t: r.queuedAt, request: id, kind: 'queued' })
    scheduler.add({ id, prompt: r.prompt, maxTokens, eos: r.eos, sampling: r.sampling })
  }

  /** Events and steps of one run of the runner; a chain of decodes is reported as the steps it was. */
  function report(batch: StepBatch, result: StepResult, progress: Progress[], start: Milliseconds, end: Milliseconds, events: Event[]) {
    const count = batch.steps ?? 1
    const steps: Step[] = []
    for (const p of progress) {
      const id = p.request.id
      if (!scheduled.has(id)) {
        scheduled.add(id)
        events.push({ t: start, request: id, kind: 'scheduled' })
      }
      if (p.context < p.request.promptTokens) {
        events.push({ t: end, request: id, kind: 'prefill', count: Math.min(p.computed, p.request.promptTokens - p.context) })
      }
    }
    let from = start
    for (let s = 0; s < count; s++) {
      const to = start + (end - start) * (result.ends?.[s] ?? (s + 1) / count)
      steps.push(step(batch, progress, s, from, to, result.dispatches === undefined ? undefined : result.dispatches / count))
      for (const p of progress) tokenEvents(p, s, to, events)
      from = to
    }
    return { events, steps }
  }

  function tokenEvents(p: Progress, s: number, engineTime: Milliseconds, events: Event[]): void {
    const id = p.sampled[s]
    if (id === undefined) return
    const r = byId.get(p.request.id)!
    const t = engineTime + (r.record.network?.back ?? 0)
    events.push({ t, request: p.request.id, kind: 'token', token: id, text: r.textOf?.(id) })
    if (p.finished && s === p.sampled.length - 1) {
      events.push({ t, request: p.request.id, kind: 'finished' })
      byId.delete(p.request.id)
      runner.release?.(p.request.id)
    }
  }

  function step(batch: StepBatch, progress: Progress[], s: number, start: Milliseconds, end: Milliseconds, dispatches: number | undefined): Step {
    const widths = runner.widths ?? { weight: 4, kv: 4 }
    const shares = batch.chunks.map((c): Share => ({ tokens: c.tokens.length, context: c.start + s, sampledRows: c.sample ? 1 : 0 }))
    const all = work(runner.config, shares, widths)
    return {
      start,
      duration: end - start,
      batch: shares.map((share, i) => {
        const solo = work(runner.config, [share], widths)
        return { request: progress[i]!.request.id, tokens: share.tokens, context: share.context, sampled: share.sampledRows > 0, soloFlops: solo.flops, soloBytes: solo.bytes }
      }),
      flops: all.flops,
      bytes: all.bytes,
      workingSet: all.workingSet,
      kvBlocks: scheduler.blocksUsed,
      dispatches,
    }
  }
}
