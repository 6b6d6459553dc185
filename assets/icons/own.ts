import type { IconNode } from 'lucide'

/*
 * Icons of the motif that Lucide does not have, on its grid: 24 × 24, strokes of 2, round caps and joins.
 */

/** Queue: a booth, its roof and a lowered barrier. */
export const TollGate: IconNode = [
  ['path', { d: 'M2 8l2-4h9l2 4z' }],
  ['path', { d: 'M5 8v12' }],
  ['path', { d: 'M12 8v12' }],
  ['path', { d: 'M3 20h11' }],
  ['path', { d: 'M12 14h10' }],
  ['path', { d: 'M18 14v2' }],
]

/** KV cache: a car with blocks in tow. */
export const Trailer: IconNode = [
  ['rect', { x: '2', y: '7', width: '11', height: '9', rx: '1' }],
  ['path', { d: 'M7.5 7v9' }],
  ['path', { d: 'M13 13h3' }],
  ['path', { d: 'M16 16v-4.5l2-2.5h2.5a1.5 1.5 0 0 1 1.5 1.5V16z' }],
  ['circle', { cx: '6', cy: '18', r: '1.5' }],
  ['circle', { cx: '19', cy: '18', r: '1.5' }],
]

/** Prefill: a road that climbs onto a deck. */
export const Ramp: IconNode = [
  ['path', { d: 'M2 20h4c6 0 6-11 12-11h4' }],
  ['path', { d: 'M2 14h2.5c5 0 6-10 12-10H22' }],
  ['path', { d: 'M19 9v11' }],
]

/** Memory: stacked dies on a substrate. */
export const MemoryStack: IconNode = [
  ['rect', { x: '4', y: '3', width: '16', height: '4', rx: '1' }],
  ['rect', { x: '4', y: '10', width: '16', height: '4', rx: '1' }],
  ['path', { d: 'M2 21v-3a1 1 0 0 1 1-1h18a1 1 0 0 1 1 1v3' }],
  ['path', { d: 'M8 7v3' }],
  ['path', { d: 'M16 7v3' }],
  ['path', { d: 'M8 14v3' }],
  ['path', { d: 'M16 14v3' }],
]

/** Decode: a lane seen in perspective. */
export const Lane: IconNode = [
  ['path', { d: 'M9 3L3 21' }],
  ['path', { d: 'M15 3l6 18' }],
  ['path', { d: 'M12 4v2' }],
  ['path', { d: 'M12 10v3' }],
  ['path', { d: 'M12 17v4' }],
]
