import type { Tokenizer } from '../model/tokenizer'

/**
 * Text on its way to a client that must not see stop strings: what may turn out to be the beginning of one is
 * held back until it is known. The earliest stop string wins; of two at one place, the one named first.
 */
export class StopScanner {
  private held = ''
  /** The stop string that was met. */
  met: string | undefined

  constructor(private readonly stop: readonly string[]) {}

  /** What may be shown now. Nothing more once a stop string was met. */
  push(text: string): string {
    if (this.met !== undefined) return ''
    this.held += text
    let at = -1
    for (const s of this.stop) {
      const found = this.held.indexOf(s)
      if (found >= 0 && (at < 0 || found < at)) {
        at = found
        this.met = s
      }
    }
    return this.take(at >= 0 ? at : this.held.length - this.beginning())
  }

  /** What was held back, once no more text comes. */
  end(): string {
    return this.met === undefined ? this.take(this.held.length) : ''
  }

  private take(length: number): string {
    const shown = this.held.slice(0, length)
    this.held = this.held.slice(length)
    return shown
  }

  /** Length of the longest end of the text that a stop string begins with. */
  private beginning(): number {
    let longest = 0
    for (const s of this.stop) {
      for (let n = Math.min(s.length - 1, this.held.length); n > longest; n--) {
        if (this.held.endsWith(s.slice(0, n))) longest = n
      }
    }
    return longest
  }
}

/** Turns one request's output tokens into the text its client sees, and knows when that text is over. */
export class Writer {
  /** Ended by itself: an end-of-text token (null), or a stop string. */
  stoppedBy: string | null | undefined
  private readonly decoder: { push(id: number): string; end(): string }
  private readonly scanner: StopScanner
  private readonly texts: string[] = []
  private tokens = 0

  constructor(tokenizer: Tokenizer, private readonly eos: readonly number[], stop: readonly string[], private readonly maxTokens: number) {
    this.decoder = tokenizer.stream()
    this.scanner = new StopScanner(stop)
  }

  /** Takes a token; true when the text is over with it. An end-of-text token has no text. */
  ends(id: number): boolean {
    const eos = this.eos.includes(id)
    const last = ++this.tokens >= this.maxTokens || eos
    let text = this.scanner.push((eos ? '' : this.decoder.push(id)) + (last ? this.decoder.end() : ''))
    if (last) text += this.scanner.end()
    this.texts.push(text)
    if (this.scanner.met !== undefined) this.stoppedBy = this.scanner.met
    else if (eos) this.stoppedBy = null
    return last || this.scanner.met !== undefined
  }

  /** The text that the earliest token not yet asked for adds. */
  next(): string {
    return this.texts.shift() ?? ''
  }
}
