import { Scheduler, type Batch, type SchedulerLimits } from './scheduler'
import type { StepCost } from './step-cost'
import type { LoggedRequest } from './trace-files'

/** When a request got its place and its tokens, ms on the trace's clock. */
export interface Served {
  scheduled: number
  firstToken: number
  lastToken: number
}

export interface Replay {
  /** In the order of the requests. */
  served: Served[]
  preemptions: number
  steps: number
}

/**
 * Serves a log's requests again, in virtual time, on a machine that takes what `cost` says: the live
 * engine's own scheduler, one replica. Output lengths end the texts; scheduling does not see them (the
 * client is taken to have allowed the pool's worth). Requests must be in order of arrival. `onStep` sees
 * each step before its tokens are counted. Throws RangeError for a request that can never fit.
 */
export function replay(requests: readonly LoggedRequest[], cost: StepCost, limits: SchedulerLimits, onStep?: (batch: Batch, start: number, end: number) => void): Replay {
  let preemptions = 0
  let steps = 0
  const scheduler = new Scheduler(limits, () => preemptions++)
  const served = requests.map((): Served => ({ scheduled: NaN, firstToken: NaN, lastToken: NaN }))
  let now = 0
  let next = 0
  while (next < requests.length || !scheduler.idle) {
    for (; next < requests.length && requests[next]!.arrival <= now; next++) {
      scheduler.add(next, requests[next]!.inputTokens, requests[next]!.outputTokens)
    }
    const batch = scheduler.next()
    if (!batch) {
      now = requests[next]!.arrival
      continue
    }
    for (const g of batch.grants) {
      const s = served[g.sequence.id]!
      if (Number.isNaN(s.scheduled)) s.scheduled = now
    }
    const start = now
    now += duration(batch, cost)
    steps++
    onStep?.(batch, start, now)
    scheduler.complete(batch, batch.grants.map(({ sequence, sample }) => {
      if (!sample) return { sampled: 0, finished: false }
      const s = served[sequence.id]!
      if (sequence.outputTokens === 0) s.firstToken = now
      const finished = sequence.outputTokens + 1 >= requests[sequence.id]!.outputTokens
      if (finished) s.lastToken = now
      return { sampled: 1, finished }
    }))
  }
  return { served, preemptions, steps }
}

/** A batch's time: a grant of one token after the prompt is a decode, anything else is prefill. */
function duration({ grants }: Batch, cost: StepCost): number {
  let decodes = 0
  let context = 0
  let prefill = 0
  let prefillContext = 0
  for (const { sequence, start, tokens } of grants) {
    if (tokens === 1 && start >= sequence.promptTokens) {
      decodes++
      context += start
    } else {
      prefill += tokens
      prefillContext += tokens * (start + tokens / 2)
    }
  }
  return cost.step(decodes, context, prefill, prefillContext)
}
