import { tokensPerIteration } from '../cost/speculation'

/** Walltime gain when each of k drafts is accepted with probability `a` and a draft step takes `c` of a target step (Leviathan et al. 2023, Theorem 3.8). */
export function expectedSpeedup(a: number, k: number, c: number): number {
  return tokensPerIteration(a, k) / (k * c + 1)
}
