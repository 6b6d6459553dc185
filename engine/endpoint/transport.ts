import { EndpointError } from './errors'

/** Told what comes of a request, as it comes. */
export interface Reception {
  /** Its bytes are handed to a connection. */
  sent(): void
  /** `header` reads one, by its name in small letters. */
  headers(status: number, header: (name: string) => string | undefined): void
  /** A piece of the body. What it throws ends the request. */
  data(bytes: Uint8Array): void
}

/** How a server is reached: by undici from Node, by fetch from a page. Follows no redirect. */
export interface Transport {
  /** Where it leads: scheme, host and port. */
  readonly origin: string
  /** Resolves with the end of the body. Rejects with EndpointError, or the signal's reason. */
  send(request: { method: 'GET' | 'POST'; path: string; body?: string; headers?: Record<string, string> }, on: Reception, signal: AbortSignal): Promise<void>
  close(): Promise<void>
}

/** A server's address: base (with /v1 or without) and the paths under it. Throws RangeError in words, without what may be a key in the address. */
export function parseEndpoint(text: string): { origin: string; base: string; host: string } {
  if (!URL.canParse(text)) throw new RangeError('an endpoint is an address such as http://localhost:8000')
  const url = new URL(text)
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw new RangeError(`an endpoint is reached by http or https, not ${url.protocol.slice(0, -1)}`)
  if (url.username || url.password) throw new RangeError('leave user and password out of the address: a key is given separately')
  if (url.search || url.hash) throw new RangeError('leave out what follows the path of the endpoint (? and #)')
  // People give the base with /v1 as OpenAI's clients want it, or without as vLLM prints it.
  return { origin: url.origin, base: url.pathname.replace(/\/+$/, '').replace(/\/v1$/, ''), host: url.host }
}

/** The whole of a small answer. Rejects with EndpointError when it is too large, or the signal's reason. */
export async function fetchText(transport: Transport, request: Parameters<Transport['send']>[0], signal: AbortSignal, most = 16 * 2 ** 20): Promise<{ status: number; text: string }> {
  let status = 0
  let text = ''
  const decoder = new TextDecoder()
  await transport.send(request, {
    sent: () => {},
    headers: (code) => void (status = code),
    data: (bytes) => {
      text += decoder.decode(bytes, { stream: true })
      if (text.length > most) throw new EndpointError('garbage', `an answer of more than ${most} characters`)
    },
  }, signal)
  return { status, text: text + decoder.decode() }
}
