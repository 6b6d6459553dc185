import { chain, NOTHING, type Ask, type Draft, type Speculator } from './draft'

/** Words that have to match: the longest of these first. */
const LONGEST = 3

/**
 * Prompt lookup (Saxena 2023): what followed the last occurrence of the text's last few tokens is likely to
 * follow again. Needs no model and costs no step.
 */
export class Lookup implements Speculator {
  constructor(private readonly k: number) {}

  wants(): number {
    return this.k
  }

  draft(asks: readonly Ask[]): Promise<Draft[]> {
    return Promise.resolve(asks.map(({ text, most }) => lookup(text, Math.min(this.k, most))))
  }

  learn(): void {}
  release(): void {}
}

/** The `k` tokens after the latest earlier occurrence of the longest ending, of three tokens to one, that occurs before. */
export function lookup(text: readonly number[], k: number): Draft {
  for (let n = Math.min(LONGEST, text.length - 1); n >= 1; n--) {
    const end = text.length - n
    for (let at = end - 1; at >= 0; at--) {
      let same = 0
      while (same < n && text[at + same] === text[end + same]) same++
      if (same === n) return chain(text.slice(at + n, at + n + k))
    }
  }
  return NOTHING
}
