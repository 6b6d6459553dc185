import type { Trace } from '../trace/trace'
import type { Workload } from './protocol'
import type { BorrowedText } from './virtual'

/** Prompts whose texts are kept at most. */
const KEPT = 256

/** What the live model read and wrote, by prompt: pills of a machine that computes no text borrow it. */
export class Texts {
  private readonly seen = new Map<string, BorrowedText>()

  learn({ requests }: Workload, trace: Trace): void {
    const output = new Map<number, string[]>()
    for (const e of trace.events) {
      if (e.kind !== 'token' || e.text === undefined) continue
      const texts = output.get(e.request)
      if (texts) texts.push(e.text)
      else output.set(e.request, [e.text])
    }
    for (const record of trace.requests) {
      const asked = requests[record.id]
      const texts = output.get(record.id)
      if (!asked || !texts || !record.promptTexts) continue
      const key = String(asked.prompt)
      const known = this.seen.get(key)
      if (known && known.output.length >= texts.length) continue
      if (!known && this.seen.size >= KEPT) this.seen.delete(this.seen.keys().next().value!)
      this.seen.set(key, { prompt: record.promptTexts, output: texts })
    }
  }

  /** Texts of each request; undefined where none like it was served live. The timing model has none to borrow. */
  of({ model, requests }: Workload): (BorrowedText | undefined)[] {
    if (model === 'timing') return []
    return requests.map((r) => this.seen.get(String(r.prompt)))
  }
}
