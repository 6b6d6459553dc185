import { getContext, setContext } from 'svelte'
import { createLensEngine } from '$engine/worker/lens-engine'
import { DATACENTRE, HERE, lensText, type Lens } from '$engine/worker/lens'
import type { Engine, EngineInfo } from '$engine/worker/protocol'
import type { OpenEngine } from './engine.svelte'
import { withParameter } from './url'

type Elsewhere = Exclude<Lens, { kind: 'here' }>


/**
 * The lens that all slides are looked at through: this device, or the one other machine of the page (what
 * the address asks for, or a datacentre's). The other machine's engine is made when first looked through.
 */
export class LensHost {
  /** Which of the two is looked through now. */
  current = $state.raw<Lens>(HERE)
  /** What the other machine says of itself, once it was asked. */
  info = $state.raw<EngineInfo>()
  readonly elsewhere: Elsewhere
  /** Told of each choice. */
  onchoose: ((side: LensSide) => void) | undefined
  private opened: Promise<OpenEngine> | undefined
  private engine: Engine | undefined

  constructor(
    private readonly create: () => Engine,
    lens: Lens = HERE,
    private readonly readProfile: (name: string) => Promise<unknown> = (name) => fetchProfile(name),
  ) {
    this.current = lens
    this.elsewhere = lens.kind === 'here' ? (DATACENTRE as Elsewhere) : lens
  }

  /** 'here' or 'elsewhere': what experiments and tests tell readings apart by. */
  get side(): LensSide {
    return this.current.kind === 'here' ? 'here' : 'elsewhere'
  }

  /** Name of the other side's machine on the switch: "datacentre" for the default, else what was asked for. */
  get name(): string {
    if (lensText(this.elsewhere) === lensText(DATACENTRE)) return 'datacentre'
    return this.info ? this.info.device.name.split(',')[0]! : this.elsewhere.kind === 'recorded' ? 'recorded' : this.elsewhere.hardware
  }

  /** The other machine's engine. Rejects with EngineError where the lens cannot be looked through. */
  open(): Promise<OpenEngine> {
    return (this.opened ??= this.start().catch((error: unknown) => {
      this.opened = undefined
      throw error
    }))
  }

  /** Looks through the other one; the address follows. */
  choose(side: LensSide): void {
    this.current = side === 'here' ? HERE : this.elsewhere
    const search = withParameter(location.search, 'lens', side === 'here' ? undefined : lensText(this.elsewhere))
    if (search !== location.search) history.replaceState(history.state, '', location.pathname + search + location.hash)
    this.onchoose?.(side)
  }

  close(): void {
    this.engine?.close()
    this.opened = undefined
  }

  private async start(): Promise<OpenEngine> {
    const engine = (this.engine ??= createLensEngine(this.create(), this.elsewhere, this.readProfile))
    const info = await engine.open({ runner: 'auto', slow: 1 })
    this.info = info
    return { engine, info }
  }
}

export type LensSide = 'here' | 'elsewhere'

/** A recorded machine's profile, from the address that assets/ is found from. */
export async function fetchProfile(name: string, site = location.href): Promise<unknown> {
  const response = await fetch(new URL(`assets/profiles/${name}.json`, site))
  if (!response.ok) throw new Error(`the server answered ${response.status} ${response.statusText}`)
  if (!response.headers.get('content-type')?.includes('json')) throw new Error('the server sent something else instead')
  return response.json()
}

const KEY = Symbol('lens')

export function provideLens(host: LensHost): LensHost {
  return setContext(KEY, host)
}

export function useLens(): LensHost {
  return getContext<LensHost>(KEY)
}
