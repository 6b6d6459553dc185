import { Agent, type Dispatcher } from 'undici'
import { EndpointError } from './errors'
import type { Transport } from './transport'

/**
 * Connections as many as there are requests under way: a pool that is smaller than the load is a queue in front of the
 * server that nobody sees. Waiting is the caller's affair: no timeouts but for connecting.
 */
export function undiciTransport(origin: string, connectMs = 10_000): Transport {
  const agent = new Agent({ connections: null, pipelining: 1, headersTimeout: 0, bodyTimeout: 0, connect: { timeout: connectMs }, keepAliveTimeout: 4000 })
  return {
    origin,
    send: ({ method, path, body, headers }, on, signal) => new Promise<void>((resolve, reject) => {
      signal.throwIfAborted()
      let controller: Dispatcher.DispatchController | undefined
      let answered = false
      const fail = (error: unknown) => {
        signal.removeEventListener('abort', stop)
        reject(error as Error)
      }
      const stop = () => {
        controller?.abort(signal.reason as Error)
        fail(signal.reason)
      }
      signal.addEventListener('abort', stop, { once: true })
      agent.dispatch({ origin, path, method, body, headers: { ...headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }) } }, {
        onRequestStart(c: Dispatcher.DispatchController) {
          controller = c
          if (signal.aborted) return c.abort(signal.reason as Error)
          on.sent()
        },
        onResponseStart(c: Dispatcher.DispatchController, status: number, fields: Record<string, string | string[] | undefined>) {
          answered = true
          attempt(c, () => on.headers(status, (name) => {
            const value = fields[name]
            return Array.isArray(value) ? value[0] : value
          }))
        },
        onResponseData(c: Dispatcher.DispatchController, bytes: Uint8Array) {
          attempt(c, () => on.data(bytes))
        },
        onResponseEnd() {
          signal.removeEventListener('abort', stop)
          resolve()
        },
        onResponseError(_: Dispatcher.DispatchController, error: Error) {
          fail(signal.aborted ? signal.reason : error instanceof EndpointError ? error : new EndpointError(answered ? 'cut' : fault(error), words(error, answered), { cause: error }))
        },
      })
      function attempt(c: Dispatcher.DispatchController, work: () => void): void {
        try {
          work()
        } catch (error) {
          c.abort(error as Error)
          fail(error)
        }
      }
    }),
    close: () => agent.destroy(),
  }
}

function fault(error: Error): 'connect' | 'cut' | 'garbage' {
  const { code } = error as NodeJS.ErrnoException
  if (code?.startsWith('HPE_') || error.name === 'HTTPParserError') return 'garbage'
  return code === 'UND_ERR_SOCKET' || code === 'ECONNRESET' || code === 'EPIPE' ? 'cut' : 'connect'
}

function words(error: Error, answered: boolean): string {
  const { code } = error as NodeJS.ErrnoException
  const where = answered ? 'the stream broke off' : 'no answer'
  return `${where}: ${code ? `${code}, ` : ''}${error.message || error.name}`
}
