import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Scenario } from '../serving/scenario'
import { readTraceFile, type TraceFile } from '../serving/trace-files'

/** The trace file that a scenario's arrivals name, from the scenario's folder. Throws naming the file. */
export async function readScenarioTrace({ arrivals }: Scenario, folder: string): Promise<TraceFile> {
  const path = resolve(folder, arrivals.file!)
  const trace = readTraceFile(await readText(path), arrivals.file!)
  if (trace.outOfOrder > 0) console.error(`${path}: ${trace.outOfOrder} lines were earlier than the line above; they were put in order`)
  return trace
}

export async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    throw new Error(`${path} could not be read: ${(cause as NodeJS.ErrnoException).code === 'ENOENT' ? 'there is no such file' : (cause as Error).message}`, { cause })
  }
}
