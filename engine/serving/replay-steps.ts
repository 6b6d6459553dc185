import type { Event, RequestRecord, Step } from '../trace/trace'
import { Scheduler, type SchedulerLimits } from './scheduler'

/** What a replay came to: as the live loop's Trace says it, so that the two can be compared. */
export interface ReplayedSteps {
  events: Pick<Event, 't' | 'request' | 'kind' | 'count'>[]
  /** Who had how many tokens of each step, and the blocks held after it. */
  steps: { batch: { request: number; tokens: number; context: number }[]; kvBlocks: number }[]
}

/**
 * Serves the requests of a live run again, in virtual time, on its own steps' beginnings and durations: who
 * is part of which step is decided anew. `queuedAt` in ms from the run's start; `chain` as the runner's limit.
 * Throws RangeError when the scheduler wants a step that the live run did not take, or the other way round.
 */
export function replaySteps(requests: readonly { record: RequestRecord; queuedAt: number; outputTokens: number }[], live: readonly Step[], limits: SchedulerLimits, chain = 1): ReplayedSteps {
  const coming = [...requests].sort((a, b) => a.queuedAt - b.queuedAt || a.record.id - b.record.id)
  const byId = new Map(requests.map((r) => [r.record.id, r]))
  const scheduled = new Set<number>()
  const events: ReplayedSteps['events'] = []
  const steps: ReplayedSteps['steps'] = []
  let moment = 0
  const scheduler = new Scheduler(limits, ({ id }) => {
    scheduled.delete(id)
    events.push({ t: moment, request: id, kind: 'preempted' })
  })
  let next = 0
  for (let i = 0; i < live.length; ) {
    moment = live[i]!.start
    for (; next < coming.length && coming[next]!.queuedAt <= moment; next++) {
      const { record, queuedAt } = coming[next]!
      events.push({ t: queuedAt, request: record.id, kind: 'queued' })
      scheduler.add(record.id, record.promptTokens, record.maxTokens)
    }
    const batch = scheduler.next(next < coming.length ? 1 : chain)
    if (!batch) throw new RangeError(`the live run took a step at ${moment} ms, the scheduler had nothing to do`)
    if (i + batch.steps > live.length) throw new RangeError(`the scheduler wants ${batch.steps} steps at ${moment} ms, the live run has ${live.length - i} left`)
    const ends = Array.from({ length: batch.steps }, (_, s) => live[i + s]!.start + live[i + s]!.duration)
    for (const { sequence: { id, promptTokens }, start, tokens } of batch.grants) {
      if (!scheduled.has(id)) {
        scheduled.add(id)
        events.push({ t: moment, request: id, kind: 'scheduled' })
      }
      if (start < promptTokens) events.push({ t: ends.at(-1)!, request: id, kind: 'prefill', count: Math.min(tokens, promptTokens - start) })
    }
    const outcomes = batch.grants.map(({ sequence, sample }) => {
      const left = sample ? byId.get(sequence.id)!.outputTokens - sequence.outputTokens : Infinity
      return { sampled: sample ? Math.min(left, batch.steps) : 0, finished: left <= batch.steps }
    })
    const shares = batch.grants.map((g) => ({ request: g.sequence.id, tokens: g.tokens, context: g.start }))
    scheduler.complete(batch, outcomes)
    for (const [s, t] of ends.entries()) {
      steps.push({ batch: shares.map((b) => ({ ...b, context: b.context + s })), kvBlocks: scheduler.blocksUsed })
      for (const [g, { request }] of shares.entries()) {
        if (s >= outcomes[g]!.sampled) continue
        events.push({ t, request, kind: 'token' })
        if (outcomes[g]!.finished && s === outcomes[g]!.sampled - 1) events.push({ t, request, kind: 'finished' })
      }
    }
    i += batch.steps
  }
  if (next < coming.length || !scheduler.idle) throw new RangeError('the live run ended before the scheduler had served all')
  return { events, steps }
}
