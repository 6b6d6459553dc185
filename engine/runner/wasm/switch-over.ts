import type { Tuning } from '../webgpu/tuning'
import { F16, F32, INT4, INT4_ASYMMETRIC, INT8 } from './jobs'
import type { Variant } from './source'

/**
 * From how many tokens on a panel of weights is opened up for tiles; with fewer each token goes through it on its
 * own, which reads weights from the cache again but spares the opening. By format (jobs.ts). Results are the same
 * bits on either side.
 */
export type SwitchOver = Readonly<Record<number, number>>

/** Measured on an AMD EPYC (Zen 4) with Node 20 by tuneWasm; another machine's own are found at calibration. */
export const SWITCH_DEFAULTS: SwitchOver = { [F32]: 4, [F16]: 4, [INT8]: 5, [INT4]: 3, [INT4_ASYMMETRIC]: 4 }

/** Which kernels a tuning is about: the two variants are different programs. */
export function tuningKey(variant: Variant): string {
  return `wasm ${variant}`
}

/** What was found on this device, where that was for these kernels. */
export function tunedSwitchOver(tuning: Tuning | undefined, variant: Variant): SwitchOver {
  return tuning?.device === tuningKey(variant) ? { ...SWITCH_DEFAULTS, ...tuning.switchOver } : SWITCH_DEFAULTS
}

/** The first number of tokens from which on tiles are never slower; one more than the last tried where they are. */
export function switchPoint(tried: readonly { tokens: number; singly: number; tiled: number }[]): number {
  let at = tried.at(-1)!.tokens + 1
  for (const { tokens, singly, tiled } of tried.toReversed()) {
    if (tiled > singly) return at
    at = tokens
  }
  return at
}
