import type { Params, Values } from '$components/controls/params'
import type { Clock } from '$engine/serving/clock'
import type { Trace } from '$engine/trace/trace'
import type { Engine, EngineInfo } from '$engine/worker/protocol'

/** What one look at an experiment found. Everything a slide draws is a function of it. */
export interface Reading {
  trace: Trace
  /** False while more is to come. */
  complete: boolean
}

export interface Context {
  engine: Engine
  /** What this device measured of itself, and the runner in use. */
  profile: EngineInfo
  /** The parameters changed or the slide was left: stop. */
  signal: AbortSignal
  /** Same seed, same arrivals. */
  seed: number
  /** Which side of the lens this runs on: the live engine of this device, or another machine in virtual time. */
  lens?: 'here' | 'elsewhere'
  /** For what has to wait; absent: nothing here waits by itself. */
  clock?: Clock
}

/**
 * A slide's question to the engine: plain TypeScript without DOM and Svelte, so that it runs in a
 * test or on a command line as it does in the page.
 */
export interface Experiment<P extends Params = Params, R extends Reading = Reading> {
  readonly params: P
  /** Parameters that change what is drawn from a Trace and not the run: moving them serves nothing anew. */
  readonly redrawn?: readonly (keyof P & string)[]
  run(values: Values<P>, context: Context): AsyncIterable<R>
}
