import type { Clock } from '../serving/clock'

/**
 * The machine's monotonic clock, ms since `origin`. The same in all threads and processes of a machine,
 * which performance.now() is not: what one thread says, another can place.
 */
export class MonotonicClock implements Clock {
  constructor(readonly origin: bigint = process.hrtime.bigint()) {}

  now(): number {
    return Number(process.hrtime.bigint() - this.origin) / 1e6
  }

  async until(time: number, signal?: AbortSignal): Promise<void> {
    for (;;) {
      signal?.throwIfAborted()
      const left = time - this.now()
      if (left <= 0) return
      await new Promise<void>((resolve) => setTimeout(resolve, Math.min(left, 50)))
    }
  }
}
