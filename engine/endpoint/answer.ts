import { EndpointError, quoted } from './errors'

export type Api = 'completions' | 'chat'

/** What one event of a stream says. */
export interface Piece {
  /** Output text; '' for a token that has none (yet). Absent: no token in it. */
  text?: string
  finish?: string
  usage?: { prompt?: number; completion?: number }
}

/** The end of a stream, as it is said. */
export const DONE = '[DONE]'

/** Reads the data of an event. Throws EndpointError for what is no answer, and for an error that the server tells. */
export function readPiece(data: string, api: Api): Piece {
  let json: unknown
  try {
    json = JSON.parse(data)
  } catch (cause) {
    throw new EndpointError('garbage', `an event that is not JSON: ${quoted(data, 80)}`, { cause })
  }
  if (!isObject(json)) throw new EndpointError('garbage', `an event that is no object: ${quoted(data, 80)}`)
  if (json['error'] != null) throw new EndpointError('server', errorText(json['error']))
  const piece: Piece = {}
  const { usage, choices } = json
  if (isObject(usage)) piece.usage = { prompt: count(usage['prompt_tokens']), completion: count(usage['completion_tokens']) }
  if (choices === undefined && piece.usage) return piece
  if (!Array.isArray(choices)) throw new EndpointError('garbage', `an event without choices: ${quoted(data, 80)}`)
  const choice: unknown = choices[0]
  if (choice === undefined) return piece
  if (!isObject(choice)) throw new EndpointError('garbage', `a choice that is no object: ${quoted(data, 80)}`)
  if (typeof choice['finish_reason'] === 'string') piece.finish = choice['finish_reason']
  const text = textOf(choice, api)
  // The event that says the end often has no token; one that opens a turn has none either.
  if (text !== undefined && (text !== '' || piece.finish === undefined)) piece.text = text
  return piece
}

function textOf(choice: Record<string, unknown>, api: Api): string | undefined {
  if (api === 'completions') return typeof choice['text'] === 'string' ? choice['text'] : undefined
  const { delta } = choice
  if (!isObject(delta)) return undefined
  // What a reasoning model thinks is output too.
  const text = [delta['content'], delta['reasoning_content'], delta['reasoning']].find((t) => typeof t === 'string' && t !== '') ?? delta['content']
  if (typeof text !== 'string') return undefined
  return text === '' && 'role' in delta ? undefined : text
}

/** What a server says about a failure: OpenAI's shape, or whatever it sent. */
export function errorText(error: unknown): string {
  if (typeof error === 'string') return quoted(error)
  if (isObject(error)) {
    if (isObject(error['error']) || typeof error['error'] === 'string') return errorText(error['error'])
    for (const key of ['message', 'detail']) if (typeof error[key] === 'string') return quoted(error[key])
  }
  return quoted(JSON.stringify(error) ?? 'nothing')
}

function count(value: unknown): number | undefined {
  return Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : undefined
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
