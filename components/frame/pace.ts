/** The slow-motion factors on offer: 1-2-5 steps from real time to a thousandth of it. */
export const SLOWDOWNS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000] as const

/** How long a replay should take to be watched with ease, ms. */
export const WATCHABLE_MS = 9000

/** The factor that brings a Trace of this length nearest to a watchable time; never a time-lapse. */
export function slowdownFor(durationMs: number, watchableMs = WATCHABLE_MS): number {
  if (!(durationMs > 0)) return 1
  const wanted = Math.log(watchableMs / durationMs)
  return SLOWDOWNS.reduce((best, f) => (Math.abs(Math.log(f) - wanted) < Math.abs(Math.log(best) - wanted) ? f : best), 1 as number)
}

/** Trace time after `wallMs` of watching. */
export function advance(at: number, wallMs: number, slowdown: number, end: number): number {
  return Math.min(at + wallMs / slowdown, end)
}
