import { onDestroy, untrack } from 'svelte'
import { defaults, encodeValue, parse, settled as settledBy, type Params, type Values } from '$components/controls/params'
import type { Told } from '$components/present/messages'
import { keep, pinned } from '$components/present/pins'
import { useTalk } from '$components/present/talk.svelte'
import { EngineError } from '$engine/worker/protocol'
import { sentence, useEngine } from './engine.svelte'
import type { Experiment, Reading } from './experiment'
import { useLens, type LensSide } from './lens.svelte'
import { tab, usePlace } from './place.svelte'
import { useRecorded } from './recorded.svelte'
import { sameValues } from './recording'
import { Session, type SessionState } from './session'
import { onShared, readValues, writeValues } from './url.svelte'

/** A replacement engine is tried this often for one run; a device that is lost again and again stays lost. */
const RECOVERIES = 1

export interface Notice {
  tone: 'info' | 'problem'
  text: string
  /** A way out, as a button. */
  action?: { label: string; run: () => void }
}

export interface ExperimentOptions {
  seed?: number
  /** 'here': the slide is about this device alone and keeps to it whatever the lens (default 'both'). */
  lenses?: 'here' | 'both'
  /** When the run is over, the same is run through the other lens: `other`, for a second, smaller figure. */
  other?: boolean
}

/** What a run depends on. */
interface Wanted<V> {
  values: V
  lens: LensSide
  /** What was recorded is shown; nothing runs on this device. */
  recorded?: true
}

/**
 * A slide's experiment, running while the slide is looked at: starts on enter, starts over when a
 * parameter has settled on a new value, stops on leave, and keeps parameters (and what was read) until
 * the reader comes back. It runs through the page's lens: on this device, or by the same code on another machine
 * in virtual time.
 */
