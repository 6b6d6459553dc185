import { Random } from '../serving/random'
import type { Api } from './answer'
import { EndpointError } from './errors'
import { fetchText, type Transport } from './transport'

/** What a prompt is made for. */
export interface PromptRequest {
  id: number
  promptTokens: number
  /** Equal leading numbers mean equal text, for `prefixTokens` tokens each. */
  prefix?: readonly number[]
}

export interface MadePrompt {
  /** Of the request's body: `prompt` or `messages`. */
  fields: { prompt: string | number[] } | { messages: { role: 'user'; content: string }[] }
  tokens: number
}

/** Makes prompts of given lengths. No two begin alike unless their prefixes say so: a prefix cache finds what the scenario put there and nothing else. */
export interface PromptMaker {
  /** exact: the server's own tokenizer says so. estimate: one token a word is assumed. */
  readonly how: 'exact' | 'estimate'
  /** In a sentence. */
  readonly note: string
  make(request: PromptRequest): MadePrompt
}

/** Words that most vocabularies hold as one token with the space before them. */
const WORDS = 'time people way day man world life hand part child eye woman place work week case point company number group problem fact old great little young long right new good high different small large next early important few public bad same able house water room mother area money story month lot study book night home side kind head friend father power hour game line end member law car city name president team minute idea body back face level office door health art war history party result change morning reason research girl guy moment air teacher force education'.split(' ')

/** Words whose repetition is tried at once: a server is asked so many questions at a time. */
const AT_ONCE = 8

export interface PromptOptions {
  transport: Transport
  base: string
  api: Api
  model: string
  headers: Record<string, string>
  seed: number
  /** Tokens that a number of a prefix stands for. */
  prefixTokens: number
  signal: AbortSignal
}

/**
 * Asks the server's /tokenize what a prompt is made of. Where there is one, prompts have exactly the length asked for:
 * token ids for completions, words of one token each for chat. Where there is none, a word is taken for a token.
 */
export async function promptMaker({ transport, base, api, model, headers, seed, prefixTokens, signal }: PromptOptions): Promise<PromptMaker> {
  const tokenize = async (body: object): Promise<number[] | undefined> => {
    try {
      const { status, text } = await fetchText(transport, { method: 'POST', path: `${base}/tokenize`, body: JSON.stringify({ model, ...body }), headers }, signal)
      const tokens = status === 200 ? (JSON.parse(text) as { tokens?: unknown }).tokens : undefined
      return Array.isArray(tokens) && tokens.every((t) => Number.isSafeInteger(t)) ? (tokens as number[]) : undefined
    } catch (error) {
      if (signal.aborted) throw signal.reason
      if (error instanceof EndpointError && error.fault === 'connect') throw error
      return undefined
    }
  }
  const all = await tokenize({ prompt: WORDS.join(' '), add_special_tokens: false })
  if (all && api === 'completions') {
    // Ids that the server's own tokenizer gave: every one is a piece of text, none is special.
    return exact('token ids that the server’s /tokenize gave for plain words', [...new Set(all)], 0, seed, prefixTokens, (ids) => ({ prompt: ids }))
  }
  if (all) {
    const single = await singleWords(WORDS, async (text) => (await tokenize({ prompt: text, add_special_tokens: false }))?.length)
    const chat = async (words: readonly string[]) => (await tokenize({ messages: [{ role: 'user', content: words.join(' ') }], add_generation_prompt: true }))?.length
    const [one, many] = single.length > 4 ? await Promise.all([chat(single.slice(0, 1)), chat(single)]) : []
    // The template's own tokens; the rest must be a token a word, or nothing is exact.
    if (one !== undefined && many === one + single.length - 1) {
      return exact(`words of one token each by the server’s /tokenize, ${one - 1} tokens of its chat template counted`, single, one - 1, seed, prefixTokens, (words) => ({ messages: [{ role: 'user', content: words.join(' ') }] }))
    }
  }
  return {
    ...exact('', WORDS, 0, seed, prefixTokens, (words) => (api === 'completions' ? { prompt: words.join(' ') } : { messages: [{ role: 'user', content: words.join(' ') }] })),
    how: 'estimate',
    note: 'the server has no /tokenize that could be used: prompts are estimated at a token a word, and the server’s own count is taken where it gives one',
  }
}

/** Words that add one token each when they are said again. */
async function singleWords(words: readonly string[], count: (text: string) => Promise<number | undefined>): Promise<string[]> {
  const out: string[] = []
  for (let at = 0; at < words.length; at += AT_ONCE) {
    const group = words.slice(at, at + AT_ONCE)
    const counts = await Promise.all(group.flatMap((w) => [count(`${w} ${w}`), count(Array.from({ length: 6 }, () => w).join(' '))]))
    for (const [i, w] of group.entries()) {
      const [two, six] = [counts[2 * i], counts[2 * i + 1]]
      if (two !== undefined && six === two + 4) out.push(w)
    }
  }
  return out
}

function exact<T>(note: string, units: readonly T[], overhead: number, seed: number, prefixTokens: number, fields: (units: T[]) => MadePrompt['fields']): PromptMaker {
  return {
    how: 'exact',
    note,
    make({ id, promptTokens, prefix = [] }) {
      const length = Math.max(1, promptTokens - overhead)
      const out: T[] = []
      const draw = (stream: number, kind: number, most: number) => {
        const random = new Random(seed + stream * 4 + kind, 99)
        for (let i = 0; i < most && out.length < length; i++) out.push(units[random.below(units.length)]!)
      }
      for (const p of prefix) draw(p, 1, prefixTokens)
      draw(id, 2, length)
      return { fields: fields(out), tokens: length + overhead }
    },
  }
}
