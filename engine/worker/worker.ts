import * as Comlink from 'comlink'
import { browserEnvironment } from './browser'
import { EngineHost } from './host'
import { outcome, type Outcome } from './outcome'
import { EngineError, type CascadeRequest, type Cascaded, type EngineInfo, type Machine, type MachineRequest, type ModelFolder, type OpenOptions, type Progress, type Quality, type QualityRequest, type TraceHeader, type TraceUpdate, type Workload } from './protocol'

/** What crosses the wall; runs are aborted by number. */
export interface WorkerApi {
  open(base: string, options: OpenOptions, onProgress: (p: Progress) => void, onChange: (info: EngineInfo) => void): Promise<Outcome<EngineInfo>>
  /** One listener for header and updates: messages of one port keep their order, those of two need not. */
  run(id: number, workload: Workload, listen: (part: TraceHeader | TraceUpdate) => void): Promise<Outcome<void>>
  /** What this device's steps take with a model: from an earlier visit, or from a sweep now. */
  machine(id: number, of: MachineRequest, onProgress: (p: Progress) => void): Promise<Outcome<Machine>>
  quality(id: number, request: QualityRequest): Promise<Outcome<Quality>>
  cascade(id: number, request: CascadeRequest, onUpdate: (soFar: Cascaded) => void): Promise<Outcome<Cascaded>>
  bring(folder: ModelFolder | undefined, onProgress: (p: Progress) => void): Promise<Outcome<EngineInfo>>
  abort(id: number): void
  ping(): void
}

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
  machine(id, of, onProgress) {
    const controller = new AbortController()
    runs.set(id, controller)
    return outcome(async () => {
      try {
        if (!host) throw new EngineError('The engine was asked for a run before it was opened.', 'internal')
        return await host.machine(of, { signal: controller.signal, onProgress })
      } finally {
        runs.delete(id)
      }
    })
  },
  quality(id, request) {
    const controller = new AbortController()
    runs.set(id, controller)
    return outcome(async () => {
      try {
        if (!host) throw new EngineError('The engine was asked for a run before it was opened.', 'internal')
        return await host.quality(request, controller.signal)
      } finally {
        runs.delete(id)
      }
    })
  },
  cascade(id, request, onUpdate) {
    const controller = new AbortController()
    runs.set(id, controller)
    return outcome(async () => {
      try {
        if (!host) throw new EngineError('The engine was asked for a run before it was opened.', 'internal')
        return await host.cascade(request, { signal: controller.signal, onUpdate })
      } finally {
        runs.delete(id)
      }
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
  bring(folder, onProgress) {
    return outcome(async () => {
      if (!host) throw new EngineError('The engine was given a model before it was opened.', 'internal')
      return host.bring(folder, onProgress)
    })
  },
  abort(id) {
    runs.get(id)?.abort()
  },
  ping() {},
}

Comlink.expose(api)
