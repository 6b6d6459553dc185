import { getContext, setContext } from 'svelte'
import { SvelteMap } from 'svelte/reactivity'
import { encodeValue, parse, type Params } from '$components/controls/params'
import type { SlideEntry } from '$components/frame/slide'
import type { EngineInfo } from '$engine/worker/protocol'
import { readMessage, VERSION, type Message, type Role, type Told } from './messages'
import { elapsed, type Timer } from './schedule'
import { Shared, type Json } from './shared'
import { backward, directions, forward, type Played, type Press } from './steps'

/** A window that was not heard for so long is gone. */
const GONE_MS = 7000
const ALIVE_EVERY_MS = 2000
/** A running experiment is retold at most so often: what draws in the other window takes time from what is measured. */
const RETELL_MS = 300
const MINUTES = 40

/** A slide's experiment where it is built, as the talk moves it. */
export interface Handle {
  readonly id: string
  readonly params: Params
  /** Present values, live. */
  readonly values: Record<string, number | string | boolean>
  /** What it came to so far, for a window that comes late. */
  told(): Told[]
  /** The run for the present values is over, and the other lens's where one was asked for. */
  readonly settled: boolean
  readonly failed: boolean
  again(): void
}

/** A replay of a slide, as the talk moves it. */
export interface Travel {
  at: number
  playing: boolean
  slowdown: number
  /** Which run of the slide it is a moment of. */
  run: number
}

/** What carries messages between windows: a BroadcastChannel, or a test's own. */
export interface Channel {
  post(message: Message): void
  close(): void
}

export interface TalkOptions {
  deck: readonly SlideEntry[]
  role: Role
  /** Unique to this window. */
  writer: string
  /** The slide that is shown before anybody has gone anywhere. */
  start?: string
  /** Opens the way to the other windows. */
  connect?: (session: string, hear: (data: unknown) => void) => Channel
  now?: () => number
}

/**
 * The talk as all its windows have it: where it is, what is set, what is played, dark or not. What one window
 * changes is the others' too. Only the stage runs experiments; the speaker's window draws the readings it is
 * told of. In a single window it is the same, with nobody to tell.
 */
export class Talk {
  readonly deck: readonly SlideEntry[]
  readonly role: Role
  readonly shared: Shared
  /** Readings that the stage told of, by "slide part". */
  readonly told = new SvelteMap<string, Told>()
  /** The stage's engine. */
  info = $state.raw<EngineInfo>()
  /** Which talk's windows belong together; undefined: this is the only one. */
  session = $state<string>()
  /** When each other window was last heard. */
  private readonly heard = new SvelteMap<string, { role: Role; at: number }>()
  private version = $state(0)
  private now = $state(0)

  private readonly start: string
  private readonly connectTo: TalkOptions['connect']
  private readonly timeNow: () => number
  private channel: Channel | undefined
  private pulse: ReturnType<typeof setInterval> | undefined
  private readonly handles = new SvelteMap<string, Handle>()
  private readonly replays = new Map<string, (travel: Travel) => void>()
  private readonly retold = new Map<string, { at: number; timer?: ReturnType<typeof setTimeout> }>()
  /** Called for what another window set of a slide that is not built here. */
  onvalue: ((id: string, name: string, text: string) => void) | undefined
  /** Called when another window looks through the other lens. */
  onlens: ((side: 'here' | 'elsewhere') => void) | undefined

  constructor({ deck, role, writer, start, connect, now = Date.now }: TalkOptions) {
    this.start = start ?? deck[0]!.id
    this.deck = deck
    this.role = role
    this.shared = new Shared(writer)
    this.connectTo = connect
    this.timeNow = now
    this.now = now()
  }

  /* State */

  private read(key: string): Json | undefined {
    void this.version
    return this.shared.get(key)
  }

  /** Writes here and in all other windows. */
  private write(key: string, value: Json): void {
    const entry = this.shared.set(key, value)
    this.version++
    this.post({ v: VERSION, kind: 'set', from: this.shared.writer, entries: [[key, entry]] })
  }

  /** Id of the slide that is shown. */
  get slide(): string {
    const id = this.read('slide')
    return this.deck.some((s) => s.id === id) ? (id as string) : this.start
  }

  go(id: string): void {
    if (this.slide === id || !this.deck.some((s) => s.id === id)) return
    this.write('slide', id)
    if (this.on && this.timer.since === null && this.timer.before === 0) this.startTimer()
  }

  get index(): number {
    return this.deck.findIndex((s) => s.id === this.slide)
  }

  /** By so many slides; stays within the deck. */
  turn(by: number): void {
    this.go(this.deck[Math.min(Math.max(this.index + by, 0), this.deck.length - 1)]!.id)
  }

