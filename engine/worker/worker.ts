import * as Comlink from 'comlink'
import { browserEnvironment } from './browser'
import { EngineHost } from './host'
import { EngineError, type EngineInfo, type OpenOptions, type Progress, type TraceHeader, type TraceUpdate, type Workload } from './protocol'

/** What crosses the wall: errors as data (Comlink drops their code), aborts by run number. */
export interface WorkerApi {
  open(base: string, options: OpenOptions, onProgress: (p: Progress) => void, onChange: (info: EngineInfo) => void): Promise<Outcome<EngineInfo>>
  /** One listener for header and updates: messages of one port keep their order, those of two need not. */
  run(id: number, workload: Workload, listen: (part: TraceHeader | TraceUpdate) => void): Promise<Outcome<void>>
  abort(id: number): void
  ping(): void
}

export type Outcome<T> = { value: T } | { error: { message: string; code: EngineError['code'] } } | { aborted: true }

let host: EngineHost | undefined
const runs = new Map<number, AbortController>()

const api: WorkerApi = {
  open(base, options, onProgress, onChange) {
    return outcome(async () => {
      host?.close()
      host = new EngineHost(browserEnvironment(base))
      return host.open(options, onProgress, onChange)
    })
  },
  run(id, workload, listen) {
    const send = listen as (part: TraceHeader | TraceUpdate) => Promise<void>
    let delivered = Promise.resolve()
    const post = (part: TraceHeader | TraceUpdate) => void (delivered = send(part))
    const controller = new AbortController()
    runs.set(id, controller)
    return outcome(async () => {
      try {
        if (!host) throw new EngineError('The engine was asked for a run before it was opened.', 'internal')
        await host.run(workload, { signal: controller.signal, onStart: post, onUpdate: post })
        await delivered // the answer must not overtake the last update
      } finally {
        runs.delete(id)
      }
    })
  },
  abort(id) {
    runs.get(id)?.abort()
  },
  ping() {},
}

async function outcome<T>(run: () => Promise<T>): Promise<Outcome<T>> {
  try {
    return { value: await run() }
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') return { aborted: true }
    const code = error instanceof EngineError ? error.code : 'internal'
    return { error: { message: error instanceof Error ? error.message : String(error), code } }
  }
}

Comlink.expose(api)
