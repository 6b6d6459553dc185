import { execute, type Job } from '../job'

/** What the command line calls in this page; errors come back as data, so that their words stay as they are. */
export interface PageApi {
  hasAdapter(): Promise<boolean>
  execute(job: Job): Promise<{ result: unknown } | { error: string }>
}

const api: PageApi = {
  hasAdapter: async () => !!(await navigator.gpu?.requestAdapter()),
  execute: (job) => execute(job, readModelFile).then(
    (result) => ({ result }),
    (error: unknown) => ({ error: error instanceof Error ? error.message : String(error) }),
  ),
}

Object.assign(globalThis, { expressway: api })

async function readModelFile(file: string): Promise<ArrayBuffer> {
  const response = await fetch(`./model/${encodeURIComponent(file)}`)
  if (!response.ok) throw new Error(response.status === 404 ? 'there is no such file' : `the server answered ${response.status}`)
  return response.arrayBuffer()
}
