import { getContext, setContext } from 'svelte'
import { EngineError, type Engine, type EngineInfo, type ModelFolder, type OpenOptions, type Progress } from '$engine/worker/protocol'
import { serialize } from './serial'

export interface OpenEngine {
  engine: Engine
  info: EngineInfo
}

/** A new engine cures these; after the others in `goesOn` the engine has already changed to what works. */
const restarts: readonly EngineError['code'][] = ['worker-crashed', 'internal']
const goesOn: readonly EngineError['code'][] = ['device-lost', 'out-of-memory']

/**
 * The one engine of a page: opened when the first slide asks for it, shared by all, and opened anew when
 * its worker or its device was lost.
 */
export class EngineHost {
  phase = $state<'off' | 'closed' | 'opening' | 'ready' | 'failed'>('closed')
  progress = $state.raw<Progress>({ done: 0, doing: 'Starting the engine' })
  info = $state.raw<EngineInfo>()
  error = $state.raw<unknown>()
  /** What was lost and what runs instead, a sentence for the slide. */
  recovery = $state.raw<string>()

  /** How far the reader's own model has been read. */
  bringing = $state.raw<Progress>({ done: 0, doing: 'Reading the folder' })

  private opened: Promise<OpenEngine> | undefined
  /** The reader's own model: an engine that starts anew gets it again. */
  private own: ModelFolder | undefined
  private current: Engine | undefined

  /** `create` undefined: a page that boots without an engine (the speaker's preview). */
  constructor(
    private readonly create: (() => Engine) | undefined,
    private readonly options: OpenOptions,
  ) {
    if (!create) this.phase = 'off'
  }

  /** Opens the engine the first time; after a failure the next call tries again. Rejects with the engine's error. */
  open(): Promise<OpenEngine> {
    return (this.opened ??= this.start(this.options))
  }

  /** Measures this device again; what runs on the engine ends with it. */
  recalibrate(): Promise<OpenEngine> {
    this.close()
    this.recovery = undefined
    return (this.opened = this.start({ ...this.options, recalibrate: true }))
  }

  /** The reader's own model, for all slides; undefined: the shipped one again. Rejects with the engine's error; what was in use stays then. */
  async bring(folder: ModelFolder | undefined): Promise<void> {
    this.bringing = { done: 0, doing: 'Starting the engine' }
    const { engine } = await this.open()
    const info = await engine.bring(folder, (p) => (this.bringing = p))
    this.own = folder
    if (this.current === engine) this.info = info
  }

  /** Makes another try possible where one is worth it. False: the same would come again (a missing model, a bad prompt). */
  recover(error: unknown): boolean {
    if (!(error instanceof EngineError)) return false
    if (goesOn.includes(error.code)) {
      this.recovery = `${sentence(error.message)} This slide was measured anew.`
      return true
    }
    if (!restarts.includes(error.code)) return false
    this.close()
    this.recovery = `${sentence(error.message)} It was started again and this slide measured anew.`
    return true
  }

  close(): void {
    this.current?.close()
    this.current = undefined
    this.opened = undefined
    this.info = undefined
    if (this.phase !== 'off') this.phase = 'closed'
  }

  private async start(options: OpenOptions): Promise<OpenEngine> {
    if (!this.create) throw new EngineError('This copy of the deck runs without an engine.', 'no-runner')
    this.phase = 'opening'
    this.error = undefined
    const engine = (this.current = serialize(this.create()))
    try {
      let info = await engine.open(options,
        (p) => { if (this.current === engine) this.progress = p },
        (changed) => { if (this.current === engine) this.info = changed })
      if (this.own) info = await engine.bring(this.own, (p) => { if (this.current === engine) this.progress = p })
      if (this.current === engine) {
        this.info = info
        this.phase = 'ready'
      }
      return { engine, info }
    } catch (error) {
      if (this.current === engine) {
        this.current = undefined
        this.opened = undefined
        this.error = error
        this.phase = 'failed'
      }
      throw error
    }
  }
}

/** Ends in a full stop, whatever it was given. */
export function sentence(text: string): string {
  const trimmed = text.trim()
  return /[.!?]$/.test(trimmed) ? trimmed : `${trimmed}.`
}

const KEY = Symbol('engine')

export function provideEngine(host: EngineHost): EngineHost {
  return setContext(KEY, host)
}

export function useEngine(): EngineHost {
  return getContext<EngineHost>(KEY)
}
