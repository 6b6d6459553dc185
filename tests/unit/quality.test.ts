import { expect, test } from 'vitest'
import { commonTokens, divergence } from '$engine/measure/quality'

test('divergence of two coins, by hand; none from itself', () => {
  const logits = (...p: number[]) => Float32Array.from(p, (x) => Math.log(x) + 3) // a constant more changes nothing
  const exact = Float32Array.from([...logits(0.5, 0.5), ...logits(0.9, 0.1)])
  const other = Float32Array.from([...logits(0.25, 0.75), ...logits(0.9, 0.1)])
  const { kl, agreement } = divergence(exact, other, 2)
  expect(kl).toBeCloseTo((0.5 * Math.log(0.5 / 0.25) + 0.5 * Math.log(0.5 / 0.75)) / 2, 6)
  expect(agreement).toBe(0.5)
  expect(divergence(exact, exact, 2)).toEqual({ kl: 0, agreement: 1 })
  expect(() => divergence(exact, other.subarray(2), 2)).toThrow('do not belong')
})

test('two continuations have in common what comes before the first difference', () => {
  expect(commonTokens([1, 2, 3], [1, 2, 4])).toBe(2)
  expect(commonTokens([1, 2], [1, 2, 4])).toBe(2)
  expect(commonTokens([5], [6])).toBe(0)
})
