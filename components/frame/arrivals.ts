import { pcg } from '$engine/model/random'

/** Uniform in (0, 1) from a seed; each call the next of one stream (PCG output hash of a counter). */
export function stream(seed: number): () => number {
  const base = pcg(seed >>> 0)
  let counter = 0
  return () => (pcg((base + counter++) >>> 0) + 0.5) / 2 ** 32
}

/** A standard normal by Box and Muller (1958). */
function normal(uniform: () => number): number {
  return Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform())
}

/** Gamma with this shape and scale 1 (Marsaglia and Tsang 2000); shapes below 1 by their boost. */
export function gamma(shape: number, uniform: () => number): number {
  if (!(shape > 0)) throw new RangeError(`a gamma's shape must be positive, got ${shape}`)
  if (shape < 1) return gamma(shape + 1, uniform) * uniform() ** (1 / shape)
  const d = shape - 1 / 3
  const c = 1 / Math.sqrt(9 * d)
  for (;;) {
    const x = normal(uniform)
    const v = (1 + c * x) ** 3
    if (v > 0 && Math.log(uniform()) < 0.5 * x * x + d - d * v + d * Math.log(v)) return d * v
  }
}

/**
 * Arrival times, ms: gaps are gamma distributed with the given mean and coefficient of variation
 * (1: Poisson; more: bursts; less: a metronome). The first request arrives at 0.
 */
export function gammaArrivals(count: number, ratePerSecond: number, cv: number, seed: number): number[] {
  if (!(ratePerSecond > 0)) throw new RangeError(`a rate must be positive, got ${ratePerSecond} req/s`)
  const uniform = stream(seed)
  const shape = 1 / cv ** 2
  const scale = 1000 / (ratePerSecond * shape)
  let t = 0
  return Array.from({ length: count }, (_, i) => (t += i === 0 ? 0 : gamma(shape, uniform) * scale))
}
