import type { ServeState } from '../serving/serve'
import type { Sampling } from '../runner/runner'
import type { DeviceInfo } from '../trace/provenance'
import type { Event, Milliseconds, RequestRecord, Step } from '../trace/trace'

/** A request as the engine's thread gets it: tokens, not text. Times on the server's clock. */
export interface Ask {
  record: RequestRecord
  prompt: Int32Array
  /** When it was tokenized. */
  queuedAt: Milliseconds
  /** Go on past the end-of-text token. */
  ignoreEos: boolean
  sampling?: Sampling
  /** Texts that end the output; they are not part of it. */
  stop: readonly string[]
}

/** To the engine's thread. */
export type Order =
  | { kind: 'ask'; ask: Ask }
  | { kind: 'cancel'; id: number }
  /** Nobody comes any more: what is inside is served to its end. */
  | { kind: 'close' }
  /** At once; what is inside fails for this reason. */
  | { kind: 'stop'; reason: string }

/** What an engine can do, said once when it is ready. */
export interface EngineFacts {
  model: string
  device: DeviceInfo
  /** Tokens that a request may come to, prompt and output. */
  maxModelLength: number
  maxSequences: number
  maxBatchedTokens: number
  blocks: number
  prefixCache: boolean
}

/** What a step, or a change at the door, came to. */
export interface Update {
  kind: 'update'
  events: Event[]
  steps: Step[]
  state: ServeState
  /** Which of those that finished ended by themselves: by an end-of-text token, or by the stop string. */
  stopped: { id: number; by: string | null }[]
}

/** From the engine's thread. */
export type News =
  | { kind: 'ready'; facts: EngineFacts }
  | Update
  /** All is served, after `close` or `stop`. */
  | { kind: 'closed' }
  /** It could not begin, or cannot go on. */
  | { kind: 'broke'; message: string }
