/** How a request to a server can go wrong; each is counted under its name. */
export type Fault =
  /** Nobody answered there. */
  | 'connect'
  /** The server said no: its status. */
  | 'status'
  /** It sends elsewhere; that is not followed, since the key is for this origin alone. */
  | 'redirect'
  /** It answered with something that is no stream of events. */
  | 'content-type'
  /** What it sent cannot be read. */
  | 'garbage'
  /** It said in the stream that it failed. */
  | 'server'
  /** The stream broke off, or ended before its end was said. */
  | 'cut'
  /** No headers, or nothing more, for too long. */
  | 'timeout'
  /** The answer has no token. */
  | 'empty'
  /** Hung up on, as the run was asked to do. */
  | 'cancelled'
  /** The run was ended before the answer was complete. */
  | 'stopped'

/** A request that did not come to a good end. The message says what happened, without a key in it. */
export class EndpointError extends Error {
  override name = 'EndpointError'

  constructor(readonly fault: Fault, message: string, options?: ErrorOptions) {
    super(message, options)
  }
}

/** Words of a server's in a message: short, on one line. */
export function quoted(text: string, length = 200): string {
  const line = text.replace(/\s+/g, ' ').trim()
  return line.length > length ? `${line.slice(0, length)}…` : line
}
