import type { RequestRecord, Trace } from '../trace/trace'
import { BLOCK_SIZE } from '../runner/runner'
import type { EngineFacts, Update } from './protocol'

/** The server's own Trace: of its first so many requests, since a server may run for days. */
export class Recording {
  readonly trace: Trace
  /** Requests that came after the recording was full. */
  left = 0
  private readonly kept = new Set<number>()

  constructor(facts: EngineFacts, private readonly most: number) {
    this.trace = {
      provenance: { how: 'measured', device: facts.device, at: new Date().toISOString() },
      requests: [], events: [], steps: [], kvBlocksTotal: facts.blocks, blockSize: BLOCK_SIZE,
    }
  }

  asked(record: RequestRecord): void {
    if (this.trace.requests.length >= this.most) {
      this.left++
      return
    }
    this.trace.requests.push(record)
    this.kept.add(record.id)
  }

  update({ events, steps }: Update): void {
    for (const e of events) {
      if (!this.kept.has(e.request)) continue
      this.trace.events.push(e)
      if (e.kind === 'finished' || e.kind === 'failed' || e.kind === 'rejected') this.kept.delete(e.request)
    }
    for (const s of steps) {
      // A step that had nothing to do with those recorded is not kept: after the last of them memory no longer grows.
      if (this.left === 0 || s.batch.some((b) => this.kept.has(b.request))) this.trace.steps.push(s)
    }
  }
}
