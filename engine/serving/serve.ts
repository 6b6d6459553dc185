import { BLOCK_SIZE, type Runner, type Sampling, type SequenceChunk, type StepBatch, type StepResult } from '../runner/runner'
import { NOTHING, type Draft } from '../speculate/draft'
import type { Verdict } from '../speculate/verify'
import type { Event, Milliseconds, RequestRecord, Step } from '../trace/trace'
import type { Clock } from './clock'
import type { PrefixCache } from './prefix-cache'
import { Scheduler, Sequence, type Batch, type Grant, type SchedulerLimits, type SchedulerPolicy } from './scheduler'
import { rowsOf, Speculation, type SpeculationOptions } from './speculation'
import { stepsOf } from './step-report'

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
  /** Texts of drafted tokens as they would read after the output so far. Absent: no texts. */
  draftTexts?: (draft: Draft) => string[]
  /** One id per whole block of the prompt, for the prefix cache; equal leading ids mean equal text. */
  prefix?: readonly number[]
  /** Whether the text is over with this output token for another reason than `eos` (stop strings); called once for each, in order, before `textOf`. */
  ends?: (id: number) => boolean
}

/** Where requests come in while others are served, by whoever hears from their clients. */
export interface Door {
  /** Nobody comes any more once it is closed; what is inside is served to its end. */
  readonly open: boolean
  /** Who came, and who was given up by its client, since this was last asked. */
  take(): { came: readonly ServeRequest[]; gone: readonly number[] }
  /** Resolves when there is something to take, or the door has been closed. */
  stirred(): Promise<void>
}

export interface ServeOptions {
  runner: Runner
  clock: Clock
  limits?: Partial<Pick<SchedulerLimits, 'maxSequences' | 'maxBatchedTokens'>>
  /** How steps are put together (default: continuous). */
  policy?: SchedulerPolicy['batching']
  /** Keys and values of earlier prompts, with the runner's pool of blocks; it outlives this call. Absent: none are kept. */
  cache?: PrefixCache
  /** Tokens are guessed ahead. Absent: plain decoding. */
  speculate?: SpeculationOptions
  /** Mixture of experts: experts a token is sent to, and whether steps say which. */
  expertsPerToken?: number
  wantExperts?: boolean
  /** Called after each step with what it added. Times are ms from the start of the run. */
  emit: (update: { events: Event[]; steps: Step[] }) => void
  /** More requests come through it; serving goes on until it is closed and all are answered. */
  door?: Door
  /** The clock's reading that times count from (default: now). */
  origin?: Milliseconds
  /** Told of the queue, the running requests and the blocks in use after every step and every change at the door. */
  onState?: (state: ServeState) => void
  signal?: AbortSignal
  /** Lets other work of this thread go first; called every few milliseconds. */
  yieldThread?: () => Promise<void>
}

/** What a server's gauges show. */
export interface ServeState {
  running: number
  waiting: number
  blocksUsed: number
  preemptions: number
}

/** Real milliseconds between looks at the message queue: a cancel is seen within this and one step. */
const YIELD_EVERY_MS = 6

/**
 * Serves requests as they arrive by the clock, on one runner. Everything it decides is the scheduler's;
 * everything it reports is what happened. Rejects with the signal's reason when aborted, and with the
 * runner's error when the device fails; the requests in flight are then reported as failed first.
 */
