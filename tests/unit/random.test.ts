import { describe, expect, test } from 'vitest'
import { Random } from '$engine/serving/random'
import { batchMeans, studentT975 } from '$engine/serving/statistics'

const N = 100_000

function moments(draw: () => number): { mean: number; cv: number } {
  let sum = 0
  let squares = 0
  for (let i = 0; i < N; i++) {
    const x = draw()
    sum += x
    squares += x * x
  }
  const mean = sum / N
  return { mean, cv: Math.sqrt(squares / N - mean * mean) / mean }
}

describe('random numbers', () => {
  test.each([0.2, 0.7, 1, 2, 4])('gamma, lognormal and hyperexponential have mean 1 and cv %f', (cv) => {
    const r = new Random(11)
    const draws = [() => r.gamma(cv), () => r.lognormal(cv), ...(cv >= 1 ? [() => r.hyperexponential(cv)] : [])]
    for (const [i, draw] of draws.entries()) {
      const m = moments(draw)
      // Four standard errors of the mean; the cv of a heavy tail converges slowly.
      expect(Math.abs(m.mean - 1), `draw ${i}`).toBeLessThan((4 * cv) / Math.sqrt(N))
      expect(Math.abs(m.cv / cv - 1), `draw ${i}`).toBeLessThan(i === 1 && cv > 1 ? 0.35 : 0.06)
    }
  })
  test('the exponential’s tail is exponential', () => {
    const r = new Random(5)
    let beyond = 0
    for (let i = 0; i < N; i++) if (r.exponential() > 3) beyond++
    expect(Math.abs(beyond / N - Math.exp(-3))).toBeLessThan(4 * Math.sqrt(Math.exp(-3) / N))
  })
  test('the same seed draws the same; seeds and streams are uncorrelated', () => {
    const draw = (seed: number, stream = 0) => {
      const r = new Random(seed, stream)
      return Array.from({ length: 2000 }, () => r.uniform() - 0.5)
    }
    expect(draw(7)).toEqual(draw(7))
    const a = draw(7)
    for (const b of [draw(8), draw(7, 1), draw(7 + 2 ** 32)]) {
      const correlation = a.reduce((s, x, i) => s + x * b[i]!, 0) / 2000 / (1 / 12)
      expect(Math.abs(correlation)).toBeLessThan(4 / Math.sqrt(2000))
    }
  })
})

describe('intervals', () => {
  test('Student’s t, against the tables', () => {
    for (const [degrees, t] of [[6, 2.447], [10, 2.228], [24, 2.064], [29, 2.045], [1e6, 1.96]] as const) expect(Math.abs(studentT975(degrees) - t)).toBeLessThan(0.0015)
  })
  test('95 % intervals of a correlated series hold the truth about 95 times in 100', () => {
    // AR(1) with φ = 0.8 and mean 3: neighbouring values are far from independent.
    let held = 0
    for (let seed = 0; seed < 200; seed++) {
      const r = new Random(seed)
      let x = 0
      const values = Float64Array.from({ length: 5000 }, () => 3 + (x = 0.8 * x + r.normal()))
      const [low, high] = batchMeans(values).interval
      if (low <= 3 && 3 <= high) held++
    }
    expect(held).toBeGreaterThan(180)
    expect(held).toBeLessThan(199)
  })
  test('too few observations: a mean without an interval, nothing: an error', () => {
    expect(batchMeans([1, 2, 3])).toEqual({ mean: 2, interval: [NaN, NaN] })
    expect(() => batchMeans([])).toThrow('no observations')
  })
})
