import type { Sampling } from '../runner/runner'

/** What the client did wrong, in the shape that OpenAI's clients know. */
export class ApiError extends Error {
  override name = 'ApiError'

  constructor(
    readonly status: number,
    message: string,
    readonly param: string | null = null,
    readonly code: string | null = null,
    readonly type: 'invalid_request_error' | 'authentication_error' | 'not_found_error' | 'rate_limit_error' | 'server_error' = 'invalid_request_error',
  ) {
    super(message)
  }

  get body(): { error: { message: string; type: string; param: string | null; code: string | null } } {
    return { error: { message: this.message, type: this.type, param: this.param, code: this.code } }
  }
}

export type Prompt = string | readonly number[]

/** A request for text, checked, with all defaults. */
export interface Wanted {
  model: string | undefined
  /** One for each choice of the answer. */
  prompts: readonly Prompt[]
  /** Output tokens at most; undefined: as many as fit. */
  maxTokens: number | undefined
  sampling: Sampling | undefined
  stop: readonly string[]
  ignoreEos: boolean
  stream: boolean
  /** usage at the end of a stream, and with every piece of it. */
  includeUsage: boolean
  usageAlways: boolean
}

export interface ChatMessage {
  role: string
  content: string
}

type Body = Record<string, unknown>

/** Most prompts of one request. */
const MOST_PROMPTS = 64
const MOST_STOPS = 16

/**
 * What would change the text if it were heeded: this server has only temperature and seed. A value that changes
 * nothing is taken, another is an error; nothing is passed over in silence.
 */
const NEUTRAL: Record<string, readonly unknown[]> = {
  n: [1], best_of: [1], top_p: [1], top_k: [-1, 0], min_p: [0], presence_penalty: [0], frequency_penalty: [0], repetition_penalty: [1], length_penalty: [1],
  logprobs: [false, 0], top_logprobs: [0], prompt_logprobs: [0], echo: [false], suffix: [''], use_beam_search: [false], min_tokens: [0], include_stop_str_in_output: [false], skip_special_tokens: [true],
  tools: [], tool_choice: ['none'], functions: [], parallel_tool_calls: [true, false], modalities: [], audio: [], response_format: [], reasoning_effort: ['none'], logit_bias: [], add_special_tokens: [true, false],
}
/** Says nothing about the text. */
const IGNORED = new Set(['user', 'metadata', 'store', 'service_tier', 'safety_identifier', 'prompt_cache_key', 'priority', 'request_id'])
const KNOWN = new Set(['model', 'prompt', 'messages', 'max_tokens', 'max_completion_tokens', 'temperature', 'seed', 'stop', 'stream', 'stream_options', 'ignore_eos'])

/** Body of POST /v1/completions. Throws ApiError naming the parameter. */
export function readCompletion(json: unknown, newSeed: () => number): Wanted {
  const body = object(json)
  check(body, 'messages')
  return { ...common(body, newSeed), maxTokens: whole(body, 'max_tokens', 1) ?? 16, prompts: prompts(body['prompt']) }
}

/** Body of POST /v1/chat/completions; `render` writes a conversation as the model reads it. Throws ApiError. */
export function readChat(json: unknown, newSeed: () => number, render: (messages: readonly ChatMessage[]) => string): Wanted {
  const body = object(json)
  check(body, 'prompt')
  const text = render(messages(body['messages']))
  return { ...common(body, newSeed), maxTokens: whole(body, 'max_completion_tokens', 1) ?? whole(body, 'max_tokens', 1), prompts: [text] }
}

/** Body of POST /tokenize: a text or a conversation. Throws ApiError. */
export function readTokenize(json: unknown, render: (messages: readonly ChatMessage[]) => string): string {
  const body = object(json)
  if (body['messages'] !== undefined) return render(messages(body['messages']))
  if (typeof body['prompt'] !== 'string') throw new ApiError(400, 'prompt must be a text (or give messages).', 'prompt')
  return body['prompt']
}

