/**
 * Least squares with no coefficient below 0 (a step never takes less for more work): of all subsets of
 * columns, the best whose own solution is not negative. `rows` (m, k) with k ≤ 8, `targets` (m), `weights`
 * (m) multiply the squared errors. A column of zeros gets 0. Throws RangeError where there are no rows.
 */
export function leastSquares(rows: readonly (readonly number[])[], targets: readonly number[], weights: readonly number[]): number[] {
  const k = rows[0]?.length
  if (k === undefined) throw new RangeError('a fit needs at least one measurement')
  // Columns of like size: the normal equations of ms and of token counts would lose half their digits.
  const scale = Array.from({ length: k }, (_, j) => Math.sqrt(rows.reduce((s, r, i) => s + weights[i]! * r[j]! ** 2, 0)) || 1)
  const a = (i: number, j: number) => rows[i]![j]! / scale[j]!
  const sum = (f: (i: number) => number) => rows.reduce((s, _, i) => s + weights[i]! * f(i), 0)
  const gram = Array.from({ length: k }, (_, p) => Array.from({ length: k }, (_, q) => sum((i) => a(i, p) * a(i, q))))
  const right = Array.from({ length: k }, (_, p) => sum((i) => a(i, p) * targets[i]!))
  let best: number[] | undefined
  let least = Infinity
  for (let subset = 1; subset < 1 << k; subset++) {
    const columns = Array.from({ length: k }, (_, j) => j).filter((j) => subset & (1 << j))
    const x = solve(columns.map((p) => columns.map((q) => gram[p]![q]!)), columns.map((p) => right[p]!))
    if (!x || x.some((v) => v < 0)) continue
    const full = new Array<number>(k).fill(0)
    for (const [i, j] of columns.entries()) full[j] = x[i]! / scale[j]!
    const loss = sum((i) => (rows[i]!.reduce((s, v, j) => s + v * full[j]!, 0) - targets[i]!) ** 2)
    if (loss < least) [best, least] = [full, loss]
  }
  return best ?? new Array<number>(k).fill(0)
}

/** Gauss with partial pivoting; undefined for a singular matrix. */
function solve(matrix: number[][], right: number[]): number[] | undefined {
  const n = right.length
  const m = matrix.map((row, i) => [...row, right[i]!])
  for (let c = 0; c < n; c++) {
    const pivot = m.slice(c).reduce((best, row, i) => (Math.abs(row[c]!) > Math.abs(m[best]![c]!) ? c + i : best), c)
    if (Math.abs(m[pivot]![c]!) < 1e-9) return undefined
    ;[m[c], m[pivot]] = [m[pivot]!, m[c]!]
    for (let r = 0; r < n; r++) {
      if (r === c) continue
      const f = m[r]![c]! / m[c]![c]!
      for (let j = c; j <= n; j++) m[r]![j]! -= f * m[c]![j]!
    }
  }
  return m.map((row, i) => row[n]! / row[i]!)
}
