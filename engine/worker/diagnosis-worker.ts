import * as Comlink from 'comlink'
import { diagnose, type Diagnosis } from '../diagnose/diagnose'
import { readEvidence } from '../diagnose/evidence'
import { readServerLimits } from '../diagnose/server'
import { outcome, type Outcome } from './outcome'
import { EngineError } from './protocol'

/** A file is read and fitted where nobody waits for the thread: a hundred megabytes are some seconds of parsing without a pause. */
export interface DiagnosisApi {
  diagnose(file: Blob, name: string, meta: Blob | undefined, onProgress: (done: number, doing: string) => void): Promise<Outcome<Diagnosis>>
}

const api: DiagnosisApi = {
  diagnose: (file, name, meta, onProgress) => outcome(async () => {
    onProgress(0, 'Reading the file')
    try {
      const limits = meta && readServerLimits(await meta.text(), meta instanceof File ? meta.name : 'the meta file')
      return diagnose(readEvidence(await file.text(), name), { limits, onProgress })
    } catch (error) {
      throw new EngineError(words(error, name), 'scenario', { cause: error })
    }
  }),
}

/** What the readers throw is worded for whoever brought the file; what the browser throws says at least which file it was. */
function words(error: unknown, name: string): string {
  const text = error instanceof Error ? error.message : String(error)
  return text.includes(name) || text.includes('meta') ? text : `${name} could not be read: ${text}`
}

Comlink.expose(api)
