import { pcg } from '../model/random'
import type { Sampling } from './runner'

/**
 * Uniform in [0, 1) from (seed, position): a counter-based generator (PCG's output hash, O'Neill 2014;
 * the same arithmetic as in sample.wgsl), so that a text does not depend on what it was batched with.
 */
export function uniform(seed: number, position: number): number {
  return (pcg((pcg(seed >>> 0) + position) >>> 0) >>> 8) / 0x1000000
}

/** Index of the largest; the first one of equals, as PyTorch's and ours must agree on. */
export function argmax(logits: Float32Array): number {
  let best = 0
  for (let i = 1; i < logits.length; i++) if (logits[i]! > logits[best]!) best = i
  return best
}

/** Draws an id from one row of logits (vocab). `position` is that of the token being sampled. */
export function sampleRow(logits: Float32Array, position: number, sampling?: Sampling): number {
  if (!sampling || sampling.temperature === 0) return argmax(logits)
  const max = logits[argmax(logits)]!
  let sum = 0
  const weights = new Float64Array(logits.length)
  for (let i = 0; i < logits.length; i++) sum += weights[i] = Math.exp((logits[i]! - max) / sampling.temperature)
  let left = uniform(sampling.seed, position) * sum
  for (let i = 0; i < weights.length; i++) if ((left -= weights[i]!) < 0) return i
  return weights.length - 1
}