export async function serve(requests: readonly ServeRequest[], options: ServeOptions): Promise<void> {
  const { runner, clock, emit, signal, yieldThread, door } = options
  const limits = {
    maxSequences: Math.min(options.limits?.maxSequences ?? Infinity, runner.limits.sequences),
    maxBatchedTokens: Math.min(options.limits?.maxBatchedTokens ?? Infinity, runner.limits.tokens),
    blocks: runner.limits.blocks,
  }
  const byId = new Map(requests.map((r) => [r.record.id, { ...r, tokens: Array.from(r.prompt) }]))
  const coming = [...requests].sort((a, b) => a.queuedAt - b.queuedAt || a.record.id - b.record.id)
  const scheduled = new Map<number, number>() // who holds a place, and how many of its blocks are told; a preempted one is scheduled anew
  const origin = options.origin ?? clock.now()
  const now = () => clock.now() - origin
  let preempted: number[] = []
  let preemptions = 0
  const scheduler = new Scheduler(limits, ({ id }) => {
    preempted.push(id)
    preemptions++
    scheduled.delete(id)
    speculation?.release(id, false)
  }, { batching: options.policy ?? 'continuous', cache: options.cache })
  const speculation = options.speculate && new Speculation(options.speculate, byId, now, () => scheduler.blocksUsed, runner.config.maxPositions)
  let lastYield = performance.now()
  let next = 0

  try {
    while (next < coming.length || !scheduler.idle || door?.open) {
      signal?.throwIfAborted()
      const arrived: Event[] = []
      if (door) answerDoor(door, arrived)
      // One reading of the clock decides who is there and is when the step begins: whoever comes in between is in the next.
      const moment = clock.now()
      // Compared on the clock's own scale: a difference of large times may round to just below queuedAt.
      for (; next < coming.length && origin + coming[next]!.queuedAt <= moment; next++) enter(coming[next]!, arrived)
      if (arrived.length) {
        emit({ events: arrived, steps: [] })
        tellState()
      }

      speculation?.want(scheduler.running)
      // Arrivals to come break the chain: whoever comes during it would wait for all of it.
      const batch = scheduler.next(next < coming.length || door || speculation || options.wantExperts ? 1 : runner.limits.chain)
      const lost = preempted.map((request): Event => ({ t: moment - origin, request, kind: 'preempted', reason: 'recompute' }))
      preempted = []
      if (batch) {
        const drafts = await speculation?.draft(batch.grants)
        const drafted = speculation?.take()
        if (drafted?.steps.length || drafted?.events.length) emit(drafted)
        const run = stepBatch(batch, drafts)
        // Drafting has taken its time by now; otherwise deciding is part of the step.
        const start = speculation ? now() : moment - origin
        const result = await runner.run(run)
        const end = now()
        const outputs = sampledBy(batch, run, result, drafts)
        scheduler.complete(batch, outputs.map(({ ids, finished }) => ({ sampled: ids.length, finished })))
        emit(report(batch, run, result, outputs, start, end, lost))
        tellState()
      } else if (next < coming.length) {
        await clock.until(origin + coming[next]!.queuedAt, signal)
      } else if (door?.open) {
        await door.stirred()
      }
      if (yieldThread && performance.now() - lastYield > YIELD_EVERY_MS) {
        await yieldThread()
        lastYield = performance.now()
      }
    }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    emit({ events: [...byId.keys()].map((request) => ({ t: now(), request, kind: 'failed', reason })), steps: [] })
    throw error
  } finally {
    for (const id of byId.keys()) {
      scheduler.cancel(id)
      over(id)
    }
  }

  /** Those that came are in line at once; those given up lose their place and their blocks before the next step. */
  function answerDoor(at: Door, events: Event[]): void {
    const { came, gone } = at.take()
    for (const r of came) {
      byId.set(r.record.id, { ...r, tokens: Array.from(r.prompt) })
      enter(r, events)
    }
    for (const id of gone) {
      if (!byId.has(id)) continue // its last token and its going crossed
      scheduler.cancel(id)
      events.push({ t: now(), request: id, kind: 'failed', reason: 'its client went away' })
      over(id)
    }
  }

  function tellState(): void {
    options.onState?.({ running: scheduler.places, waiting: scheduler.queueLength, blocksUsed: scheduler.blocksUsed, preemptions })
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
    const sequence = new Sequence(id, promptTokens, maxTokens, 0, r.prefix)
    sequence.tokens = r.prompt
    sequence.computed = r.record.present ?? 0
    scheduler.enqueue(sequence)
  }

  /** The request has left the scheduler: nothing of it is needed any more, on either side of the runner. */
  function over(id: number): void {
    byId.delete(id)
    scheduled.delete(id)
    speculation?.release(id, true)
    runner.release?.(id)
  }

  /** What the runner is asked for: the grants with their token ids and drafts. */
  function stepBatch(batch: Batch, drafts: readonly Draft[] | undefined): StepBatch {
    const chunks = batch.grants.map((g, i) => (drafts ? speculation!.extend(chunk(g), drafts[i]!) : chunk(g)))
    const copies = [
      ...batch.copies.flatMap(({ from, to, tokens }) => Array.from({ length: tokens }, (_, i) => ({ from: from * BLOCK_SIZE + i, to: to * BLOCK_SIZE + i }))),
      ...(speculation?.takeMoves() ?? []),
    ]
    return {
      chunks,
      steps: batch.steps,
      // Acceptance of drawn tokens is decided by whole distributions.
      wantLogits: chunks.some((c) => c.sampleRows && c.sampling && c.sampling.temperature > 0) || undefined,
      copies: copies.length ? copies : undefined,
      expertsPerToken: options.expertsPerToken,
      wantExperts: options.wantExperts,
    }
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

  /** Output ids of each grant, up to the end of its text; what a chain or a draft made beyond that is dropped. */
  function sampledBy(batch: Batch, run: StepBatch, result: StepResult, drafts: readonly Draft[] | undefined): Output[] {
    const rows = drafts && rowsOf(run.chunks)
    return batch.grants.map((g, i): Output => {
      const r = byId.get(g.sequence.id)!
      const draft = drafts?.[i] ?? NOTHING
      const verdict = draft.tokens.length ? speculation!.verify(g, draft, result, rows![i]!, runner.config.vocabSize) : undefined
      const sampled = verdict?.tokens ?? (g.sample ? Array.from({ length: batch.steps }, (_, s) => result.tokens[s * batch.grants.length + i]!) : [])
      const ids: number[] = []
      let finished = false
      for (const id of sampled) {
        r.tokens.push(id)
        ids.push(id)
        const ended = r.ends?.(id) ?? false
        finished = ended || r.eos.includes(id) || r.tokens.length - r.prompt.length >= r.record.maxTokens
        if (finished) break
      }
      return { ids, finished, verified: verdict && { draft, verdict } }
    })
  }

  /** Events and steps of one run of the runner; a chain of decodes is reported as the steps it was. */
  function report(batch: Batch, run: StepBatch, result: StepResult, outputs: Output[], start: Milliseconds, end: Milliseconds, events: Event[]) {
    for (const { sequence: { id, promptTokens }, start: context, tokens } of batch.grants) {
      if (!scheduled.has(id)) {
        scheduled.set(id, 0)
        events.push({ t: start, request: id, kind: 'scheduled' })
        if (options.cache && context > 0) events.push({ t: start, request: id, kind: 'cached', count: Math.min(context, promptTokens) })
      }
      if (context < promptTokens) events.push({ t: end, request: id, kind: 'prefill', count: Math.min(tokens, promptTokens - context) })
    }
    const steps = stepsOf(runner, run, result, start, end, scheduler.blocksUsed)
    for (const [i, { request, blockTable }] of run.chunks.entries()) {
      const told = scheduled.get(request)!
      if (blockTable.length > told) steps[0]!.batch[i]!.blocks = Array.from(blockTable.subarray(told))
      scheduled.set(request, blockTable.length)
    }
    for (const [s, step] of steps.entries()) {
      for (const [i, g] of batch.grants.entries()) tokenEvents(g.sequence.id, outputs[i]!, s, step.start + step.duration, events)
    }
    return { events, steps }
  }

  /** Tokens of step `s` of a chain, or all that a verification came to. */
  function tokenEvents(request: number, { ids, finished, verified }: Output, s: number, engineTime: Milliseconds, events: Event[]): void {
    const r = byId.get(request)
    if (!r) return
    const t = engineTime + (r.record.network?.back ?? 0)
    if (verified) events.push(speculation!.verified(request, verified.draft, verified.verdict, Math.min(verified.verdict.path.length, ids.length), t))
    for (const token of verified ? ids : ids.slice(s, s + 1)) events.push({ t, request, kind: 'token', token, text: r.textOf?.(token) })
    if (finished && (verified || s === ids.length - 1)) {
      events.push({ t, request, kind: 'finished' })
      over(request)
    }
  }
}

/** What a run of the runner added to one request. */
interface Output {
  ids: number[]
  finished: boolean
  /** Where tokens had been drafted: what became of them. */
  verified?: { draft: Draft; verdict: Verdict }
}
