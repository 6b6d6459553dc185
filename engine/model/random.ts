/** PCG-RXS-M-XS 32 (O'Neill 2014): a bijection on 32-bit words that scrambles well. The same arithmetic stands in the kernels. */
export function pcg(value: number): number {
  const state = (Math.imul(value, 747796405) + 2891336453) >>> 0
  const word = Math.imul((state >>> ((state >>> 28) + 4)) ^ state, 277803737) >>> 0
  return ((word >>> 22) ^ word) >>> 0
}
