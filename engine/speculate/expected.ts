/**
 * Tokens per verification when each of `k` drafts in a row is accepted with probability `a` independently
 * (Leviathan et al. 2023, eq. 1): (1 − a^(k+1)) / (1 − a).
 */
export function expectedTokens(a: number, k: number): number {
  return a === 1 ? k + 1 : (1 - a ** (k + 1)) / (1 - a)
}

/** Walltime gain when a draft step takes `c` of a target step (Theorem 3.8): expected tokens / (k·c + 1). */
export function expectedSpeedup(a: number, k: number, c: number): number {
  return expectedTokens(a, k) / (k * c + 1)
}
