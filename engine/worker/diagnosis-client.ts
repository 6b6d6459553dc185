import * as Comlink from 'comlink'
import type { Diagnosis } from '../diagnose/diagnose'
import type { DiagnosisApi } from './diagnosis-worker'
import { aborted, settle, type Outcome } from './outcome'
import { EngineError, type Progress } from './protocol'

export type { Diagnosis, Sign } from '../diagnose/diagnose'

export interface DiagnoseFileOptions {
  /** NAME.meta.json of the engine that wrote a request log: its limits. */
  meta?: File
  signal?: AbortSignal
  onProgress?: (p: Progress) => void
  startWorker?: () => Worker
}

/**
 * Looks into a file of the reader's machine, in a worker of its own that ends with it: nothing is sent anywhere. Rejects with
 * EngineError whose words name the file's fault, or with the signal's reason; what it holds in memory is then let go at once.
 */
export async function diagnoseFile(file: File, { meta, signal, onProgress = () => {}, startWorker = defaultWorker }: DiagnoseFileOptions = {}): Promise<Diagnosis> {
  signal?.throwIfAborted()
  const worker = startWorker()
  try {
    const died = new Promise<never>((_, reject) => {
      const fail = (event: ErrorEvent | MessageEvent) => {
        const why = 'message' in event && event.message ? event.message : 'there was not enough memory for it'
        reject(new EngineError(`${file.name} could not be read: ${why}. Give a shorter stretch of it.`, 'worker-crashed'))
      }
      worker.addEventListener('error', fail)
      worker.addEventListener('messageerror', fail)
    })
    died.catch(() => {}) // heard by whoever races against it
    const remote = Comlink.wrap<DiagnosisApi>(worker)
    const listen = Comlink.proxy((done: number, doing: string) => { if (!signal?.aborted) onProgress({ done, doing }) })
    const found = remote.diagnose(file, file.name, meta, listen) as Promise<Outcome<Diagnosis>>
    return settle(await Promise.race([found, died, aborted(signal)]))
  } finally {
    worker.terminate()
  }
}

function defaultWorker(): Worker {
  return new Worker(new URL('./diagnosis-worker.ts', import.meta.url), { type: 'module', name: 'diagnosis' })
}
