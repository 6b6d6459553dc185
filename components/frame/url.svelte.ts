import { decode, encode, type Params, type Values } from '$components/controls/params'
import { parameterKey, slideNumber } from './slide'
import { parameterIn, withParameter } from './url'

/** Rests this long before the address bar follows: browsers refuse more than about 100 changes in 30 s. */
const WRITE_AFTER_MS = 250

let timer: ReturnType<typeof setTimeout> | undefined
const pending = new Map<string, string | undefined>()

let keyOf = parameterKey

/** On a page of one slide, parameters stand in the query by their plain names. */
export function nameParametersPlainly(): void {
  keyOf = (_id, name) => name
}

/** A slide's parameters as the page's query has them; wrong ones take their default and say so in `errors`. */
export function readValues<P extends Params>(id: string, params: P): { values: Values<P>; errors: string[] } {
  const strings: Record<string, string> = {}
  for (const name of Object.keys(params)) {
    const text = parameterIn(pageSearch(), keyOf(id, name))
    if (text !== undefined) strings[name] = text
  }
  const { values, errors } = decode(params, strings)
  return { values, errors: errors.map((e) => `${e.message}.`) }
}

type Listener = (name: string, text: string | undefined) => void
/** By slide number: who wants to know what another slide set for it. */
const listeners = new Map<number, Set<Listener>>()

/**
 * Writes what differs from its default into the query, without a new entry in the history. What moved and is shared is
 * written for the slides that share it as well, and they are told; `alone`: for this slide only.
 */
export function writeValues<P extends Params>(id: string, params: P, values: Values<P>, alone = false): void {
  const texts = encode(params, values)
  const search = pageSearch()
  const told: [number, string][] = []
  for (const [name, p] of Object.entries(params)) {
    const key = keyOf(id, name)
    // On a page of one slide nobody shares anything.
    if (!alone && keyOf === parameterKey && p.shared && parameterIn(search, key) !== texts[name]) {
      for (const other of p.shared) if (other !== slideNumber(id)) {
        pending.set(`${other}.${name}`, texts[name])
        told.push([other, name])
      }
    }
    pending.set(key, texts[name])
  }
  clearTimeout(timer)
  timer = setTimeout(flush, WRITE_AFTER_MS)
  for (const [other, name] of told) for (const tell of listeners.get(other) ?? []) tell(name, texts[name])
}

/** Writes one parameter of a slide that is not built: it finds it there when it is. */
export function writeText(id: string, name: string, text: string): void {
  pending.set(parameterKey(id, name), text)
  clearTimeout(timer)
  timer = setTimeout(flush, WRITE_AFTER_MS)
}

/** Calls back with what other slides set for slide `id` (undefined: its default); returns how to stop. */
export function onShared(id: string, listener: Listener): () => void {
  const number = slideNumber(id)
  const all = listeners.get(number) ?? new Set()
  listeners.set(number, all.add(listener))
  return () => void all.delete(listener)
}

/** Texts of a slide's parameters that differ from their defaults, by name, as the deck's query has them. */
export function textsOf(id: string): Record<string, string> {
  const prefix = parameterKey(id, '')
  return Object.fromEntries([...new URLSearchParams(pageSearch())].flatMap(([key, text]) => (key.startsWith(prefix) ? [[key.slice(prefix.length), text]] : [])))
}

/** The query as it will be once what is pending is written. */
export function pageSearch(): string {
  let search = location.search
  for (const [key, text] of pending) search = withParameter(search, key, text)
  return search
}

function flush(): void {
  const search = pageSearch()
  pending.clear()
  if (search !== location.search) history.replaceState(history.state, '', location.pathname + search + location.hash)
}
