import { EndpointError } from './errors'

/** A line of a server's may be so long; a longer one is no event. Characters. */
const LONGEST_LINE = 2 ** 20

/**
 * Reads server-sent events (WHATWG HTML §9.2) as their bytes come in: any line ends, any pieces. Gives the `data` of
 * each event. Throws EndpointError for a line that does not end.
 */
export class SseReader {
  private readonly decoder = new TextDecoder('utf-8')
  private rest = ''
  private data: string[] = []
  /** The last piece ended in a CR: an LF that follows belongs to it. */
  private afterCr = false

  constructor(private readonly longestLine = LONGEST_LINE) {}

  push(bytes: Uint8Array): string[] {
    return this.read(this.decoder.decode(bytes, { stream: true }))
  }

  /** Something was begun and not ended: the stream broke off. */
  get unfinished(): boolean {
    return this.rest !== '' || this.data.length > 0
  }

  private read(text: string): string[] {
    const events: string[] = []
    if (this.afterCr && text.startsWith('\n')) text = text.slice(1)
    if (text !== '') this.afterCr = text.endsWith('\r')
    const all = this.rest + text
    let from = 0
    // The rest has no line end in it: what was searched is not searched again.
    for (let at = this.rest.length; at < all.length; at++) {
      const c = all.charCodeAt(at)
      if (c !== 10 && c !== 13) continue
      this.line(all.slice(from, at), events)
      if (c === 13 && all.charCodeAt(at + 1) === 10) at++
      from = at + 1
    }
    this.rest = all.slice(from)
    if (this.rest.length > this.longestLine) throw new EndpointError('garbage', `a line of more than ${this.longestLine} characters`)
    return events
  }

  private line(line: string, events: string[]): void {
    if (line === '') {
      if (this.data.length > 0) events.push(this.data.join('\n'))
      this.data = []
    } else if (line.startsWith('data:')) {
      this.data.push(line.charCodeAt(5) === 32 ? line.slice(6) : line.slice(5))
      if (this.data.length > 10_000) throw new EndpointError('garbage', 'an event of more than 10,000 lines')
    }
    // Comments, and fields that say nothing here.
  }
}
