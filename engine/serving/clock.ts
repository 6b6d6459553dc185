/**
 * The one source of time for page, worker and tests.
 * `now` is in milliseconds; its origin is arbitrary, differences are what counts.
 */
export interface Clock {
  now(): number
  /** Resolves once `now()` has reached `time`, or rejects with the signal's reason. */
  until(time: number, signal?: AbortSignal): Promise<void>
}

/**
 * Real time, stretched: with `slow` = 2 every real millisecond counts as two, so every measured
 * duration doubles, just as on an engine of half the speed (`?slow=2`).
 */
export class WallClock implements Clock {
  private readonly origin = performance.now()
  constructor(readonly slow = 1) {
    if (!(slow > 0 && Number.isFinite(slow))) throw new RangeError(`slow must be a positive number, got ${slow}`)
  }
  now(): number {
    return (performance.now() - this.origin) * this.slow
  }
  async until(time: number, signal?: AbortSignal): Promise<void> {
    for (;;) {
      signal?.throwIfAborted()
      const left = (time - this.now()) / this.slow
      if (left <= 0) return
      // Timers are coarse (1–4 ms) and background tabs coarser still: sleep short, then look again.
      await new Promise<void>((resolve) => setTimeout(resolve, Math.min(left, 50)))
    }
  }
}

/** Time that moves only when told to. */
export class VirtualClock implements Clock {
  constructor(private time = 0) {}
  now(): number {
    return this.time
  }
  advance(by: number): void {
    if (!(by >= 0)) throw new RangeError(`time cannot go back by ${by} ms`)
    this.time += by
  }
  until(time: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted()
    if (time > this.time) this.time = time
    return Promise.resolve()
  }
}