  /** A talk is given: the clicker also plays stage directions, the screen stays awake. */
  get on(): boolean { return this.read('talk') === true }
  set on(value: boolean) { if (value !== (this.shared.get('talk') === true)) this.write('talk', value) }

  /** The stage shows nothing. */
  get black(): boolean { return this.read('black') === true }
  set black(value: boolean) { if (value !== (this.shared.get('black') === true)) this.write('black', value) }

  /** Nothing is measured: slides show what was recorded. */
  get frozen(): boolean { return this.read('frozen') === true }
  set frozen(value: boolean) { if (value !== (this.shared.get('frozen') === true)) this.write('frozen', value) }

  /** Somebody looks through the other lens. */
  lensChosen(side: 'here' | 'elsewhere'): void {
    if (this.shared.get('lens') !== side) this.write('lens', side)
  }

  get timer(): Timer { return (this.read('timer') as Timer | undefined) ?? { before: 0, since: null } }
  startTimer(): void { if (this.timer.since === null) this.write('timer', { before: this.timer.before, since: this.timeNow() }) }
  stopTimer(): void { this.write('timer', { before: elapsed(this.timer, this.timeNow()), since: null }) }
  resetTimer(): void { this.write('timer', { before: 0, since: this.timer.since === null ? null : this.timeNow() }) }

  /** Planned length of the talk. */
  get minutes(): number { return (this.read('minutes') as number | undefined) ?? MINUTES }
  set minutes(value: number) { if (value >= 1 && value <= 600) this.write('minutes', value) }

  /* Stage directions */

  played(id: string): Played | undefined {
    return this.read(`played:${id}`) as Played | undefined
  }

  /** The clicker's next: a stage direction while a talk is given and one is left, else the next slide. */
  forward(): void {
    const slide = this.deck[this.index]!
    if (!this.press(slide.id, this.on ? forward(directions(slide.notes), this.played(slide.id), this.texts(slide.id)) : undefined)) this.turn(1)
  }

  backward(): void {
    const slide = this.deck[this.index]!
    if (!this.press(slide.id, this.on ? backward(directions(slide.notes), this.played(slide.id), this.texts(slide.id)) : undefined)) this.turn(-1)
  }

  private press(id: string, press: Press | undefined): boolean {
    if (!press) return false
    this.write(`played:${id}`, press.played as unknown as Json)
    for (const [name, text] of Object.entries(press.set)) this.set(id, name, text)
    return true
  }

  /* Parameters */

  /** Texts of a slide's parameters, where it is built. */
  texts(id: string): Record<string, string> {
    const handle = this.handles.get(id)
    return handle ? Object.fromEntries(Object.keys(handle.params).map((name) => [name, encodeValue(handle.values[name]!)])) : {}
  }

  /** Sets a parameter of a slide here and everywhere. */
  set(id: string, name: string, text: string): void {
    this.put(id, name, text)
    this.moved(id, { [name]: text })
  }

  /** The reader moved these. */
  moved(id: string, texts: Readonly<Record<string, string>>): void {
    for (const [name, text] of Object.entries(texts)) {
      const key = `value:${id}:${name}`
      if (this.shared.get(key) !== text) this.write(key, text)
    }
  }

  private put(id: string, name: string, text: string): void {
    const handle = this.handles.get(id)
    if (!handle) this.onvalue?.(id, name, text)
    if (!handle || !Object.hasOwn(handle.params, name)) return
    try {
      handle.values[name] = parse(handle.params[name]!, text)
    } catch {
      // A text that is no value of it, from a window of another version: the slider stays where it is.
    }
  }

  /* Slides that are built */

  join(handle: Handle): () => void {
    this.handles.set(handle.id, handle)
    return () => {
      if (this.handles.get(handle.id) === handle) this.handles.delete(handle.id)
    }
  }

  handle(id: string): Handle | undefined {
    return this.handles.get(id)
  }

  /** What an experiment came to; told to the other windows, while it runs not too often. */
  tell(told: Told): void {
    if (this.role !== 'stage' || !this.connected) return
    const key = `${told.slide} ${told.part}`
    const last = this.retold.get(key)
    clearTimeout(last?.timer)
    const wait = told.phase === 'running' && told.reading && last ? last.at + RETELL_MS - this.timeNow() : 0
    if (wait > 0) {
      this.retold.set(key, { at: last!.at, timer: setTimeout(() => this.send(key, told), wait) })
    } else this.send(key, told)
  }

  private send(key: string, told: Told): void {
    this.retold.set(key, { at: this.timeNow() })
    try {
      this.post({ v: VERSION, kind: 'told', from: this.shared.writer, told })
    } catch (error) {
      this.post({ v: VERSION, kind: 'told', from: this.shared.writer, told: { ...told, phase: 'failed', reading: undefined, problem: `What the stage shows could not be sent here: ${String(error)}.` } })
    }
  }

