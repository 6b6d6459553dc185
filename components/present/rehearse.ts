import type { Talk } from './talk.svelte'

/** A slide that takes longer is left. */
const PATIENCE_MS = 120_000
const LOOK_EVERY_MS = 200
/** Long enough for a slide to be fetched and to ask for its experiment. */
const BUILT_WITHIN_MS = 8_000

/**
 * Goes through all slides, waits for each to be measured as it is set, and comes back. Gives the ids of those that
 * were not; a slide without an experiment has nothing to wait for. Rejects when it is stopped.
 */
export async function rehearse(talk: Talk, signal: AbortSignal, onProgress: (done: number, doing: string) => void): Promise<string[]> {
  const begun = talk.slide
  const missed: string[] = []
  try {
    for (const [i, { id, headline }] of talk.deck.entries()) {
      onProgress(i / talk.deck.length, headline)
      talk.go(id)
      if (!(await until(() => talk.handle(id) !== undefined, BUILT_WITHIN_MS, signal))) continue
      if (!(await until(() => talk.handle(id)?.settled === true, PATIENCE_MS, signal)) || talk.handle(id)?.failed) missed.push(id)
    }
  } finally {
    talk.go(begun)
  }
  return missed
}

async function until(is: () => boolean, withinMs: number, signal: AbortSignal): Promise<boolean> {
  for (const end = performance.now() + withinMs; performance.now() < end;) {
    signal.throwIfAborted()
    if (is()) return true
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
  }
  return is()
}