export function useExperiment<P extends Params, R extends Reading>(experiment: Experiment<P, R>, { seed = 1, lenses = 'both', other = false }: ExperimentOptions = {}) {
  const place = usePlace()
  const host = useEngine()
  const lens = useLens()
  const recorded = useRecorded()
  const talk = useTalk()
  const id = place.slide.id
  const read = readValues(id, experiment.params)

  let values = $state(place.fixed ? { ...read.values, ...(place.fixed as Partial<Values<P>>) } : read.values)
  place.attach?.(experiment.params, values as Record<string, number | string | boolean>)
  let state = $state.raw<SessionState<R>>({ phase: 'idle' })
  let runs = $state(0)
  let otherFor = $state('')
  let second = $state.raw<SessionState<R>>({ phase: 'idle' })
  /** The recording that was shown last, for the values it holds for: it stays until the first live reading. */
  let shown = $state.raw<{ key: string; reading: R }>()
  let standsIn = $state(false)

  async function* recordedReadings(recordings: NonNullable<typeof recorded>, want: Wanted<Values<P>>, signal: AbortSignal): AsyncGenerator<R> {
    recordings.shown = true
    const kept = talk && (await pinned<R>(pinName(want)))
    signal.throwIfAborted()
    standsIn = false
    if (kept) {
      shown = { key: JSON.stringify(want.values), reading: kept }
      yield kept
      return
    }
    const recording = await recordings.of(id)
    signal.throwIfAborted()
    standsIn = !recording || !sameValues(recording.values, want.values)
    if (recording && !standsIn) {
      shown = { key: JSON.stringify(want.values), reading: recording.reading as R }
      yield shown.reading
    } else if (lenses === 'here') {
      throw new EngineError(recording ? 'This slide was recorded at its own settings only. Other settings take an engine.' : 'Nothing was recorded of this slide. It takes an engine.', 'no-runner')
    } else {
      const { engine, info } = await recordings.machine()
      yield* experiment.run(want.values, { engine, profile: info, signal, seed, lens: 'elsewhere' })
    }
  }

  async function* attempts(want: Wanted<Values<P>>, signal: AbortSignal): AsyncGenerator<R> {
    const { values: wanted, lens: side } = want
    if (want.recorded && recorded) {
      yield* recordedReadings(recorded, want, signal)
      return
    }
    for (let recoveries = 0; ; recoveries++) {
      const { engine, info } = await (side === 'here' ? host.open() : lens.open())
      signal.throwIfAborted()
      try {
        yield* experiment.run(wanted, { engine, profile: info, signal, seed, lens: side })
        return
      } catch (error) {
        if (signal.aborted || recoveries === RECOVERIES || side !== 'here' || !host.recover(error)) throw error
      }
    }
  }

  const session = new Session<Wanted<Values<P>>, R>(attempts, (next) => {
    if (next.phase === 'running' && !next.reading) runs++
    state = next
    talk?.tell(toldOf('main', next, runs, ''))
    if (talk?.on && next.phase === 'done' && next.reading && side() === 'here' && !recorded?.on) void keep(pinName(wanted()), next.reading)
    // The other lens has its turn when this one is done; what it found is no longer so once this one moves.
    if (!other || recorded?.on || next.phase === 'settling') otherSession.stop()
    else if (next.phase === 'done') {
      const across: Wanted<Values<P>> = { ...wanted(), lens: side() === 'here' ? 'elsewhere' : 'here' }
      otherFor = JSON.stringify(across.values)
      otherSession.start(across)
    }
  })
  const otherSession = new Session<Wanted<Values<P>>, R>(attempts, (next) => {
    second = next
    talk?.tell(toldOf('other', next, 0, otherFor))
  })
  const side = (): LensSide => (lenses === 'here' ? 'here' : lens.side)
  /** What the run depends on. */
  const wanted = (): Wanted<Values<P>> => {
    const all = $state.snapshot(values) as Values<P>
    for (const name of experiment.redrawn ?? []) Object.assign(all, { [name]: experiment.params[name]!.default })
    return recorded?.on && side() === 'here' ? { values: all, lens: 'here', recorded: true } : { values: all, lens: side() }
  }
  const pinName = (want: Wanted<Values<P>>) => `${id} ${want.lens} ${JSON.stringify(want.values)}`
  const toldOf = (part: Told['part'], of: SessionState<R>, runs: number, values: string): Told => ({
    slide: id, part, runs, values, phase: of.phase,
    ...('reading' in of && of.reading ? { reading: of.reading } : {}),
    ...(of.phase === 'failed' ? { problem: words(of.error) } : {}),
  })

  // Another window's run, where this one has no engine.
  if (talk?.role === 'speaker') {
    const stateOf = (told: Told): SessionState<R> => {
      if (told.phase === 'failed') return { phase: 'failed', error: new EngineError(told.problem ?? 'The stage says no more.', 'internal') }
      return { phase: told.phase, reading: told.reading as R | undefined } as SessionState<R>
    }
    $effect(() => {
      const told = talk.told.get(`${id} main`)
      if (told) [state, runs] = [stateOf(told), told.runs]
    })
    $effect(() => {
      const told = talk.told.get(`${id} other`)
      if (told) [second, otherFor] = [stateOf(told), told.values]
    })
  }
  if (talk) {
    onDestroy(talk.join({
      id,
      params: experiment.params,
      get values() { return values as Record<string, number | string | boolean> },
      told: () => [toldOf('main', state, runs, ''), ...(other ? [toldOf('other', second, 0, otherFor)] : [])],
      get settled() { return state.phase === 'failed' || (state.phase === 'done' && (!other || second.phase === 'done' || second.phase === 'failed')) },
      get failed() { return state.phase === 'failed' },
      again: () => again(),
    }))
  }

  let before = $state.snapshot(values) as Values<P>
  let settled = JSON.stringify(wanted())
  /** The next change is this slide's own and not for those that share it. */
  let alone = false
  // What a choice sets has moved before anything runs for the rest.
  $effect.pre(() => {
    const moved = $state.snapshot(values) as Values<P>
    const all = settledBy(experiment.params, before, moved)
    if (JSON.stringify(all) === JSON.stringify(before)) return
    const [was, is] = [encodeAll(experiment.params, before), encodeAll(experiment.params, all)]
    before = all
    if (JSON.stringify(all) !== JSON.stringify(moved)) untrack(() => Object.assign(values, all))
    if (place.fixed) return
    writeValues(id, experiment.params, all, alone)
    alone = false
    untrack(() => talk?.moved(id, Object.fromEntries(Object.entries(is).filter(([name, text]) => was[name] !== text))))
  })
  /** A move that those who share the parameters do not follow. */
  const moveAlone = (moved: Partial<Values<P>>) => {
    if (Object.entries(moved).every(([name, value]) => values[name] === value)) return
    alone = true
    Object.assign(values, moved)
  }
  onDestroy(onShared(id, (name, text) => {
    const p = experiment.params[name]
    if (p) moveAlone({ [name]: text === undefined ? p.default : parse(p, text) } as Partial<Values<P>>)
  }))
  place.settings.reset = () => moveAlone(defaults(experiment.params))
  $effect(() => {
    place.settings.changed = Object.entries(experiment.params).some(([name, p]) => values[name] !== p.default)
  })
  $effect(() => {
    const now = wanted()
    if (JSON.stringify(now) === settled) return
    settled = JSON.stringify(now)
    untrack(() => {
      if (place.active && tab.visible && host.phase !== 'off') session.change(now)
      else stop()
    })
  })
  $effect(() => {
    const looking = place.active && tab.visible && host.phase !== 'off'
    untrack(() => {
      if (looking) session.start(wanted())
      else stop()
    })
  })
  // Another model: what was read of the old one holds no longer.
  let model = host.info?.own?.name
  $effect(() => {
    if (host.phase !== 'ready' || host.info?.own?.name === model) return
    model = host.info?.own?.name
    untrack(() => {
      session.forget()
      otherSession.forget()
      if (place.active && tab.visible) session.start(wanted())
    })
  })
  const stop = () => {
    if (talk?.role === 'speaker') return
    session.stop()
    otherSession.stop()
  }
  onDestroy(stop)
  const again = () => {
    if (talk?.role === 'speaker') talk.again(id)
    else session.again(wanted())
  }

  return {
    params: experiment.params,
    get values() { return values },
    get phase() { return state.phase },
    /** The newest reading of the run for the present values; undefined until it has one. */
    get reading(): R | undefined {
      const newest = 'reading' in state ? state.reading : undefined
      return newest ?? (state.phase !== 'failed' && shown?.key === JSON.stringify(wanted().values) && side() === 'here' ? shown.reading : undefined)
    },
    get complete() { return state.phase === 'done' },
    /** Which side of the lens is read: this device, or the other machine. */
    get lens(): LensSide { return side() },
    /** The newest reading of the same values through the other lens, where it was asked for; undefined until it has one. */
    get other(): R | undefined { return 'reading' in second && otherFor === JSON.stringify(wanted().values) ? second.reading : undefined },
    get otherComplete() { return second.phase === 'done' },
    /** Counts runs that were started: tells one run's Trace from the next's. */
    get runs() { return runs },
    /** What went wrong and what is used instead. */
    get notices(): Notice[] {
      const list: Notice[] = read.errors.map((text) => ({ tone: 'info', text }))
      if (recorded?.on && standsIn && side() === 'here' && state.phase !== 'failed') list.push({ tone: 'info', text: 'Nothing was recorded at these settings: a recorded machine’s step costs, in virtual time.' })
      if (state.phase === 'failed') list.push({ tone: 'problem', text: words(state.error), action: { label: 'Try again', run: again } })
      return list
    },
    again,
    /** Measures the device anew, then the slide. */
    async recalibrate() {
      stop()
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

/** Every value as text, by name. */
function encodeAll<P extends Params>(params: P, values: Values<P>): Record<string, string> {
  return Object.fromEntries(Object.keys(params).map((name) => [name, encodeValue(values[name as keyof P] as number | string | boolean)]))
}
