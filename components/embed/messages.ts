/**
 * What an embed and the page around it say to each other. All of it is versioned and of a fixed shape: whatever
 * else arrives is not heard.
 */
export const SOURCE = 'token-expressway'
export const VERSION = 1

interface Head {
  source: typeof SOURCE
  version: typeof VERSION
}

/** From the frame to the page around it. `size` is for any page: it has to make room. `state` is for the page that was named as trusted. */
export type FrameMessage =
  | (Head & { type: 'size'; height: number })
  | (Head & { type: 'state'; slide: string; parameters: Record<string, string>; shows: Shows })

/** Where what is on the slide comes from. */
export type Shows = 'recorded' | 'here' | 'elsewhere'

/** From the trusted page to the frame. */
export type HostMessage =
  | (Head & { type: 'set'; parameters: Record<string, string> })
  | (Head & { type: 'start' })

type Body<T> = T extends unknown ? Omit<T, keyof Head> : never

/** A message as it is sent. */
export function message<T extends FrameMessage | HostMessage>(body: Body<T>): T {
  return { source: SOURCE, version: VERSION, ...body } as unknown as T
}

/** No slide is taller, in CSS pixels. */
const TALLEST = 20_000
const MOST_PARAMETERS = 32
const LONGEST = 200
const NAME = /^[a-z][a-z0-9_]{0,39}$/

/** What the frame said; undefined for anything else. */
export function readFrameMessage(data: unknown): FrameMessage | undefined {
  const m = headed(data)
  if (m?.['type'] === 'size') {
    const { height } = m
    return typeof height === 'number' && height > 0 && height <= TALLEST ? message<FrameMessage>({ type: 'size', height }) : undefined
  }
  if (m?.['type'] === 'state') {
    const parameters = texts(m['parameters'])
    const { slide, shows } = m
    if (!parameters || typeof slide !== 'string' || !/^\d\d_[a-z0-9_]{1,40}$/.test(slide)) return undefined
    return shows === 'recorded' || shows === 'here' || shows === 'elsewhere' ? message<FrameMessage>({ type: 'state', slide, parameters, shows }) : undefined
  }
  return undefined
}

/** What the page around it said; undefined for anything else. */
export function readHostMessage(data: unknown): HostMessage | undefined {
  const m = headed(data)
  if (m?.['type'] === 'start') return message<HostMessage>({ type: 'start' })
  if (m?.['type'] !== 'set') return undefined
  const parameters = texts(m['parameters'])
  return parameters && message<HostMessage>({ type: 'set', parameters })
}

function headed(data: unknown): Record<string, unknown> | undefined {
  if (typeof data !== 'object' || data === null) return undefined
  const m = data as Record<string, unknown>
  return m['source'] === SOURCE && m['version'] === VERSION ? m : undefined
}

/** A copy, so that what was checked is what is used. */
function texts(value: unknown): Record<string, string> | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  const all = Object.entries(value)
  if (all.length > MOST_PARAMETERS) return undefined
  const copy: Record<string, string> = {}
  for (const [name, text] of all) {
    if (!NAME.test(name) || typeof text !== 'string' || text.length > LONGEST) return undefined
    copy[name] = text
  }
  return copy
}

/** The origin a frame trusts, as its address names it: exactly one http or https origin, else nobody. */
export function trustedOrigin(text: string | null): string | undefined {
  if (text === null) return undefined
  try {
    const { origin, protocol } = new URL(text)
    return (protocol === 'https:' || protocol === 'http:') && origin === text ? origin : undefined
  } catch {
    return undefined
  }
}
