import type { Source } from '../serving/cluster'
import type { Job } from '../serving/replica'
import { Random } from '../serving/random'
import type { Clock } from '../serving/clock'
import type { Milliseconds, RequestRecord } from '../trace/trace'
import { ask, TIMEOUTS, type AskOptions, type Outcome, type Timeouts } from './ask'
import type { PromptMaker } from './prompts'

export interface LoadOptions extends Pick<AskOptions, 'transport' | 'base' | 'api' | 'key'> {
  model: string
  /** Who comes when, and asks for how much. */
  source: Source
  /** Nobody is sent after this. ms */
  until: Milliseconds
  prompts: PromptMaker
  clock: Clock
  timeouts?: Timeouts
  /** Of the sampling: 0 is greedy. */
  temperature: number
  /** Ask for exactly the drawn output length (vLLM's ignore_eos); else the model may end earlier. */
  exactOutput: boolean
  /** Share of requests that is hung up on after some of its tokens. */
  cancel?: { share: number; seed: number }
  /** Names of requests begin with it. */
  run: string
  /** Nobody more is sent; those under way are waited for. */
  drain: AbortSignal
  /** Those under way are given up. */
  stop: AbortSignal
  onEnd: (record: RequestRecord, out: Outcome) => void
}

/** What the generator itself was late by, ms. */
export interface LoadProgress {
  sent: number
  open: number
  mostOpen: number
}

/** Timers fire up to so much late: the rest is waited for turn by turn. ms */
const TIMER_SLACK = 1.5

/**
 * Sends a scenario's requests when their time comes, whether or not earlier ones were answered (open loop): a server
 * that falls behind meets the load that users would make. In a closed loop each user waits for an answer. Resolves when
 * all that were sent have ended. Never rejects for what a server does. `progress` is kept up to date.
 */
export async function load(options: LoadOptions, progress: LoadProgress = { sent: 0, open: 0, mostOpen: 0 }): Promise<LoadProgress> {
  const { source, clock, until, drain, stop } = options
  const over = AbortSignal.any([drain, stop])
  const under: Set<Promise<void>> = new Set()
  const cancels = options.cancel && new Random(options.cancel.seed, 98)

  const send = (ready: Ready): Promise<void> => {
    progress.sent++
    progress.open++
    progress.mostOpen = Math.max(progress.mostOpen, progress.open)
    const one = sendOne(options, ready).finally(() => {
      progress.open--
      under.delete(one)
    })
    under.add(one)
    return one
  }

  if (source.closed) {
    const { users, think } = source.closed
    let next = 0
    await Promise.all(Array.from({ length: users }, async () => {
      while (next < source.total && !over.aborted && clock.now() < until) {
        await send(prepare(options, source.create(next++, clock.now()), cancels))
        const pause = think()
        if (pause > 0) await waitUntil(clock, clock.now() + pause, over)
      }
    }))
  } else {
    for (let id = 0; id < source.total; id++) {
      const at = source.arrivals!()
      if (at > until) break
      // What can be done before its time is done before: writing it takes as long as some answers.
      const ready = prepare(options, source.create(id, at), cancels)
      await waitUntil(clock, at, over)
      if (over.aborted) break
      void send(ready)
    }
  }
  while (under.size > 0) await Promise.all(under)
  return progress
}

/** A request that only waits for its time. */
interface Ready {
  job: Job
  name: string
  body: string
  tokens: number
  maxTokens: number
  cancelAfter?: number
}

function prepare({ model, prompts, temperature, exactOutput, run, cancel }: LoadOptions, job: Job, cancels: Random | undefined): Ready {
  const { fields, tokens } = prompts.make({ id: job.id, promptTokens: job.promptTokens, prefix: job.prefix })
  const maxTokens = exactOutput ? job.outputLength : job.maxTokens
  const gone = cancels && cancels.uniform() < cancel!.share
  return {
    job, name: `${run}-${job.id}`, tokens, maxTokens,
    body: JSON.stringify({
      model, ...fields, max_tokens: maxTokens, temperature, stream: true, stream_options: { include_usage: true },
      ...(exactOutput ? { ignore_eos: true } : {}),
    }),
    cancelAfter: gone ? 1 + cancels.below(Math.max(1, job.outputLength - 1)) : undefined,
  }
}

async function sendOne({ transport, base, api, key, clock, stop, timeouts = TIMEOUTS, onEnd }: LoadOptions, { job, name, body, tokens, maxTokens, cancelAfter }: Ready): Promise<void> {
  const out = await ask({ transport, base, api, key, clock, name, body, timeouts, signal: stop, cancelAfter })
  onEnd({ id: job.id, name, arrival: job.arrival, promptTokens: out.promptTokens ?? tokens, maxTokens }, out)
}

/** A timer until shortly before, then turn by turn: what comes from the network goes first, and the moment is met within one turn. */
async function waitUntil(clock: Clock, time: Milliseconds, over: AbortSignal): Promise<void> {
  while (!over.aborted) {
    const left = time - clock.now()
    if (left <= 0) return
    await new Promise<void>((resolve) => (left > TIMER_SLACK ? setTimeout(resolve, Math.min(left - TIMER_SLACK, 100)) : setImmediate(resolve)))
  }
}
