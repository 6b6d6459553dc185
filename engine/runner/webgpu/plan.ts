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

/** How a mixture's assignments are taken: each by itself, or tiles of one expert's, and the way that does it. */
export interface ExpertPlan {
  tile: number
  way: string
}

/** All plans that expertPlan may answer with: those of a device, or the ways that a matmul's plan found best. */
export function expertPlans({ software, subgroups }: Pick<DeviceTraits, 'software' | 'subgroups'>, tuned?: MatmulPlan): ExpertPlan[] {
  if (tuned) {
    const ways = [wayFor(tuned, 1), ...tuned.map((entry) => entry.way)].map((way) => ({ tile: tokensTogether(way), way }))
    // One way a tile size, ascending; the first has to take assignments one by one.
    const plans = ways.filter(({ tile }, i) => ways.findIndex((other) => other.tile === tile) === i).sort((a, b) => a.tile - b.tile)
    if (plans[0]!.tile === 1) return plans
  }
  if (software) return [{ tile: 1, way: 'row' }, { tile: 4, way: 'row4' }]
  const cooperative = (tile: number) => ({ tile, way: `cooperative${tile}-${subgroups ? 'subgroup' : 'workgroup'}-${DEFAULT_WIDTH}` })
  return [cooperative(1), cooperative(4), cooperative(8), { tile: 32, way: 'tile32' }]
}

/** Tokens that a way takes together, by its name. */
function tokensTogether(way: string): number {
  return Number(/^(?:row|cooperative|tile)(\d+)/.exec(way)?.[1] ?? 1)
}

/** For so many assignments to so many experts: tiles that are half full on average at least. */
export function expertPlan(plans: readonly ExpertPlan[], assignments: number, experts: number): ExpertPlan {
  return plans.findLast(({ tile }) => tile === 1 || assignments >= (experts * tile) / 2) ?? plans[0]!
}

/** Assignments with what fills up the tiles of each expert, at most. */
export function paddedAssignments(assignments: number, experts: number, tile: number): number {
  return Math.ceil((assignments + Math.min(experts, assignments) * (tile - 1)) / tile) * tile
}