/** Body of POST /detokenize. Throws ApiError. */
export function readDetokenize(json: unknown): number[] {
  const { tokens } = object(json)
  if (!isIds(tokens)) throw new ApiError(400, 'tokens must be a list of token ids.', 'tokens')
  return tokens
}

function object(json: unknown): Body {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw new ApiError(400, 'The body must be a JSON object.')
  return json as Body
}

function check(body: Body, elsewhere: string): void {
  for (const [key, value] of Object.entries(body)) {
    if (value === null || value === undefined || IGNORED.has(key)) continue
    if (KNOWN.has(key) && key !== elsewhere) continue
    const neutral = Object.hasOwn(NEUTRAL, key) ? NEUTRAL[key] : undefined
    if (!neutral) throw new ApiError(400, `Unrecognized request argument supplied: ${key}`, key)
    if (neutral.includes(value) || isEmpty(value) || (key === 'response_format' && (value as Body)['type'] === 'text')) continue
    throw new ApiError(400, `${key} is not supported here${neutral.length ? `, except ${neutral.map((v) => JSON.stringify(v)).join(' or ')}, which changes nothing` : ''}: this server samples by temperature and seed alone.`, key, 'unsupported_parameter')
  }
}

function isEmpty(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0
}

function common(body: Body, newSeed: () => number): Omit<Wanted, 'prompts' | 'maxTokens'> {
  const temperature = number(body, 'temperature', 0, 100) ?? 1
  const seed = whole(body, 'seed', -(2 ** 53))
  const options = body['stream_options'] == null ? {} : object(body['stream_options'])
  const stream = boolean(body, 'stream')
  if (!stream && body['stream_options'] != null) throw new ApiError(400, 'stream_options is for streams: set stream to true.', 'stream_options')
  return {
    model: body['model'] == null ? undefined : string(body['model'], 'model'),
    sampling: temperature > 0 ? { temperature, seed: (seed ?? newSeed()) >>> 0 } : undefined,
    stop: stops(body['stop']),
    ignoreEos: boolean(body, 'ignore_eos'),
    stream,
    includeUsage: boolean(options, 'include_usage'),
    usageAlways: boolean(options, 'continuous_usage_stats'),
  }
}

function prompts(value: unknown): readonly Prompt[] {
  if (typeof value === 'string') return [value]
  if (isIds(value)) return [value]
  if (Array.isArray(value) && value.length > 0 && value.every((p): p is Prompt => typeof p === 'string' || isIds(p))) {
    if (value.length > MOST_PROMPTS) throw new ApiError(400, `prompt has ${value.length} entries, at most ${MOST_PROMPTS} are taken at once.`, 'prompt')
    return value
  }
  throw new ApiError(400, 'prompt must be a text, a list of token ids, or a list of such.', 'prompt')
}

function isIds(value: unknown): value is number[] {
  return Array.isArray(value) && value.length > 0 && value.every((id) => Number.isSafeInteger(id) && id >= 0)
}

function messages(value: unknown): ChatMessage[] {
  if (!Array.isArray(value) || value.length === 0) throw new ApiError(400, 'messages must be a list with at least one message.', 'messages')
  return value.map((m: unknown, i) => {
    const { role, content } = object(m)
    const at = `messages[${i}]`
    if (typeof role !== 'string') throw new ApiError(400, `${at}.role must be a text.`, `${at}.role`)
    if (typeof content === 'string') return { role, content }
    if (!Array.isArray(content)) throw new ApiError(400, `${at}.content must be a text, or a list of text parts.`, `${at}.content`)
    return {
      role,
      content: content.map((part: unknown, p) => {
        const { type, text } = object(part)
        if (type !== 'text' || typeof text !== 'string') throw new ApiError(400, `${at}.content[${p}] is no text: this server reads text alone.`, `${at}.content[${p}]`)
        return text
      }).join('\n'),
    }
  })
}

