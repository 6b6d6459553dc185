import { untrack } from 'svelte'
import type { Trace } from '$engine/trace/trace'
import { advance, SLOWDOWNS, slowdownFor, WATCHABLE_MS } from './pace'

/** While a run goes on its length is not known yet: it is shown at this slow motion until it ends. */
const WHILE_RUNNING = 20

/** How slow the motion has to be. */
export interface Pace {
  /** What should take this long to watch, ms of real time … */
  watchableMs?: number
  /** … is this much of the Trace, ms; by default all of it. */
  length?: (trace: Trace) => number
}

/** Last moment of a Trace, ms. */
export function endOf(trace: Trace | undefined): number {
  if (!trace) return 0
  const step = trace.steps[trace.steps.length - 1]
  const event = trace.events.reduce((t, e) => Math.max(t, e.t), 0)
  return Math.max(event, step ? step.start + step.duration : 0)
}

/** Moments closer than this are one: clocks tell no less apart. */
const APART_MS = 1e-3

/** The nearest moment after or before `at` at which something happened; undefined where there is none. */
export function neighbour(trace: Trace | undefined, at: number, direction: 1 | -1): number | undefined {
  let best: number | undefined
  const consider = (t: number) => {
    if ((t - at) * direction > APART_MS && (best === undefined || (best - t) * direction > 0)) best = t
  }
  for (const e of trace?.events ?? []) consider(e.t)
  for (const s of trace?.steps ?? []) {
    consider(s.start)
    consider(s.start + s.duration)
  }
  return best
}

/**
 * A moment in a Trace that all views of a slide share. Plays in slow motion (a run of a few milliseconds
 * has to be watchable), pauses, and goes back for nothing: views are functions of (trace, at).
 * Frames are asked for only while it moves and is shown.
 */
export class Playhead {
  at = $state(0)
  end = $state(0)
  playing = $state(false)
  slowdown = $state<number>(1)

  private frame: number | undefined
  private last = 0
  private complete = false
  private run = -1
  private trace: Trace | undefined
  private shown = false
  /** The reader chose the factor: it stays. */
  private chosen = false

  constructor(
    private readonly pace: Pace = {},
    private readonly still = () => matchMedia('(prefers-reduced-motion: reduce)').matches,
  ) {}

  /** The Trace to play, undefined when there is none; each `run` starts from its beginning. */
  follow(trace: Trace | undefined, complete: boolean, run: number): void {
    const news = trace !== this.trace || complete !== this.complete
    this.trace = trace
    this.complete = complete
    this.end = endOf(trace)
    if (run !== this.run && trace) {
      this.run = run
      this.at = 0
      this.chosen = false
      this.slowdown = WHILE_RUNNING
      this.playing = !this.still()
    }
    if (!trace) this.at = 0
    if (news && complete && trace && this.playing && !this.chosen) {
      this.slowdown = slowdownFor(this.pace.length?.(trace) ?? this.end - this.at, this.pace.watchableMs ?? WATCHABLE_MS)
    }
    if (news && trace && this.still()) this.seek(this.end)
    this.tick()
  }

  /** Whether anyone can see it. */
  show(shown: boolean): void {
    this.shown = shown
    this.tick()
  }

  play(): void {
    if (this.at >= this.end) this.at = 0
    this.playing = true
    this.tick()
  }

  pause(): void {
    this.playing = false
    this.tick()
  }

  toggle(): void {
    if (this.playing) this.pause()
    else this.play()
  }

  seek(at: number): void {
    this.playing = false
    this.at = Math.min(Math.max(at, 0), this.end)
    this.tick()
  }

  /** To the next moment at which something happened, or back to the one before: a step's beginning or end, or an event. */
  step(direction: 1 | -1): void {
    this.seek(neighbour(this.trace, this.at, direction) ?? (direction === 1 ? this.end : 0))
  }

  /** One rung slower (1) or faster (-1) on the ladder. */
  setPace(direction: 1 | -1): void {
    const at = SLOWDOWNS.findIndex((f) => f === this.slowdown)
    this.setSlowdown(SLOWDOWNS[Math.min(Math.max(at + direction, 0), SLOWDOWNS.length - 1)]!)
  }

  /** The factor on the ladder that is nearest. */
  setSlowdown(slowdown: number): void {
    this.slowdown = SLOWDOWNS.reduce((best, f) => (Math.abs(f - slowdown) < Math.abs(best - slowdown) ? f : best), SLOWDOWNS[0] as number)
    this.chosen = true
  }

  private tick(): void {
    const moving = this.playing && this.shown && this.trace !== undefined
    if (moving && this.frame === undefined) {
      this.last = performance.now()
      this.frame = requestAnimationFrame(this.onframe)
    } else if (!moving && this.frame !== undefined) {
      cancelAnimationFrame(this.frame)
      this.frame = undefined
    }
  }

  private readonly onframe = (now: number): void => {
    this.frame = undefined
    this.at = advance(this.at, Math.max(0, now - this.last), this.slowdown, this.end)
    this.last = now
    if (this.at >= this.end && this.complete) this.playing = false
    if (this.playing && this.shown && this.trace) this.frame = requestAnimationFrame(this.onframe)
  }
}

/** A playhead over whatever Trace the slide shows; shown while the slide is. */
export function usePlayhead(of: () => { trace?: Trace; complete: boolean; run: number }, active: () => boolean, pace?: Pace): Playhead {
  const playhead = new Playhead(pace)
  $effect(() => {
    const { trace, complete, run } = of()
    untrack(() => playhead.follow(trace, complete, run))
  })
  $effect(() => {
    const shown = active()
    untrack(() => playhead.show(shown))
    return () => playhead.show(false)
  })
  return playhead
}
