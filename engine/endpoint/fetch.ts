import { EndpointError } from './errors'
import type { Transport } from './transport'

/** The same from a page: the browser decides on connections, and asks the server whether this page may (CORS). */
export function fetchTransport(origin: string): Transport {
  return {
    origin,
    async send({ method, path, body, headers }, on, signal) {
      const stop = new AbortController()
      const end = () => stop.abort(signal.reason)
      signal.addEventListener('abort', end, { once: true })
      if (signal.aborted) end()
      let answered = false
      try {
        on.sent()
        const response = await fetch(origin + path, {
          method, body, redirect: 'manual', credentials: 'omit', cache: 'no-store', referrerPolicy: 'no-referrer', signal: stop.signal,
          headers: { ...headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
        })
        answered = true
        if (response.type === 'opaqueredirect') throw new EndpointError('redirect', 'it sends elsewhere, which is not followed')
        on.headers(response.status, (name) => response.headers.get(name) ?? undefined)
        const reader = response.body?.getReader()
        for (let next = await reader?.read(); next && !next.done; next = await reader!.read()) on.data(next.value)
      } catch (error) {
        if (signal.aborted) throw signal.reason
        stop.abort() // what is left of the body is nobody's
        if (error instanceof EndpointError) throw error
        // A browser does not say why: nobody there, or a server that does not let this page ask.
        throw new EndpointError(answered ? 'cut' : 'connect', answered ? `the stream broke off: ${(error as Error).message}` : `no answer that this page may read (is the server there, and does it allow this page's origin?)`, { cause: error })
      } finally {
        signal.removeEventListener('abort', end)
      }
    },
    close: () => Promise.resolve(),
  }
}
