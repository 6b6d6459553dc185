import * as Comlink from 'comlink'
import { append } from '$engine/trace/phases'
import type { Trace } from '$engine/trace/trace'
import { aborted, outcome, settle, type Outcome } from '$engine/worker/outcome'
import { EngineError, type Engine, type EngineInfo, type Machine } from '$engine/worker/protocol'
import { serialize } from '$components/frame/serial'

/** How often a borrower looks whether the lender is still there, ms. */
const LOOK_EVERY_MS = 500

/** A frame that has an engine says so here, for others of the same deck in the same page. */
type Lender = Window & { tokenExpresswayEngine?: string }

interface Lent {
  opened(): Promise<Outcome<EngineInfo>>
  /** Any of the engine's other methods; updates of a Trace are told without what was told before. */
  call(id: number, method: Method, args: readonly unknown[], onUpdate: ((update: unknown, header?: unknown) => void) | undefined): Promise<Outcome<unknown>>
  abort(id: number): void
}

type Method = 'serve' | 'machine' | 'quality' | 'cascade' | 'simulate' | 'curve'

/**
 * One engine for all embeds of a page: the first that is started has it, the others borrow it through a port, and
 * each workload waits its turn. When the lender leaves the page, borrowers get 'worker-crashed' and start their own.
 * `peers`: the other frames of the page.
 */
export function sharedEngine(create: () => Engine, peers: () => Iterable<Window> = siblings, self: Lender = window): Engine {
  let current: Engine | undefined
  let close = () => {}
  const engine = () => {
    if (!current) throw new EngineError('The engine was asked for a run before it was opened.', 'internal')
    return current
  }
  return {
    async open(options, onProgress, onChange) {
      close()
      const key = `${options.runner} ${options.slow}`
      const lender = options.recalibrate ? undefined : find(peers(), key)
      if (lender) {
        const borrowed = borrow(lender, key)
        current = borrowed.engine
        close = borrowed.close
        onProgress?.({ done: 0, doing: 'Borrowing the engine of another embed' })
        return current.open(options)
      }
      const own = (current = serialize(create()))
      const opened = own.open(options, onProgress, onChange)
      const stop = lend(own, opened, key, self)
      close = () => {
        stop()
        own.close()
      }
      return opened
    },
    serve: async (workload, options) => engine().serve(workload, options),
    machine: async (of, options) => engine().machine(of, options),
    quality: async (request, options) => engine().quality(request, options),
    cascade: async (request, options) => engine().cascade(request, options),
    simulate: async (request, options) => engine().simulate(request, options),
    curve: async (request, options) => engine().curve(request, options),
    bring: () => Promise.reject(new EngineError('A model of your own runs in the deck itself, not in a page that shows one slide of it.', 'model')),
    close: () => {
      close()
      current = undefined
      close = () => {}
    },
  }
}

/** Frames beside this one. */
function* siblings(): Generator<Window> {
  if (parent === window) return
  for (let i = 0; i < parent.length; i++) if (parent[i] && parent[i] !== window) yield parent[i]!
}

function find(peers: Iterable<Window>, key: string): Lender | undefined {
  for (const peer of peers) {
    if (lends(peer, key)) return peer
  }
  return undefined
}

/** A frame of another origin does not let itself be looked into. */
function lends(peer: Lender, key: string): boolean {
  try {
    return !peer.closed && peer.tokenExpresswayEngine === key
  } catch {
    return false
  }
}

function lend(engine: Engine, opened: Promise<EngineInfo>, key: string, self: Lender): () => void {
  self.tokenExpresswayEngine = key
  const onmessage = (event: MessageEvent<unknown>) => {
    const port = event.ports[0]
    if (event.origin !== self.location.origin || event.data !== `token-expressway engine ${key}` || !port) return
    const aborts = new Map<number, AbortController>()
    const lent: Lent = {
      opened: () => outcome(() => opened),
      async call(id, method, args, onUpdate) {
        const abort = new AbortController()
        aborts.set(id, abort)
        let told = false
        const run = engine[method] as (of: unknown, options: object) => Promise<unknown>
        const result = await outcome(() => run(args[0], {
          ...(args[1] as object | undefined),
          signal: abort.signal,
          onUpdate: onUpdate && ((update: unknown, soFar?: Trace) => {
            onUpdate(update, !told && soFar ? { ...soFar, requests: [], events: [], steps: [] } : undefined)
            told = true
          }),
        }))
        aborts.delete(id)
        return result
      },
      abort: (id) => aborts.get(id)?.abort(),
    }
    Comlink.expose(lent, port)
  }
  self.addEventListener('message', onmessage)
  return () => {
    self.removeEventListener('message', onmessage)
    if (self.tokenExpresswayEngine === key) delete self.tokenExpresswayEngine
  }
}

function borrow(lender: Lender, key: string): { engine: Engine; close: () => void } {
  const { port1, port2 } = new MessageChannel()
  lender.postMessage(`token-expressway engine ${key}`, location.origin, [port2])
  const remote = Comlink.wrap<Lent>(port1)
  let ids = 0

  /** A frame that was taken out of the page raises no event. */
  function gone(): { gone: Promise<never>; end: () => void } {
    let timer: ReturnType<typeof setInterval> | undefined
    const gone = new Promise<never>((_, reject) => {
      timer = setInterval(() => {
        if (!lends(lender, key)) reject(new EngineError('The embed that had the engine left the page.', 'worker-crashed'))
      }, LOOK_EVERY_MS)
    })
    gone.catch(() => {}) // heard by whoever races against it
    return { gone, end: () => clearInterval(timer) }
  }

  async function call<T>(method: Method, of: unknown, { signal, on }: { signal?: AbortSignal; on?: Machine } = {}, onUpdate?: (update: never, header?: unknown) => void): Promise<T> {
    signal?.throwIfAborted()
    if (!lends(lender, key)) throw new EngineError('The embed that had the engine left the page.', 'worker-crashed')
    const id = ++ids
    const abort = () => void remote.abort(id)
    signal?.addEventListener('abort', abort)
    const watch = gone()
    try {
      const told = onUpdate && Comlink.proxy((update: never, header?: unknown) => { if (!signal?.aborted) onUpdate(update, header) })
      return settle(await Promise.race([remote.call(id, method, on ? [of, { on }] : [of], told as never) as Promise<Outcome<T>>, watch.gone, aborted(signal)]))
    } finally {
      watch.end()
      signal?.removeEventListener('abort', abort)
    }
  }

  const engine: Engine = {
    async open() {
      const watch = gone()
      try {
        return settle(await Promise.race([remote.opened() as Promise<Outcome<EngineInfo>>, watch.gone]))
      } finally {
        watch.end()
      }
    },
    serve(workload, { onUpdate, ...options } = {}) {
      let trace: Trace | undefined
      return call<Trace>('serve', workload, options, onUpdate && ((update: Parameters<typeof onUpdate>[0], header?: unknown) => {
        trace ??= header as Trace
        append(trace, update)
        onUpdate(update, trace)
      }))
    },
    machine: (of, options) => call('machine', of, { signal: options?.signal }),
    quality: (request, options) => call('quality', request, options),
    cascade: (request, options) => call('cascade', request, options),
    simulate: (request, { onUpdate, signal } = {}) => call('simulate', request, { signal }, onUpdate),
    curve: (request, { onUpdate, signal } = {}) => call('curve', request, { signal }, onUpdate),
    bring: () => Promise.reject(new EngineError('A borrowed engine brings no model.', 'model')),
    close() {},
  }
  return {
    engine,
    close() {
      remote[Comlink.releaseProxy]()
      port1.close()
    },
  }
}
