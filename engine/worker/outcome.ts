import { ScenarioError } from '../serving/scenario'
import { EngineError } from './protocol'

/** What crosses the wall: errors as data (Comlink drops their code), aborts by name. */
export type Outcome<T> = { value: T } | { error: { message: string; code: EngineError['code'] } } | { aborted: true }

/** Runs something and says what became of it, on the worker's side. */
export async function outcome<T>(run: () => Promise<T>): Promise<Outcome<T>> {
  try {
    return { value: await run() }
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') return { aborted: true }
    const code = error instanceof EngineError ? error.code : error instanceof ScenarioError || error instanceof RangeError ? 'scenario' : 'internal'
    return { error: { message: error instanceof Error ? error.message : String(error), code } }
  }
}

/** The page's side: the value, or the error as it was thrown. */
export function settle<T>(outcome: Outcome<T>): T {
  if ('value' in outcome) return outcome.value
  if ('aborted' in outcome) throw new DOMException('The run was cancelled.', 'AbortError')
  throw new EngineError(outcome.error.message, outcome.error.code)
}

export function aborted(signal: AbortSignal | undefined): Promise<never> {
  return new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason), { once: true }))
}
