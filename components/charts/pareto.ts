/**
 * Indices of the points that no other beats: at least as good in all dimensions and better in one (Pareto).
 * `better[d]` says which way is good. Points with a missing dimension (NaN) are never on the edge.
 */
export function paretoEdge(points: readonly (readonly number[])[], better: readonly ('low' | 'high')[]): number[] {
  const good = points.map((p) => p.map((v, d) => (better[d] === 'low' ? -v : v)))
  const beats = (a: readonly number[], b: readonly number[]) => a.every((v, d) => v >= b[d]!) && a.some((v, d) => v > b[d]!)
  return points.flatMap((p, i) => (p.every(Number.isFinite) && !good.some((other, j) => j !== i && beats(other, good[i]!)) ? [i] : []))
}
