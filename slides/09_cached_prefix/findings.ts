import { FORMULAS, measured } from '$components/frame/measured'
import type { Prompt } from '$components/motif/prefix-tree'
import { percentile, perRequest } from '$engine/trace/metrics'
import type { Quantity } from '$engine/trace/quantity'
import type { Trace } from '$engine/trace/trace'
import type { PrefixReading, Served } from './experiment'

/** What providers ask for writing to and reading from a prompt cache, in prices of an input token (REFERENCE §5). */
export const PRICES = { write: 1.25, read: 0.1, source: 'providers’ price lists', conditions: 'write 1.25×, read 0.1× of the input price' } as const
/** Seconds between two users on average, arriving at random. */
export const GAP_S = 60

const PRICE = String.raw`h\,(0.1\,c + n - c) + (1 - h)(1.25\,c + n - c),\quad h = 1 - e^{-\mathrm{TTL}/\text{gap}}`

export interface Findings {
  cold: Quantity
  /** Median of those who came later; undefined before the second. */
  warm?: Quantity
  /** Cold over warm. */
  shorter?: Quantity
  /** Tokens found by the last user, and those of the prompt. */
  found: Quantity
  prompt: Quantity
  /** Price of a prompt against one without a cache, at this time to live. */
  price?: Quantity
  tpot?: Quantity
  rate?: Quantity
}

export function findings({ users }: PrefixReading, ttlS: number): Findings | undefined {
  const [first, ...later] = users
  const last = users.at(-1)
  const coldMs = first && ttftOf(first.trace)
  if (!first || !last || coldMs === undefined) return undefined
  const warm = later.flatMap((u) => ttftOf(u.trace) ?? [])
  const median = warm.length ? percentile(warm, 50) : undefined
  const n = last.trace.requests[0]!.promptTokens
  const cached = cachedOf(last.trace)
  const rate = perRequest(last.trace)[0]?.tpot
  return {
    cold: measured(first.trace, 'cold_ttft', coldMs, 'ms', { formula: FORMULAS.ttft }),
    warm: median === undefined ? undefined : measured(last.trace, 'warm_ttft', median, 'ms', { formula: FORMULAS.ttft, samples: warm }),
    shorter: median === undefined ? undefined : measured(last.trace, 'cold_over_warm', coldMs / median, '×'),
    found: measured(last.trace, 'cached_tokens', cached, 'tok'),
    prompt: measured(last.trace, 'prompt_tokens', n, 'tok'),
    price: warm.length ? priceOf(cached, n, ttlS) : undefined,
    rate: rate === undefined ? undefined : measured(last.trace, 'decode_rate', 1000 / rate, 'tok/s'),
  }
}

/** In prices of an uncached prompt of n tokens, of which c are found while they are kept. */
export function priceOf(c: number, n: number, ttlS: number): Quantity {
  const hit = 1 - Math.exp(-ttlS / GAP_S)
  const value = (hit * (PRICES.read * c + n - c) + (1 - hit) * (PRICES.write * c + n - c)) / n
  return {
    metric: 'prompt_price', value: 100 * value, unit: '%', formula: PRICE, note: `a user every ${GAP_S} s on average`,
    provenance: { how: 'published', source: PRICES.source, conditions: PRICES.conditions },
  }
}

export function ttftOf(trace: Trace): number | undefined {
  return perRequest(trace)[0]?.ttft
}

export function cachedOf(trace: Trace): number {
  return trace.events.reduce((n, e) => n + (e.kind === 'cached' ? e.count! : 0), 0)
}

/** What each user's prompt was made of, in tokens: a part ends with the token that holds its last character. */
export function promptsOf(users: readonly Served[]): Prompt[] {
  return users.map(({ parts, trace }) => {
    const texts = trace.requests[0]!.promptTexts ?? []
    let at = 0
    let read = 0
    let end = 0
    const segments = parts.map(({ key, label, text }) => {
      end += text.length
      const from = at
      for (; at < texts.length && read < end; at++) read += texts[at]!.length
      return { key, label, tokens: at - from }
    })
    return { segments }
  })
}
