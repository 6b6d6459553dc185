import type { MessagePort } from 'node:worker_threads'
import type { ServeState } from '../serving/serve'
import type { Milliseconds } from '../trace/trace'
import type { Ask, EngineFacts, News, Order, Update } from './protocol'

/** How a request ended: by itself (with the stop string, or null for an end-of-text token), at its limit, or not well. */
export type Ending =
  | { kind: 'stop'; by: string | null }
  | { kind: 'length' }
  | { kind: 'rejected' | 'failed'; reason: string }

/** Told of one request's output. */
export interface Listener {
  token(text: string, id: number, at: Milliseconds): void
  end(ending: Ending): void
}

/** The server's side of the engine's thread. */
export class EngineLink {
  state: ServeState = { running: 0, waiting: 0, blocksUsed: 0, preemptions: 0 }
  /** Why the engine cannot go on; undefined while it can. */
  broken: string | undefined
  /** Resolves when the engine has closed, or broken. */
  readonly closed: Promise<void>
  private readonly listeners = new Map<number, Listener>()
  private readonly watchers: ((update: Update) => void)[] = []
  private next = 0
  private ended = false
  private setClosed: () => void = () => {}

  private constructor(private readonly port: MessagePort, readonly facts: EngineFacts) {
    this.closed = new Promise((resolve) => (this.setClosed = resolve))
    port.on('message', (news: News) => this.hear(news))
    port.on('close', () => this.fail('the engine is gone'))
  }

  /** Waits until the engine is ready. Rejects with its words where it cannot be. */
  static connect(port: MessagePort): Promise<EngineLink> {
    return new Promise((resolve, reject) => {
      port.once('message', (news: News) => {
        if (news.kind === 'ready') resolve(new EngineLink(port, news.facts))
        else reject(new Error(news.kind === 'broke' ? news.message : 'the engine closed before it was ready'))
      })
      port.once('close', () => reject(new Error('the engine ended before it was ready')))
    })
  }

  /** Requests that have not ended. */
  get open(): number {
    return this.listeners.size
  }

  /** Called with everything that happens. */
  watch(watcher: (update: Update) => void): void {
    this.watchers.push(watcher)
  }

  newId(): number {
    return this.next++
  }

  ask(ask: Ask, listener: Listener): void {
    this.listeners.set(ask.record.id, listener)
    if (this.broken !== undefined) this.end(ask.record.id, { kind: 'failed', reason: this.broken })
    else this.order({ kind: 'ask', ask })
  }

  /** Its client went away: nobody is told of it any more, its blocks are free before the next step. */
  cancel(id: number): void {
    if (this.listeners.delete(id)) this.order({ kind: 'cancel', id })
  }

  close(): void {
    this.order({ kind: 'close' })
  }

  stop(reason: string): void {
    this.order({ kind: 'stop', reason })
  }

  private order(order: Order): void {
    this.port.postMessage(order)
  }

  private hear(news: News): void {
    switch (news.kind) {
      case 'update': return this.update(news)
      case 'broke': return this.fail(news.message)
      case 'closed': {
        this.ended = true
        return this.setClosed()
      }
    }
  }

  private update(update: Update): void {
    this.state = update.state
    for (const watcher of this.watchers) watcher(update)
    const stopped = new Map(update.stopped.map((s) => [s.id, s.by]))
    for (const e of update.events) {
      switch (e.kind) {
        case 'token':
          this.listeners.get(e.request)?.token(e.text ?? '', e.token!, e.t)
          break
        case 'finished': {
          const by = stopped.get(e.request)
          this.end(e.request, by === undefined ? { kind: 'length' } : { kind: 'stop', by })
          break
        }
        case 'rejected':
        case 'failed':
          this.end(e.request, { kind: e.kind, reason: e.reason ?? e.kind })
      }
    }
  }

  private end(id: number, ending: Ending): void {
    const listener = this.listeners.get(id)
    this.listeners.delete(id)
    listener?.end(ending)
  }

  private fail(reason: string): void {
    if (this.ended) return // it said goodbye before it went
    this.ended = true
    this.broken ??= reason
    for (const id of [...this.listeners.keys()]) this.end(id, { kind: 'failed', reason })
    this.setClosed()
  }
}
