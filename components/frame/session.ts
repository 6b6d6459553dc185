/** What a slide knows about its experiment. */
export type SessionState<R> =
  /** Nothing was asked for yet, or the slide was left before a run ended. */
  | { phase: 'idle' }
  /** Parameters moved: the old reading is gone, the new run starts when they have settled. */
  | { phase: 'settling' }
  | { phase: 'running'; reading?: R }
  | { phase: 'done'; reading?: R }
  | { phase: 'failed'; error: unknown }

export interface Timers {
  set(callback: () => void, ms: number): unknown
  clear(handle: unknown): void
}

const realTimers: Timers = {
  set: (callback, ms) => setTimeout(callback, ms),
  clear: (handle) => clearTimeout(handle as ReturnType<typeof setTimeout>),
}

/** How long parameters must rest before a run starts: a dragged slider fires every frame. */
export const SETTLE_MS = 180

/**
 * Runs an experiment for the parameters that are wanted now, and for no others: a change aborts the
 * run in flight and drops its readings, a flurry of changes starts one run, asking again for what is
 * running or done starts nothing.
 */
export class Session<V, R> {
  private state: SessionState<R> = { phase: 'idle' }
  private key: string | undefined
  private timer: unknown
  private abort: AbortController | undefined
  /** Runs started since the session was made. */
  started = 0

  constructor(
    private readonly run: (values: V, signal: AbortSignal) => AsyncIterable<R>,
    private readonly show: (state: SessionState<R>) => void,
    private readonly timers: Timers = realTimers,
    private readonly settleMs = SETTLE_MS,
  ) {}

  /** Starts a run for these values at once, unless one of the same values is under way or done. */
  start(values: V): void {
    const key = JSON.stringify(values)
    if (key === this.key && (this.state.phase === 'running' || this.state.phase === 'done')) return
    this.cancel('superseded')
    this.key = key
    void this.loop(values)
  }

  /** The values moved: drops what is drawn and starts over once they rest. */
  change(values: V): void {
    if (JSON.stringify(values) === this.key && (this.state.phase === 'running' || this.state.phase === 'done')) return
    this.cancel('parameters changed')
    this.key = undefined
    this.put({ phase: 'settling' })
    this.timer = this.timers.set(() => this.start(values), this.settleMs)
  }

  /** Runs again with the same values. */
  again(values: V): void {
    this.cancel('run again')
    this.key = undefined
    this.start(values)
  }

  /** The slide was left: ends a run in flight, keeps a finished reading. */
  stop(): void {
    if (this.state.phase === 'done') return
    this.cancel('slide left')
    this.key = undefined
    this.put({ phase: 'idle' })
  }

  /** What was read holds no longer: the next start runs. */
  forget(): void {
    this.cancel('no longer holds')
    this.key = undefined
    this.put({ phase: 'idle' })
  }

  private cancel(why: string): void {
    if (this.timer !== undefined) this.timers.clear(this.timer)
    this.timer = undefined
    this.abort?.abort(new DOMException(why, 'AbortError'))
    this.abort = undefined
  }

  private put(state: SessionState<R>): void {
    this.state = state
    this.show(state)
  }

  private async loop(values: V): Promise<void> {
    const abort = (this.abort = new AbortController())
    this.started++
    this.put({ phase: 'running' })
    let last: R | undefined
    try {
      for await (const reading of this.run(values, abort.signal)) {
        if (this.abort !== abort) return
        last = reading
        this.put({ phase: 'running', reading })
      }
      if (this.abort === abort) this.put({ phase: 'done', reading: last })
    } catch (error) {
      if (this.abort === abort) this.put({ phase: 'failed', error })
    }
  }
}
