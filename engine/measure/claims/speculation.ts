import { tokensPerIteration } from '../../cost/speculation'

/**
 * Speculative decoding in closed form (Leviathan et al. 2023): every draft token is accepted with the
 * same probability, independently of the others.
 */

export { tokensPerIteration }

/** Speed-up over plain decoding when a draft step costs `cost` target steps. */
export function speedUp(acceptance: number, drafts: number, cost: number): number {
  return tokensPerIteration(acceptance, drafts) / (drafts * cost + 1)
}

/** The acceptance at which an iteration yields `tokens`. Throws RangeError outside 1 … drafts + 1. */
export function acceptanceFor(tokens: number, drafts: number): number {
  if (!(tokens >= 1 && tokens <= drafts + 1)) throw new RangeError(`${drafts} drafts yield between 1 and ${drafts + 1} tokens, not ${tokens}`)
  let low = 0
  let high = 1
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2
    if (tokensPerIteration(middle, drafts) < tokens) low = middle
    else high = middle
  }
  return low
}
