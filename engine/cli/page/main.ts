import type { MachineOptions, Measured } from '../../measure/machine'
import { execute, type Job } from '../job'
import { measureHere } from '../job-measure'
import { servedModel } from './model'

/** What the command line calls in this page; errors come back as data, so that their words stay as they are. */
export interface PageApi {
  execute(job: Job): Promise<{ result: unknown } | { error: string }>
  measure(options: MachineOptions): Promise<{ result: Measured } | { error: string }>
}

/** Put there by the command line. */
declare const expresswayProgress: (doing: string) => Promise<void>

/** What a page may count on where the browser does not say. */
const MEMORY_BYTES = 4 * 2 ** 30

const api: PageApi = {
  execute: (job) => execute(job, servedModel('target'), servedModel('draft')).then(
    (result) => ({ result }),
    failed,
  ),
  measure: (options) => {
    const memory = ((navigator as { deviceMemory?: number }).deviceMemory ?? 0) * 2 ** 30 || MEMORY_BYTES
    return measureHere(options, servedModel, memory, (doing) => void expresswayProgress(doing)).then((result) => ({ result }), failed)
  },
}

function failed(error: unknown): { error: string } {
  return { error: error instanceof Error ? error.message : String(error) }
}

Object.assign(globalThis, { expressway: api })
