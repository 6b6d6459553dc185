import { chain, NOTHING, type Ask, type Draft, type Speculator } from './draft'
import type { DraftModel } from './draft-model'

/** Most that a dynamic draft grows to. */
const LONGEST = 16

/**
 * A small model drafts tokens in a row (Leviathan et al. 2023). Dynamic: all accepted, two more next time; else
 * one less, at least one.
 */
export class Linear implements Speculator {
  private readonly lengths = new Map<number, number>()
  private readonly texts = new Map<number, number>()

  constructor(private readonly model: DraftModel, private readonly k: number, private readonly dynamic: boolean) {}

  wants(request: number): number {
    return this.lengths.get(request) ?? this.k
  }

  async draft(asks: readonly Ask[]): Promise<Draft[]> {
    const most = asks.map((ask) => Math.min(ask.most, this.wants(ask.request)))
    const open = asks.flatMap((ask, i) => (this.model.makeRoom(ask, most[i]!) ? [i] : []))
    if (open.length === 0) return asks.map(() => NOTHING)
    const drafted = await this.model.chains(open.map((i) => asks[i]!), open.map((i) => most[i]!))
    const out = asks.map(() => NOTHING)
    for (const [k, i] of open.entries()) {
      out[i] = chain(drafted[k]!.tokens, drafted[k]!.drawnFrom)
      this.texts.set(asks[i]!.request, asks[i]!.text.length)
    }
    return out
  }

  learn(request: number, drafted: number, accepted: number): void {
    const text = this.texts.get(request)
    if (text !== undefined) this.model.accept(request, text, drafted, accepted)
    if (this.dynamic) this.lengths.set(request, accepted === drafted ? Math.min(drafted + 2, LONGEST) : Math.max(drafted - 1, 1))
  }

  release(request: number): void {
    this.lengths.delete(request)
    this.texts.delete(request)
    this.model.release(request)
  }
}