function stops(value: unknown): readonly string[] {
  if (value == null) return []
  const list = typeof value === 'string' ? [value] : value
  if (!Array.isArray(list) || !list.every((s): s is string => typeof s === 'string')) throw new ApiError(400, 'stop must be a text or a list of texts.', 'stop')
  if (list.length > MOST_STOPS) throw new ApiError(400, `stop has ${list.length} entries, at most ${MOST_STOPS} are taken.`, 'stop')
  if (list.some((s) => s === '' || s.length > 1000)) throw new ApiError(400, 'stop must hold texts of 1 to 1000 characters.', 'stop')
  return list
}

function number(body: Body, key: string, low: number, high: number): number | undefined {
  const value = body[key]
  if (value == null) return undefined
  if (typeof value !== 'number' || !(value >= low && value <= high)) throw new ApiError(400, `${key} must be a number from ${low} to ${high}.`, key)
  return value
}

function whole(body: Body, key: string, low: number): number | undefined {
  const value = body[key]
  if (value == null) return undefined
  if (!Number.isSafeInteger(value) || (value as number) < low) throw new ApiError(400, `${key} must be a whole number of at least ${low}.`, key)
  return value as number
}

function boolean(body: Body, key: string): boolean {
  const value = body[key] ?? false
  if (typeof value !== 'boolean') throw new ApiError(400, `${key} must be true or false.`, key)
  return value
}

function string(value: unknown, key: string): string {
  if (typeof value !== 'string') throw new ApiError(400, `${key} must be a text.`, key)
  return value
}

export interface Usage {
  prompt_tokens: number
  completion_tokens: number
  total_tokens: number
}

export function usage(prompt: number, completion: number): Usage {
  return { prompt_tokens: prompt, completion_tokens: completion, total_tokens: prompt + completion }
}

export type FinishReason = 'stop' | 'length'

/** The objects of an answer, for one of the two kinds of request. */
export interface Shape {
  /** Before the first token of a choice, where there is such a thing. */
  opening?(index: number): object
  piece(index: number, text: string, finish: FinishReason | null, stopReason: string | null): object
  /** The end of a stream: its usage. */
  tail(usage: Usage): object
  whole(choices: readonly { text: string; finish: FinishReason; stopReason: string | null }[], usage: Usage): object
}

/** `created`: seconds since 1970. */
export function completionShape(id: string, model: string, created: number): Shape {
  const head = { id, object: 'text_completion', created, model }
  const choice = (index: number, text: string, finish_reason: FinishReason | null, stop_reason: string | null) => ({ index, text, logprobs: null, finish_reason, stop_reason })
  return {
    piece: (index, text, finish, by) => ({ ...head, choices: [choice(index, text, finish, by)] }),
    tail: (used) => ({ ...head, choices: [], usage: used }),
    whole: (choices, used) => ({ ...head, choices: choices.map((c, i) => choice(i, c.text, c.finish, c.stopReason)), usage: used }),
  }
}

export function chatShape(id: string, model: string, created: number): Shape {
  const head = { id, object: 'chat.completion.chunk', created, model }
  const choice = (index: number, delta: object, finish_reason: FinishReason | null, stop_reason: string | null) => ({ index, delta, logprobs: null, finish_reason, stop_reason })
  return {
    opening: (index) => ({ ...head, choices: [choice(index, { role: 'assistant', content: '' }, null, null)] }),
    piece: (index, text, finish, by) => ({ ...head, choices: [choice(index, { content: text }, finish, by)] }),
    tail: (used) => ({ ...head, choices: [], usage: used }),
    whole: (choices, used) => ({
      ...head, object: 'chat.completion',
      choices: choices.map((c, index) => ({ index, message: { role: 'assistant', content: c.text, refusal: null }, logprobs: null, finish_reason: c.finish, stop_reason: c.stopReason })),
      usage: used,
    }),
  }
}
