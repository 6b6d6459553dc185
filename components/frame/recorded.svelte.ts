import { getContext, setContext } from 'svelte'
import { createLensEngine } from '$engine/worker/lens-engine'
import type { Engine } from '$engine/worker/protocol'
import type { OpenEngine } from './engine.svelte'
import { fetchProfile } from './lens.svelte'
import { readRecording, type Recording } from './recording'

/** The machine whose measured step costs stand in where nobody recorded: what the recordings were made on, or one like it. */
const MACHINE = 'cpu-2-core-x86'

/** Addresses of the recordings there are, by their place in the tree. */
const FILES = import.meta.glob<string>('../../assets/recorded/*.bin', { query: '?url&no-inline', import: 'default', eager: true })

/**
 * The readings that are shipped with the deck. While `on`, slides show them and start no engine; settings that
 * nobody recorded are served in virtual time by a recorded machine's step costs.
 */
export class RecordedHost {
  on = $state(false)
  /** A slide has asked for what was recorded. */
  shown = $state(false)
  private readonly found = new Map<string, Promise<Recording | undefined>>()
  private engine: Engine | undefined
  private opened: Promise<OpenEngine> | undefined

  /** `site`: address that assets/ is found from. */
  constructor(
    private readonly create: () => Engine,
    private readonly site: string,
    on = false,
  ) {
    this.on = on
  }

  /** A slide's recording; undefined where there is none. Rejects in words where it cannot be read. */
  of(slide: string): Promise<Recording | undefined> {
    let found = this.found.get(slide)
    if (!found) {
      const address = FILES[`../../assets/recorded/${slide}.bin`]
      found = address ? fetchRecording(new URL(address, location.href)) : Promise.resolve(undefined)
      found.catch(() => this.found.delete(slide))
      this.found.set(slide, found)
    }
    return found
  }

  /** An engine with the recorded machine's step costs, in virtual time. */
  machine(): Promise<OpenEngine> {
    return (this.opened ??= this.start().catch((error: unknown) => {
      this.opened = undefined
      throw error
    }))
  }

  close(): void {
    this.engine?.close()
    this.opened = undefined
  }

  private async start(): Promise<OpenEngine> {
    const engine = (this.engine ??= createLensEngine(this.create(), { kind: 'recorded', name: MACHINE }, (name) => fetchProfile(name, this.site)))
    return { engine, info: await engine.open({ runner: 'auto', slow: 1 }) }
  }
}

async function fetchRecording(address: URL): Promise<Recording> {
  const response = await fetch(address)
  if (!response.ok) throw new Error(`The recording could not be fetched: the server answered ${response.status} ${response.statusText}.`)
  const bytes = new Uint8Array(await response.arrayBuffer())
  try {
    return await readRecording(bytes)
  } catch (cause) {
    throw new Error(`The recording ${address.pathname.split('/').at(-1)} cannot be read: ${(cause as Error).message}.`, { cause })
  }
}

const KEY = Symbol('recorded')

export function provideRecorded(host: RecordedHost): RecordedHost {
  return setContext(KEY, host)
}

/** Undefined on a page that has none. */
export function useRecorded(): RecordedHost | undefined {
  return getContext<RecordedHost | undefined>(KEY)
}
