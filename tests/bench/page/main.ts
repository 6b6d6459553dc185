import { servedModel } from '$engine/cli/page/model'
import type { ModelConfig } from '$engine/model/config'
import type { Roofs } from '$engine/trace/trace'
import { openSubject, roofsOf, type ModelChoice, type Reading, type Subject } from '../subject'

/** The webgpu bench, as bench.ts drives it from outside: one subject at a time. */
export interface BenchPage {
  open(choice: ModelChoice): Promise<{ device: string; config: ModelConfig }>
  measure(): Promise<Reading>
  roofs(): Promise<Roofs>
  close(): void
}

let subject: Subject | undefined

const page: BenchPage = {
  async open(choice) {
    subject = await openSubject({ runner: 'webgpu' }, choice, servedModel)
    return { device: subject.device, config: subject.config }
  },
  measure: () => subject!.measure(),
  roofs: () => roofsOf({ runner: 'webgpu' }),
  close: () => subject?.close(),
}

Object.assign(globalThis, { bench: page })
