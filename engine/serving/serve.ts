import { work, type Share } from '../model/work'
import type { Runner, Sampling, SequenceChunk, StepResult } from '../runner/runner'
import type { Event, Milliseconds, RequestRecord, Step } from '../trace/trace'
import type { Clock } from './clock'
import { Scheduler, type Batch, type Grant, type SchedulerLimits } from './scheduler'

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
  const byId = new Map(requests.map((r) => [r.record.id, { ...r, tokens: Array.from(r.prompt) }]))
  const coming = [...requests].sort((a, b) => a.queuedAt - b.queuedAt || a.record.id - b.record.id)
  const scheduled = new Set<number>() // ids that hold a place; a preempted one is scheduled anew
  const origin = clock.now()
  const now = () => clock.now() - origin
  let preempted: number[] = []
  const scheduler = new Scheduler(limits, ({ id }) => {
    preempted.push(id)
    scheduled.delete(id)
  })
  let lastYield = performance.now()
  let next = 0

  try {
    while (next < coming.length || !scheduler.idle) {
      signal?.throwIfAborted()
      const arrived: Event[] = []
      // Compared on the clock's own scale: a difference of large times may round to just below queuedAt.
      for (; next < coming.length && origin + coming[next]!.queuedAt <= clock.now(); next++) enter(coming[next]!, arrived)
      if (arrived.length) emit({ events: arrived, steps: [] })

      // Arrivals to come break the chain: whoever comes during it would wait for all of it.
      const batch = scheduler.next(next < coming.length ? 1 : runner.limits.chain)
      const lost = preempted.map((request): Event => ({ t: now(), request, kind: 'preempted', reason: 'recompute' }))
      preempted = []
      if (batch) {
        const chunks = batch.grants.map(chunk)
        const start = now()
        const result = await runner.run({ chunks, steps: batch.steps })
        const end = now()
        const outputs = batch.grants.map((_, i) => sampledBy(batch, result, i))
        scheduler.complete(batch, outputs.map(({ ids, finished }) => ({ sampled: ids.length, finished })))
        emit(report(batch, result, outputs, start, end, lost))
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
    scheduler.add(id, promptTokens, maxTokens)
  }

  /** The scheduler's grant with its token ids. */
  function chunk({ sequence, start, tokens, sample }: Grant): SequenceChunk {
    const r = byId.get(sequence.id)!
    return {
      request: sequence.id, start, sample, sampling: r.sampling,
      tokens: Int32Array.from(r.tokens.slice(start, start + tokens)),
      blockTable: Int32Array.from(sequence.blockTable),
    }
  }

  /** Output ids of one grant, up to the end of its text; what a chain made beyond that is dropped. */
  function sampledBy(batch: Batch, result: StepResult, i: number): Output {
    const { sequence, sample } = batch.grants[i]!
    const r = byId.get(sequence.id)!
    const ids: number[] = []
    let finished = false
    for (let s = 0; sample && s < batch.steps && !finished; s++) {
      const id = result.tokens[s * batch.grants.length + i]!
      r.tokens.push(id)
      ids.push(id)
      finished = r.eos.includes(id) || r.tokens.length - r.prompt.length >= r.record.maxTokens
    }
    return { ids, finished }
  }

  /** Events and steps of one run of the runner; a chain of decodes is reported as the steps it was. */
  function report(batch: Batch, result: StepResult, outputs: Output[], start: Milliseconds, end: Milliseconds, events: Event[]) {
    const steps: Step[] = []
    for (const { sequence: { id, promptTokens }, start: context, tokens } of batch.grants) {
      if (!scheduled.has(id)) {
        scheduled.add(id)
        events.push({ t: start, request: id, kind: 'scheduled' })
      }
      if (context < promptTokens) events.push({ t: end, request: id, kind: 'prefill', count: Math.min(tokens, promptTokens - context) })
    }
    let from = start
    for (let s = 0; s < batch.steps; s++) {
      const to = start + (end - start) * (result.ends?.[s] ?? (s + 1) / batch.steps)
      steps.push(step(batch, s, from, to, result.dispatches === undefined ? undefined : result.dispatches / batch.steps))
      for (const [i, g] of batch.grants.entries()) tokenEvents(g.sequence.id, outputs[i]!, s, to, events)
      from = to
    }
    return { events, steps }
  }

  function tokenEvents(request: number, { ids, finished }: Output, s: number, engineTime: Milliseconds, events: Event[]): void {
    const token = ids[s]
    if (token === undefined) return
    const r = byId.get(request)!
    const t = engineTime + (r.record.network?.back ?? 0)
    events.push({ t, request, kind: 'token', token, text: r.textOf?.(token) })
    if (finished && s === ids.length - 1) {
      events.push({ t, request, kind: 'finished' })
      byId.delete(request)
      runner.release?.(request)
    }
  }

  function step(batch: Batch, s: number, start: Milliseconds, end: Milliseconds, dispatches: number | undefined): Step {
    const widths = runner.widths ?? { weight: 4, kv: 4 }
    const shares = batch.grants.map((g): Share => ({ tokens: g.tokens, context: g.start + s, sampledRows: g.sample ? 1 : 0 }))
    const all = work(runner.config, shares, widths)
    return {
      start,
      duration: end - start,
      batch: shares.map((share, i) => {
        const solo = work(runner.config, [share], widths)
        return { request: batch.grants[i]!.sequence.id, tokens: share.tokens, context: share.context, sampled: share.sampledRows > 0, soloFlops: solo.flops, soloBytes: solo.bytes }
      }),
      flops: all.flops,
      bytes: all.bytes,
      workingSet: all.workingSet,
      kvBlocks: scheduler.blocksUsed,
      dispatches,
    }
  }
}

/** What a run of the runner added to one request. */
interface Output {
  ids: number[]
  finished: boolean
}
