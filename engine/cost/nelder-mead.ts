/**
 * Minimises f from `start` by the downhill simplex (Nelder & Mead 1965): no derivatives, a few hundred
 * evaluations for a handful of parameters. Each parameter's first step is 15 % of its value.
 */
export function nelderMead(f: (x: readonly number[]) => number, start: readonly number[], iterations: number): { x: number[]; value: number } {
  const n = start.length
  const evaluate = (x: number[]) => ({ x, value: f(x) })
  let simplex = [evaluate([...start]), ...start.map((_, i) => evaluate(start.map((v, j) => (i === j ? v * 1.15 : v))))]
  for (let i = 0; i < iterations; i++) {
    simplex.sort((a, b) => a.value - b.value)
    const best = simplex[0]!
    const worst = simplex[n]!
    const centre = start.map((_, j) => simplex.slice(0, n).reduce((sum, p) => sum + p.x[j]!, 0) / n)
    const along = (k: number) => evaluate(centre.map((c, j) => c + k * (worst.x[j]! - c)))
    const reflected = along(-1)
    if (reflected.value < best.value) {
      const expanded = along(-2)
      simplex[n] = expanded.value < reflected.value ? expanded : reflected
    } else if (reflected.value < simplex[n - 1]!.value) {
      simplex[n] = reflected
    } else {
      const contracted = along(reflected.value < worst.value ? -0.5 : 0.5)
      if (contracted.value < Math.min(reflected.value, worst.value)) simplex[n] = contracted
      else simplex = simplex.map((p, j) => (j === 0 ? p : evaluate(p.x.map((v, k) => (v + best.x[k]!) / 2))))
    }
  }
  return simplex.reduce((a, b) => (b.value < a.value ? b : a))
}
