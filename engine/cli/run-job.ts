import { findChromium } from '../../scripts/chromium.mjs'
import { executeInChromium } from './chromium'
import { enableDawn } from './dawn'
import { execute, type Job, type JobResult } from './job'
import { folderReader } from './place'

/** Folder of the model that a job is about, and of the one that drafts for it. */
export interface JobFolders {
  target: string
  draft?: string
}

/** Does a job where its runner lives: here, or (webgpu) in a headless Chromium, or on Dawn for Node. */
export async function runJob<J extends Job>(job: J, folders: JobFolders): Promise<JobResult<J>> {
  if (job.runner === 'webgpu') {
    const chromium = findChromium()
    if (chromium) return executeInChromium(job, folders, chromium)
    if (!(await enableDawn())) {
      throw new Error('the webgpu runner needs a Chrome or Chromium (none was found; CHROME_PATH may name one) or the npm package "webgpu"; or use --runner wasm')
    }
  }
  return execute(job, folderReader(folders.target), folders.draft === undefined ? undefined : folderReader(folders.draft))
}
