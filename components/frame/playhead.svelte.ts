import { onDestroy, untrack } from 'svelte'
import { useTalk, type Travel } from '$components/present/talk.svelte'
import type { Trace } from '$engine/trace/trace'
import { usePlace, type Place } from './place.svelte'
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
  /** Counts what the reader did to it. */
  touched = $state(0)

  private frame: number | undefined
  private last = 0
  private complete = false
  /** The run it is at; what another window says of another run is none of its business. */
  run = -1
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
    if (news && trace && this.still()) this.put(this.end)
    this.tick()
  }

  /** Whether anyone can see it. */
  show(shown: boolean): void {
    this.shown = shown
    this.tick()
  }

  /** Stands as it does in another window. */
  adopt({ at, playing, slowdown, run }: Travel): void {
    if (run !== this.run) return
    this.setFactor(slowdown)
    this.playing = playing
    this.at = Math.min(at, this.end)
    this.tick()
  }

  play(): void {
    if (this.at >= this.end) this.at = 0
    this.playing = true
    this.touched++
    this.tick()
  }

  pause(): void {
    this.playing = false
    this.touched++
    this.tick()
  }

  toggle(): void {
    if (this.playing) this.pause()
    else this.play()
  }

  seek(at: number): void {
    this.put(at)
    this.touched++
  }

  private put(at: number): void {
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
    this.setFactor(slowdown)
    this.touched++
  }

  private setFactor(slowdown: number): void {
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
  const resume = travelTogether(playhead)
  $effect(() => {
    const { trace, complete, run } = of()
    untrack(() => {
      const before = playhead.run
      playhead.follow(trace, complete, run)
      if (playhead.run !== before) resume()
    })
  })
  $effect(() => {
    const shown = active()
    untrack(() => playhead.show(shown))
    return () => playhead.show(false)
  })
  return playhead
}

/** In a talk of several windows a replay that somebody moves, moves in all of them. Gives what to do when a run begins that was moved elsewhere. */
function travelTogether(playhead: Playhead): () => void {
  const talk = useTalk()
  const place = usePlace() as Place | undefined
  if (!talk || !place) return () => {}
  const key = `${place.slide.id}:0`
  let seen = 0
  $effect(() => {
    if (playhead.touched === seen) return
    seen = playhead.touched
    untrack(() => talk.travelled(key, { at: playhead.at, playing: playhead.playing, slowdown: playhead.slowdown, run: playhead.run }))
  })
  onDestroy(talk.onTravel(key, (travel) => playhead.adopt(travel)))
  return () => {
    const travel = talk.travel(key)
    if (travel) playhead.adopt(travel)
  }
}
