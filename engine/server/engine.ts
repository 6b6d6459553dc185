import { receiveMessageOnPort, type MessagePort } from 'node:worker_threads'
import type { LoadedModel } from '../model/load'
import { BLOCK_SIZE, type Runner } from '../runner/runner'
import { BlockPool } from '../serving/blocks'
import type { Clock } from '../serving/clock'
import { PrefixCache } from '../serving/prefix-cache'
import { PrefixIds } from '../serving/prefix-ids'
import { serve, type Door, type ServeRequest, type ServeState } from '../serving/serve'
import type { Event, Step } from '../trace/trace'
import type { Ask, News, Order, Update } from './protocol'
import { Writer } from './writer'

export interface EngineOptions {
  loaded: LoadedModel
  runner: Runner
  /** Time 0 is the server's. */
  clock: Clock
  maxSequences?: number
  maxBatchedTokens?: number
  /** Prompts that begin like an earlier one use its keys and values again. */
  prefixCache: boolean
}

/**
 * The engine's side of a server: serves what comes through the port, by the clock, with the live scheduler, until it
 * is told to close. Knows no HTTP. Resolves when all is answered; a device that fails is told and ends it.
 */
export async function runEngine(port: MessagePort, { loaded, runner, clock, maxSequences, maxBatchedTokens, prefixCache }: EngineOptions): Promise<void> {
  const { model, tokenizer } = loaded
  const say = (news: News) => port.postMessage(news)
  const door = new PortDoor(port, (ask) => admit(ask))
  const writers = new Map<number, Writer>()
  const prefixes = prefixCache ? new Prefixes(runner.limits.blocks, clock) : undefined
  const limits = { maxSequences: Math.min(maxSequences ?? Infinity, runner.limits.sequences), maxBatchedTokens: Math.min(maxBatchedTokens ?? Infinity, runner.limits.tokens) }
  const stop = new AbortController()
  door.onStop = (reason) => stop.abort(new Error(reason))

  let pending: Update | undefined
  let state: ServeState = { running: 0, waiting: 0, blocksUsed: 0, preemptions: 0 }
  say({
    kind: 'ready',
    facts: {
      model: model.name, device: runner.device, maxModelLength: Math.min(model.config.maxPositions, runner.limits.blocks * BLOCK_SIZE),
      ...limits, blocks: runner.limits.blocks, prefixCache,
    },
  })
  try {
    await serve([], {
      runner, clock, door, limits, origin: 0, cache: prefixes?.cache, signal: stop.signal,
      emit: ({ events, steps }) => tell(events, steps),
      onState: (now) => {
        state = now
        if (pending) flush()
      },
      yieldThread: () => new Promise((resolve) => setImmediate(resolve)),
    })
    flush()
    say({ kind: 'closed' })
  } catch (error) {
    flush()
    say(stop.signal.aborted ? { kind: 'closed' } : { kind: 'broke', message: error instanceof Error ? error.message : String(error) })
  } finally {
    runner.dispose()
    port.close()
  }

  function admit(ask: Ask): ServeRequest {
    const eos = ask.ignoreEos ? [] : model.config.eos
    const writer = new Writer(tokenizer, eos, ask.stop, ask.record.maxTokens)
    writers.set(ask.record.id, writer)
    return {
      record: ask.record, prompt: ask.prompt, queuedAt: ask.queuedAt, eos, sampling: ask.sampling,
      prefix: prefixes?.enter(ask.record.id, ask.prompt),
      ends: (id) => writer.ends(id), textOf: () => writer.next(),
    }
  }

  /** Events of a step are told together with what the gauges show after it: `onState` follows them. */
  function tell(events: Event[], steps: Step[]): void {
    pending ??= { kind: 'update', events: [], steps: [], state, stopped: [] }
    for (const e of events) {
      pending.events.push(e)
      if (e.kind !== 'finished' && e.kind !== 'failed' && e.kind !== 'rejected') continue
      const by = writers.get(e.request)?.stoppedBy
      if (e.kind === 'finished' && by !== undefined) pending.stopped.push({ id: e.request, by })
      writers.delete(e.request)
      prefixes?.leave(e.request)
    }
    for (const s of steps) pending.steps.push(s)
  }

  function flush(): void {
    if (!pending) return
    pending.state = state
    say(pending)
    pending = undefined
  }
}

/** Orders from a port. Looked at before every step, without waiting for this thread's turn of events. */
class PortDoor implements Door {
  open = true
  onStop: (reason: string) => void = () => {}
  private came: ServeRequest[] = []
  private gone: number[] = []
  private wake: (() => void) | undefined

  constructor(private readonly port: MessagePort, private readonly admit: (ask: Ask) => ServeRequest) {
    port.on('message', (order: Order) => this.hear(order))
    port.on('close', () => this.hear({ kind: 'stop', reason: 'the server is gone' }))
  }

  take(): { came: readonly ServeRequest[]; gone: readonly number[] } {
    for (let m = receiveMessageOnPort(this.port); m; m = receiveMessageOnPort(this.port)) this.hear(m.message as Order)
    const taken = { came: this.came, gone: this.gone }
    this.came = []
    this.gone = []
    return taken
  }

  stirred(): Promise<void> {
    if (this.came.length + this.gone.length > 0 || !this.open) return Promise.resolve()
    return new Promise((resolve) => (this.wake = resolve))
  }

  private hear(order: Order): void {
    switch (order.kind) {
      case 'ask':
        this.came.push(this.admit(order.ask))
        break
      case 'cancel':
        this.gone.push(order.id)
        break
      case 'stop':
        this.onStop(order.reason)
        this.open = false
        break
      case 'close':
        this.open = false
    }
    this.wake?.()
    this.wake = undefined
  }
}

/** The prefix cache of a run without end: numbers of blocks are known as long as a request or the cache uses them. */
class Prefixes {
  readonly cache: PrefixCache
  private readonly ids = new PrefixIds()
  private readonly inUse = new Map<number, number[]>()

  constructor(blocks: number, clock: Clock) {
    this.cache = new PrefixCache(BLOCK_SIZE, 1, Infinity, () => clock.now(), new BlockPool(blocks), (id) => this.ids.contents(id), this.ids)
  }

  enter(request: number, prompt: Int32Array): number[] {
    const used = this.ids.of(prompt)
    for (const id of used) this.ids.retain(id)
    this.inUse.set(request, used)
    return used
  }

  leave(request: number): void {
    for (const id of this.inUse.get(request) ?? []) this.ids.release(id)
    this.inUse.delete(request)
  }
}
