import * as Comlink from 'comlink'
import { append } from '../trace/phases'
import type { Trace } from '../trace/trace'
import { aborted, settle, type Outcome } from './outcome'
import { EngineError, type Cascaded, type Engine, type EngineInfo, type Machine, type Quality, type TraceHeader, type TraceUpdate } from './protocol'
import { createSimulator } from './simulator-client'
import { Texts } from './texts'
import type { WorkerApi } from './worker'

export interface ClientOptions {
  /** Address that assets/models is found from (default: this page's). */
  base?: string
  startWorker?: () => Worker
  startSimulator?: () => Worker
  /** A worker that has not answered for this long, real ms, is taken for dead (default 20,000). */
  silenceMs?: number
}

/**
 * The engine in its worker. A worker that dies takes its runs with it: they reject with
 * EngineError('worker-crashed'), and the next `open` starts a new one.
 */
export function createEngine({ base = globalThis.location.href, startWorker = defaultWorker, startSimulator, silenceMs = 20_000 }: ClientOptions = {}): Engine {
  const pingEveryMs = silenceMs / 5
  let worker: Worker | undefined
  let remote: Comlink.Remote<WorkerApi> | undefined
  let failed: Promise<never> = new Promise(() => {})
  let runs = 0
  /** Why there is no worker any more, for whoever asks next. */
  let crash: EngineError | undefined
  const simulator = createSimulator(startSimulator)
  const texts = new Texts()
  /** Live runs under way. */
  let live = 0

  return {
    async open(options, onProgress = () => {}, onChange = () => {}): Promise<EngineInfo> {
      stop()
      start()
      const heart = watch(remote!)
      try {
        const opened = remote!.open(base, options, Comlink.proxy(onProgress), Comlink.proxy(onChange))
        return settle(await Promise.race([opened as Promise<Outcome<EngineInfo>>, failed, heart.stopped]))
      } finally {
        heart.end()
      }
    },

    async serve(workload, { signal, onUpdate, on } = {}) {
      if (on) {
        const trace = await simulator.serve(workload, on, texts.of(workload), signal)
        onUpdate?.(trace, trace)
        return trace
      }
      let trace: Trace | undefined
      const listen = (part: TraceHeader | TraceUpdate) => {
        if (signal?.aborted) return
        if (!('events' in part)) trace = { ...part, requests: [], events: [], steps: [] }
        else if (trace) {
          append(trace, part)
          onUpdate?.(part, trace)
        }
      }
      await onDevice(signal, (api, id) => api.run(id, workload, Comlink.proxy(listen)))
      signal?.throwIfAborted()
      texts.learn(workload, trace!)
      return trace!
    },

    machine: (model, { signal, onProgress = () => {} } = {}) => onDevice<Machine>(signal, (api, id) => api.machine(id, model, Comlink.proxy(onProgress))),
    quality: (request, { signal } = {}) => onDevice<Quality>(signal, (api, id) => api.quality(id, request)),
    cascade: (request, { signal, onUpdate } = {}) => {
      const heard = (soFar: Cascaded) => { if (!signal?.aborted) onUpdate?.(soFar) }
      return onDevice<Cascaded>(signal, (api, id) => api.cascade(id, request, Comlink.proxy(heard)))
    },
    simulate: (request, options) => simulator.simulate(request, options),
    curve: (request, options) => simulator.curve(request, options),

    bring: (folder, onProgress = () => {}) => onDevice<EngineInfo>(undefined, (api) => api.bring(folder, Comlink.proxy(onProgress))),

    close() {
      stop()
      simulator.close()
    },
  }

  /** A run of the device itself: simulations refine when it is over. */
  async function onDevice<T>(signal: AbortSignal | undefined, call: (api: Comlink.Remote<WorkerApi>, id: number) => Promise<unknown>): Promise<T> {
    signal?.throwIfAborted()
    if (!remote) throw crash ?? new EngineError('The engine was asked for a run before it was opened.', 'internal')
    const api = remote
    const id = ++runs
    const abort = () => void api.abort(id)
    signal?.addEventListener('abort', abort)
    const heart = watch(api)
    if (live++ === 0) simulator.hold(true)
    try {
      return settle(await Promise.race([call(api, id) as Promise<Outcome<T>>, failed, heart.stopped, aborted(signal)]))
    } finally {
      if (--live === 0) simulator.hold(false)
      heart.end()
      signal?.removeEventListener('abort', abort)
    }
  }

  function start(): void {
    worker = startWorker()
    const started = worker
    failed = new Promise<never>((_, reject) => {
      const fail = (event: ErrorEvent | MessageEvent) => {
        const words = 'message' in event && event.message ? event.message : 'it sent something unreadable'
        const error = new EngineError(`The engine stopped: ${words}. Start it again.`, 'worker-crashed')
        reject(error)
        if (worker !== started) return
        stop()
        crash = error
      }
      started.addEventListener('error', fail)
      started.addEventListener('messageerror', fail)
    })
    failed.catch(() => {}) // heard by whoever races against it
    remote = Comlink.wrap<WorkerApi>(worker)
  }

  function stop(): void {
    worker?.terminate()
    worker = undefined
    remote = undefined
    crash = undefined
  }

  /** Rejects when the worker stays silent: a killed worker raises no event. */
  function watch(api: Comlink.Remote<WorkerApi>): { stopped: Promise<never>; end(): void } {
    let heard = performance.now()
    let looked = heard
    let timer: ReturnType<typeof setInterval> | undefined
    const stopped = new Promise<never>((_, reject) => {
      timer = setInterval(() => {
        void api.ping().then(() => (heard = performance.now()))
        // The timers of a hidden tab sleep: after such a sleep the worker gets its time anew.
        if (performance.now() - looked > 2 * pingEveryMs) heard = performance.now()
        looked = performance.now()
        if (looked - heard > silenceMs) reject(new EngineError(`The engine has not answered for ${silenceMs / 1000} s. Start it again.`, 'worker-crashed'))
      }, pingEveryMs)
    })
    stopped.catch(() => {})
    return { stopped, end: () => clearInterval(timer) }
  }
}

function defaultWorker(): Worker {
  return new Worker(new URL('./worker.ts', import.meta.url), { type: 'module', name: 'engine' })
}
