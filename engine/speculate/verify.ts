import { distribution, drawFrom, normalize } from './distribution'
import type { Draft } from './draft'

export interface Verdict {
  /** Indices of the accepted drafts, each the successor of the one before. */
  path: number[]
  /** Their tokens, and the one that the target adds by itself. */
  tokens: number[]
}

/**
 * Greedy: follows the drafts as long as one of them is what the target says. `said[0]` is the target's token
 * after the text, `said[1 + i]` the one after draft i. The result is the target's own greedy text.
 */
export function verifyGreedy({ tokens, parents }: Draft, said: ArrayLike<number>): Verdict {
  const path: number[] = []
  for (let at = -1; ; ) {
    const next = said[at + 1]!
    const child = tokens.findIndex((token, i) => parents[i] === at && token === next)
    if (child < 0) return { path, tokens: [...path.map((i) => tokens[i]!), next] }
    path.push((at = child))
  }
}

/**
 * Sampling without loss: whatever was drafted, the tokens are distributed as the target's own (Leviathan et
 * al. 2023, Appendix A.1; for siblings drawn without replacement Jeon et al. 2024). `logits(0)` is the target's row
 * after the text, `logits(1 + i)` the one after draft i. Each child x in turn is accepted with probability
 * min(1, p(x) / q(x)); a rejected one leaves p ← max(p − q, 0), made whole again. Drafts that were chosen, not
 * drawn, have q(x) = 1.
 */
export function verifySampled({ tokens, parents, drawnFrom }: Draft, logits: (row: number) => Float32Array, temperature: number, draws: () => number): Verdict {
  const path: number[] = []
  for (let at = -1; ; ) {
    let p = distribution(logits(at + 1), temperature)
    let accepted = -1
    for (let i = at + 1; i < tokens.length && accepted < 0; i++) {
      if (parents[i] !== at) continue
      const x = tokens[i]!
      const q = drawnFrom?.[i]
      if (draws() * (q ? q[x]! : 1) < p[x]!) accepted = i
      else p = rest(p, q, x)
    }
    if (accepted < 0) return { path, tokens: [...path.map((i) => tokens[i]!), drawFrom(p, draws())] }
    path.push((at = accepted))
  }
}

/** max(p − q, 0) made whole again. Nothing is left only where p = q to the last bit, and then nothing was rejected but by rounding. */
function rest(p: Float64Array, q: Float64Array | undefined, x: number): Float64Array {
  const left = p.map((v, i) => Math.max(v - (q ? q[i]! : i === x ? 1 : 0), 0))
  return normalize(left) ?? p
}
