import type { DeviceTraits } from './device'
import { DEFAULT_WIDTH, type MatmulShape } from './kernels/matmul'

/** Which way a matmul takes for how many tokens: the first entry whose `upTo` is not passed. */
export type MatmulPlan = readonly { upTo: number; way: string }[]

/** A grid of fewer 64 × 64 tiles leaves a graphics card idle: 32 × 32 then. */
const BUSY_TILES = 64

/** What is used until a device has been tuned. */
export function defaultPlan(traits: Pick<DeviceTraits, 'software' | 'subgroups'>, { pairs }: Pick<MatmulShape, 'pairs'>): MatmulPlan {
  if (traits.software) return [{ upTo: 1, way: 'row' }, { upTo: Infinity, way: 'row4' }]
  const cooperative = (together: number) => `cooperative${together}-${traits.subgroups ? 'subgroup' : 'workgroup'}-${DEFAULT_WIDTH}`
  const tilesOfRows = Math.ceil(pairs / 32)
  return [
    { upTo: 1, way: cooperative(1) },
    { upTo: 2, way: cooperative(2) },
    { upTo: 4, way: cooperative(4) },
    { upTo: 16, way: cooperative(8) },
    { upTo: Math.max(16, 64 * (Math.ceil(BUSY_TILES / tilesOfRows) - 1)), way: 'tile32' },
    { upTo: Infinity, way: 'tile64' },
  ]
}

export function wayFor(plan: MatmulPlan, tokens: number): string {
  return (plan.find((entry) => tokens <= entry.upTo) ?? plan.at(-1)!).way
}

/** Ways that a plan may ask for, for at most so many tokens. */
export function waysOf(plan: MatmulPlan, tokens: number): string[] {
  const last = plan.findIndex((entry) => tokens <= entry.upTo)
  return [...new Set(plan.slice(0, last < 0 ? undefined : last + 1).map((entry) => entry.way))]
}
