import { decode, encode, type Params, type Values } from '$components/controls/params'
import { parameterKey } from './slide'
import { parameterIn, withParameter } from './url'

/** Rests this long before the address bar follows: browsers refuse more than about 100 changes in 30 s. */
const WRITE_AFTER_MS = 250

let timer: ReturnType<typeof setTimeout> | undefined
const pending = new Map<string, string | undefined>()

/** A slide's parameters as the page's query has them; wrong ones take their default and say so in `errors`. */
export function readValues<P extends Params>(id: string, params: P): { values: Values<P>; errors: string[] } {
  const strings: Record<string, string> = {}
  for (const name of Object.keys(params)) {
    const text = parameterIn(currentSearch(), parameterKey(id, name))
    if (text !== undefined) strings[name] = text
  }
  const { values, errors } = decode(params, strings)
  return { values, errors: errors.map((e) => `${e.message}.`) }
}

/** Writes what differs from its default into the query, without a new entry in the history. */
export function writeValues<P extends Params>(id: string, params: P, values: Values<P>): void {
  const texts = encode(params, values)
  for (const name of Object.keys(params)) pending.set(parameterKey(id, name), texts[name])
  clearTimeout(timer)
  timer = setTimeout(flush, WRITE_AFTER_MS)
}

/** The query as it will be once what is pending is written. */
function currentSearch(): string {
  let search = location.search
  for (const [key, text] of pending) search = withParameter(search, key, text)
  return search
}

function flush(): void {
  const search = currentSearch()
  pending.clear()
  if (search !== location.search) history.replaceState(history.state, '', location.pathname + search + location.hash)
}
