import * as Comlink from 'comlink'
import type { Machine } from '../cost/machine'
import type { Trace } from '../trace/trace'
import { aborted, settle, type Outcome } from './outcome'
import { EngineError, type Engine, type Workload } from './protocol'
import type { SimulatorApi } from './simulator-worker'
import type { BorrowedText } from './virtual'

export interface SimulatorClient extends Pick<Engine, 'simulate' | 'curve'> {
  serve(workload: Workload, machine: Machine, texts: (BorrowedText | undefined)[], signal?: AbortSignal): Promise<Trace>
  /** Refinements wait while something is measured on the same processor. */
  hold(on: boolean): void
  close(): void
}

/** The simulator in its worker, started when first asked; one that dies takes its tasks with it and is started anew. */
export function createSimulator(startWorker: () => Worker = defaultWorker): SimulatorClient {
  let current: { worker: Worker; remote: Comlink.Remote<SimulatorApi>; failed: Promise<never> } | undefined
  let ids = 0
  let held = false

  function start() {
    if (current) return current
    const worker = startWorker()
    const failed = new Promise<never>((_, reject) => {
      const fail = (event: ErrorEvent | MessageEvent) => {
        const words = 'message' in event && event.message ? event.message : 'it sent something unreadable'
        if (current?.worker === worker) stop()
        reject(new EngineError(`The simulator stopped: ${words}. Ask it again.`, 'worker-crashed'))
      }
      worker.addEventListener('error', fail)
      worker.addEventListener('messageerror', fail)
    })
    failed.catch(() => {}) // heard by whoever races against it
    current = { worker, remote: Comlink.wrap<SimulatorApi>(worker), failed }
    if (held) void current.remote.hold(true)
    return current
  }

  function stop(): void {
    current?.worker.terminate()
    current = undefined
  }

  async function task<T>(signal: AbortSignal | undefined, call: (remote: Comlink.Remote<SimulatorApi>, id: number) => Promise<unknown>): Promise<T> {
    signal?.throwIfAborted()
    const { remote, failed } = start()
    const id = ++ids
    const abort = () => void remote.abort(id)
    signal?.addEventListener('abort', abort)
    try {
      return settle(await Promise.race([call(remote, id) as Promise<Outcome<T>>, failed, aborted(signal)]))
    } finally {
      signal?.removeEventListener('abort', abort)
    }
  }

  const heard = <T>(signal: AbortSignal | undefined, onUpdate: ((soFar: T) => void) | undefined) =>
    Comlink.proxy((soFar: T) => { if (!signal?.aborted) onUpdate?.(soFar) })

  return {
    simulate: (request, { signal, onUpdate } = {}) => task(signal, (remote, id) => remote.simulate(id, request, heard(signal, onUpdate))),
    curve: (request, { signal, onUpdate } = {}) => task(signal, (remote, id) => remote.curve(id, request, heard(signal, onUpdate))),
    serve: (workload, machine, texts, signal) => task(signal, (remote, id) => remote.serve(id, workload, machine, texts)),
    hold(on) {
      held = on
      void current?.remote.hold(on)
    },
    close: stop,
  }
}

function defaultWorker(): Worker {
  return new Worker(new URL('./simulator-worker.ts', import.meta.url), { type: 'module', name: 'simulator' })
}
