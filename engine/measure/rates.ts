import type { RoofProbe } from '../runner/probe'
import type { Clock } from '../serving/clock'
import type { Roofs } from '../trace/trace'

/** Shortest span that is timed: performance.now() may resolve no better than 100 µs (REFERENCE §7). */
export const SHORTEST_SPAN_MS = 20

/**
 * Milliseconds one call takes: the median of `repeats` spans of at least 20 ms of clock each. The
 * first, untimed call pays for caches, page faults and compilation.
 */
export async function timePerCall(clock: Clock, call: () => unknown, repeats = 3): Promise<number> {
  return (await spansOf(clock, call, repeats))[repeats >> 1]!
}

/** The same, at best: a roof is what the device can do, and anything else that runs only lowers it. */
export async function bestTimePerCall(clock: Clock, call: () => unknown, repeats = 5): Promise<number> {
  return (await spansOf(clock, call, repeats))[0]!
}

/** Milliseconds a call of each span, shortest first. */
async function spansOf(clock: Clock, call: () => unknown, repeats: number): Promise<number[]> {
  await call()
  const spans: number[] = []
  for (let i = 0; i < repeats; i++) {
    let calls = 0
    const start = clock.now()
    let elapsed = 0
    while (elapsed < SHORTEST_SPAN_MS) {
      await call()
      calls++
      elapsed = clock.now() - start
    }
    spans.push(elapsed / calls)
  }
  return spans.sort((a, b) => a - b)
}

/** Read rate at each working-set size and the best matmul rate. */
export async function measureRoofs(probe: RoofProbe, clock: Clock, onProgress: (done: number, doing: string) => void, signal?: AbortSignal): Promise<Roofs> {
  const read: Roofs['read'] = []
  for (const [i, bytes] of probe.sizes.entries()) {
    signal?.throwIfAborted()
    onProgress(i / (probe.sizes.length + 1), `Reading ${bytes / 2 ** 20} MB`)
    await probe.prepare(bytes)
    const passBytes = (await probe.readPass()) ?? bytes
    const ms = await bestTimePerCall(clock, () => probe.readPass())
    read.push({ bytes, bytesPerSecond: (passBytes / ms) * 1000 })
  }
  onProgress(probe.sizes.length / (probe.sizes.length + 1), 'Multiplying matrices')
  const flops = await probe.matmulPass()
  const ms = await bestTimePerCall(clock, () => probe.matmulPass())
  return { flopsPerSecond: (flops / ms) * 1000, read }
}

/**
 * Where the last-level cache ends, bytes: the largest working set that is still read half as fast again
 * as the largest one tried. 0 when the curve is flat.
 */
export function cacheEdge(read: Roofs['read']): number {
  const memory = read[read.length - 1]!.bytesPerSecond
  return read.reduce((edge, p) => (p.bytesPerSecond > 1.5 * memory ? p.bytes : edge), 0)
}
