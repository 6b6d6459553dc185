import { execute, type Job } from '../job'
import { servedModel } from './model'

/** What the command line calls in this page; errors come back as data, so that their words stay as they are. */
export interface PageApi {
  execute(job: Job): Promise<{ result: unknown } | { error: string }>
}

const api: PageApi = {
  execute: (job) => execute(job, servedModel('target'), servedModel('draft')).then(
    (result) => ({ result }),
    (error: unknown) => ({ error: error instanceof Error ? error.message : String(error) }),
  ),
}

Object.assign(globalThis, { expressway: api })
