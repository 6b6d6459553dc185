import type { Pixel } from './geometry'

/** The triangle's corners in px: top, lower left, lower right; equilateral and as large as the box allows. */
export function corners(box: { left: number; right: number; top: number; bottom: number }): [Pixel, Pixel, Pixel] {
  const side = Math.min(box.right - box.left, ((box.bottom - box.top) * 2) / Math.sqrt(3))
  const high = (side * Math.sqrt(3)) / 2
  const middle = (box.left + box.right) / 2
  const top = (box.top + box.bottom - high) / 2
  return [{ x: middle, y: top }, { x: middle - side / 2, y: top + high }, { x: middle + side / 2, y: top + high }]
}

/** Where three shares stand: at a corner with all of one, in the middle with equal ones. */
export function ternary(shares: readonly [number, number, number], [a, b, c]: readonly [Pixel, Pixel, Pixel]): Pixel {
  const sum = shares[0] + shares[1] + shares[2]
  if (!(sum > 0) || shares.some((s) => s < 0)) throw new RangeError(`${shares.join(', ')} are no shares of a whole`)
  const mix = (k: 'x' | 'y') => (shares[0] * a[k] + shares[1] * b[k] + shares[2] * c[k]) / sum
  return { x: mix('x'), y: mix('y') }
}

/**
 * How good each thing is in each of three respects, 0 (worst of these) … 1 (best of these), on a logarithmic
 * scale, as costs and times are compared by ratio. A respect in which all are alike counts as middling. `among`: what
 * they are the best and worst of, where that is more than themselves.
 */
export function goodness(values: readonly (readonly [number, number, number])[], better: readonly ['low' | 'high', 'low' | 'high', 'low' | 'high'], among = values): [number, number, number][] {
  const range = [0, 1, 2].map((d) => {
    const logs = [...values, ...among].map((v) => Math.log(v[d]!))
    return [Math.min(...logs), Math.max(...logs)] as const
  })
  return values.map((v) => [0, 1, 2].map((d) => {
    const [from, to] = range[d]!
    if (to - from < 1e-12) return 0.5
    const way = (Math.log(v[d]!) - from) / (to - from)
    return better[d] === 'low' ? 1 - way : way
  }) as [number, number, number])
}
