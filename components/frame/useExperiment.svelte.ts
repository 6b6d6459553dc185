import { onDestroy, untrack } from 'svelte'
import type { Params, Values } from '$components/controls/params'
import { EngineError } from '$engine/worker/protocol'
import { sentence, useEngine } from './engine.svelte'
import type { Experiment, Reading } from './experiment'
import { tab, usePlace } from './place.svelte'
import { Session, type SessionState } from './session'
import { readValues, writeValues } from './url.svelte'

/** A replacement engine is tried this often for one run; a device that is lost again and again stays lost. */
const RECOVERIES = 1

export interface Notice {
  tone: 'info' | 'problem'
  text: string
  /** A way out, as a button. */
  action?: { label: string; run: () => void }
}

/**
 * A slide's experiment, running while the slide is looked at: starts on enter, starts over when a
 * parameter has settled on a new value, stops on leave, and keeps parameters (and what was read) until
 * the reader comes back.
 */
export function useExperiment<P extends Params, R extends Reading>(experiment: Experiment<P, R>, { seed = 1 }: { seed?: number } = {}) {
  const place = usePlace()
  const host = useEngine()
  const read = readValues(place.slide.id, experiment.params)

  let values = $state(read.values)
  let state = $state.raw<SessionState<R>>({ phase: 'idle' })
  let runs = $state(0)

  async function* attempts(wanted: Values<P>, signal: AbortSignal): AsyncGenerator<R> {
    for (let recoveries = 0; ; recoveries++) {
      const { engine, info } = await host.open()
      signal.throwIfAborted()
      try {
        yield* experiment.run(wanted, { engine, profile: info, signal, seed })
        return
      } catch (error) {
        if (signal.aborted || recoveries === RECOVERIES || !host.recover(error)) throw error
      }
    }
  }

  const session = new Session<Values<P>, R>(attempts, (next) => {
    if (next.phase === 'running' && !next.reading) runs++
    state = next
  })
  /** What the run depends on. */
  const wanted = (): Values<P> => {
    const all = $state.snapshot(values) as Values<P>
    for (const name of experiment.redrawn ?? []) Object.assign(all, { [name]: experiment.params[name]!.default })
    return all
  }

  let written = JSON.stringify($state.snapshot(values))
  let settled = JSON.stringify(wanted())
  $effect(() => {
    const all = $state.snapshot(values) as Values<P>
    if (JSON.stringify(all) === written) return
    written = JSON.stringify(all)
    writeValues(place.slide.id, experiment.params, all)
  })
  $effect(() => {
    const now = wanted()
    if (JSON.stringify(now) === settled) return
    settled = JSON.stringify(now)
    untrack(() => {
      if (place.active && tab.visible) session.change(now)
      else session.stop()
    })
  })
  $effect(() => {
    const looking = place.active && tab.visible && host.phase !== 'off'
    untrack(() => {
      if (looking) session.start(wanted())
      else session.stop()
    })
  })
  onDestroy(() => session.stop())
  const again = () => session.again(wanted())

  return {
    params: experiment.params,
    get values() { return values },
    get phase() { return state.phase },
    /** The newest reading of the run for the present values; undefined until it has one. */
    get reading(): R | undefined { return 'reading' in state ? state.reading : undefined },
    get complete() { return state.phase === 'done' },
    /** Counts runs that were started: tells one run's Trace from the next's. */
    get runs() { return runs },
    /** What went wrong and what is used instead. */
    get notices(): Notice[] {
      const list: Notice[] = read.errors.map((text) => ({ tone: 'info', text }))
      if (state.phase === 'failed') list.push({ tone: 'problem', text: words(state.error), action: { label: 'Try again', run: again } })
      return list
    },
    again,
    /** Measures the device anew, then the slide. */
    async recalibrate() {
      session.stop()
      await host.recalibrate().catch(() => undefined)
      if (place.active && tab.visible) again()
    },
    get active() { return place.active && tab.visible },
  }
}

/** What is to be read on the slide; an error that is not the engine's own says at least what it is. */
function words(error: unknown): string {
  if (error instanceof EngineError) return sentence(error.message)
  return `The experiment stopped: ${sentence(error instanceof Error ? error.message : String(error))}`
}
