import { F16, F32, INT4, INT4_ASYMMETRIC, INT8 } from './jobs'

/**
 * From how many tokens on a panel of weights is opened up for tiles; with fewer each token goes through it on its
 * own, which reads weights from the cache again but spares the opening. By format (jobs.ts). Results are the same
 * bits on either side.
 */
export type SwitchOver = Readonly<Record<number, number>>

/** Measured on an AMD EPYC (Zen 4) with Node 20 by tuneWasm; another machine's own are found at calibration. */
export const SWITCH_DEFAULTS: SwitchOver = { [F32]: 2, [F16]: 3, [INT8]: 4, [INT4]: 4, [INT4_ASYMMETRIC]: 4 }