  tellEngine(info: EngineInfo | undefined): void {
    this.info = info
    if (info) this.post({ v: VERSION, kind: 'engine', from: this.shared.writer, info })
  }

  /** Runs a slide's experiment again, wherever it runs. */
  again(id: string): void {
    if (this.role === 'stage') this.handles.get(id)?.again()
    else this.post({ v: VERSION, kind: 'again', from: this.shared.writer, slide: id })
  }

  /* Replays */

  /** Where a replay stands in the talk; undefined: nobody has moved it. */
  travel(key: string): Travel | undefined {
    return this.shared.get(`playhead:${key}`) as Travel | undefined
  }

  travelled(key: string, travel: Travel): void {
    this.write(`playhead:${key}`, { ...travel })
  }

  onTravel(key: string, adopt: (travel: Travel) => void): () => void {
    this.replays.set(key, adopt)
    return () => this.replays.delete(key)
  }

  /* Windows */

  /** A window of the other kind is there. */
  get connected(): boolean {
    return [...this.heard.values()].some(({ role, at }) => role !== this.role && this.now - at < GONE_MS)
  }

  meet(session: string): void {
    if (this.channel || !this.connectTo) return
    this.session = session
    this.channel = this.connectTo(session, (data) => this.hear(data))
    this.post({ v: VERSION, kind: 'hello', from: this.shared.writer, role: this.role })
    this.post({ v: VERSION, kind: 'set', from: this.shared.writer, entries: this.shared.all() })
    this.pulse = setInterval(() => {
      this.now = this.timeNow()
      this.post({ v: VERSION, kind: 'alive', from: this.shared.writer, role: this.role })
    }, ALIVE_EVERY_MS)
  }

  /** Tells the others that this window goes. */
  leave(): void {
    this.post({ v: VERSION, kind: 'bye', from: this.shared.writer })
  }

  close(): void {
    this.leave()
    clearInterval(this.pulse)
    for (const { timer } of this.retold.values()) clearTimeout(timer)
    this.channel?.close()
    this.channel = undefined
  }

  private post(message: Message): void {
    this.channel?.post(message)
  }

  /** Anything that came over the channel. */
  hear(data: unknown): void {
    const message = readMessage(data)
    if (!message || message.from === this.shared.writer) return
    switch (message.kind) {
      case 'hello':
        this.note(message.from, message.role)
        this.post({ v: VERSION, kind: 'alive', from: this.shared.writer, role: this.role })
        this.post({ v: VERSION, kind: 'set', from: this.shared.writer, entries: this.shared.all() })
        if (this.role !== 'stage') break
        this.tellEngine(this.info)
        for (const handle of this.handles.values()) for (const told of handle.told()) this.send(`${told.slide} ${told.part}`, told)
        break
      case 'alive':
        this.note(message.from, message.role)
        break
      case 'bye':
        this.heard.delete(message.from)
        break
      case 'set':
        for (const [key, entry] of message.entries) if (this.shared.merge(key, entry)) this.follow(key, entry.value)
        this.version++
        break
      case 'told':
        if (this.role === 'speaker') this.told.set(`${message.told.slide} ${message.told.part}`, message.told)
        break
      case 'engine':
        if (this.role === 'speaker') this.info = message.info
        break
      case 'again':
        if (this.role === 'stage') this.handles.get(message.slide)?.again()
    }
  }

  private note(from: string, role: Role): void {
    this.now = this.timeNow()
    this.heard.set(from, { role, at: this.now })
  }

  /** Does what another window set. */
  private follow(key: string, value: Json): void {
    const [kind, id, name] = key.split(':') as [string, string, string]
    if (kind === 'value') this.put(id, name, value as string)
    else if (kind === 'playhead') this.replays.get(`${id}:${name}`)?.(value as unknown as Travel)
    else if (kind === 'lens') this.onlens?.(value as 'here' | 'elsewhere')
  }
}

/** Windows of one talk in one browser. */
export function broadcast(session: string, hear: (data: unknown) => void): Channel {
  const channel = new BroadcastChannel(`token-expressway:${session}`)
  channel.onmessage = (event) => hear(event.data)
  return { post: (message) => channel.postMessage(message), close: () => channel.close() }
}

const KEY = Symbol('talk')

export function provideTalk(talk: Talk): Talk {
  return setContext(KEY, talk)
}

/** Undefined where no talk can be given: a printed page, an embedded slide. */
export function useTalk(): Talk | undefined {
  return getContext<Talk | undefined>(KEY)
}
