import type { RunnerName } from '$engine/trace/provenance'
import { HERE, parseLens, type Lens } from '$engine/worker/lens'

/** What the page's query says about the engine, for all slides. */
export interface PageOptions {
  runner: Exclude<RunnerName, 'endpoint'> | 'auto'
  slow: number
  /** This device, or the machine that was asked for. */
  lens: Lens
  /** The theme for every slide; undefined: each has its own. */
  theme?: 'light' | 'dark'
  /** The talk that this window is the speaker's of: it boots without an engine and shows what the stage tells. */
  speaker?: string
  /** A talk is given from the start. */
  talk: boolean
  /** Recordings from the start, nothing measured. */
  frozen: boolean
  /** A page to read, whatever the window's width. */
  read: boolean
  /** What was asked for and could not be read, in sentences. */
  problems: string[]
}

const RUNNERS: readonly string[] = ['webgpu', 'wasm', 'reference', 'recorded', 'auto']

/** Reads ?runner=, ?slow=, ?lens=, ?theme=, ?talk, ?frozen, ?read and ?speaker=. Bad values are reported in `problems` and replaced by the default. */
export function readOptions(search: string): PageOptions {
  const query = new URLSearchParams(search)
  const problems: string[] = []

  let runner = query.get('runner') ?? 'auto'
  if (!RUNNERS.includes(runner)) {
    problems.push(`There is no runner "${runner}"; it is webgpu, wasm, reference or recorded. The fastest that works here is used.`)
    runner = 'auto'
  }
  let slow = Number(query.get('slow') ?? 1)
  if (!(slow > 0 && Number.isFinite(slow))) {
    problems.push(`slow=${query.get('slow')} is not a positive number. The clock runs at its own speed.`)
    slow = 1
  }
  let lens = HERE
  try {
    lens = parseLens(query.get('lens') ?? 'here')
  } catch (error) {
    problems.push(`${capital((error as Error).message)}. What you see is this device.`)
  }

  const theme = query.get('theme')
  if (theme !== null && theme !== 'light' && theme !== 'dark') problems.push(`There is no theme "${theme}"; it is light or dark.`)

  return {
    runner: runner as PageOptions['runner'],
    slow,
    lens,
    theme: theme === 'light' || theme === 'dark' ? theme : undefined,
    speaker: /^[a-z0-9]{1,36}$/.test(query.get('speaker') ?? '') ? query.get('speaker')! : undefined,
    talk: query.has('talk'),
    frozen: query.has('frozen'),
    read: query.has('read'),
    problems,
  }
}

/**
 * The query with one parameter set, or taken out when it stands at its default. Everything else in the
 * query stays as it was written.
 */
export function withParameter(search: string, key: string, text: string | undefined): string {
  const parts = search.replace(/^\?/, '').split('&').filter((p) => p !== '' && decodeKey(p) !== key)
  if (text !== undefined) parts.push(text === '' && key !== '' ? encodeURIComponent(key) : `${encodeURIComponent(key)}=${encodeURIComponent(text)}`)
  return parts.length ? `?${parts.join('&')}` : ''
}

/** The text of a parameter in the query, undefined when it is not there. */
export function parameterIn(search: string, key: string): string | undefined {
  return new URLSearchParams(search).get(key) ?? undefined
}

const capital = (text: string) => `${text[0]!.toUpperCase()}${text.slice(1)}`

function decodeKey(part: string): string {
  const key = part.split('=', 1)[0]!
  try {
    return decodeURIComponent(key)
  } catch {
    return key
  }
}
