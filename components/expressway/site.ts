import { Road } from './road'

/** What stands in the world: how many roads, how they are grouped, what is special about them. */
export interface SiteOptions {
  /** Parallel roads, one a replica. Default 1. Ignored where regions say it. */
  roads?: number
  /** Groups of roads, the reader's own first; replicas are numbered through them in order. The others stand at the end of a long connector. */
  regions?: readonly Region[]
  /** Requests of at least so many tokens (prompt and most output together) have the near lane for themselves. */
  longLane?: number
  /** Mixture of experts: exits beside the deck. */
  experts?: number
}

export interface Region {
  name: string
  roads: number
}

export interface Site {
  roads: Road[]
  /** Region of each road, and the regions' names; one nameless region unless they were given. */
  regionOf: number[]
  regions: string[]
  /** Of everything on the roads: 1, less where many share the ground. */
  scale: number
  longLane?: number
  experts: number
}

/** Most roads that are drawn; a cluster of more shows these and says so. */
export const MOST_ROADS = 16

/** The single road: a toll to the left, a ramp that swings up to a deck that comes from afar. */
const SINGLE = { merged: [3, -9], back: 29, aside: 19.5, deckY: 5.2, approach: 46, scale: 1 } as const

/** Several roads lie side by side, each straight from its toll up to its own deck. */
const PARALLEL = { back: 20, deckY: 2.7, approach: 19 }
const MERGED_X = -2
/** Where everybody comes from: a road along the heads of all approaches. */
const ENTRANCE_X = MERGED_X - PARALLEL.back - PARALLEL.approach - 7
/** Ground between two regions. */
const APART = 15

const sites = new Map<string, Site>()

/** The site of some options; equal options give the same one. */
export function siteOf(options: SiteOptions = {}): Site {
  const key = JSON.stringify([options.roads ?? 1, options.regions ?? null, options.longLane ?? null, options.experts ?? 0])
  let site = sites.get(key)
  if (!site) sites.set(key, (site = build(options)))
  return site
}

function build({ roads: count = 1, regions, longLane, experts = 0 }: SiteOptions): Site {
  const groups = regions?.length ? regions.map((r) => ({ name: r.name, roads: whole(r.roads, `roads of region ${r.name}`) })) : [{ name: '', roads: whole(count, 'roads') }]
  const total = Math.min(MOST_ROADS, groups.reduce((n, g) => n + g.roads, 0))
  const rest = { regions: groups.map((g) => g.name), longLane, experts }
  if (total === 1 && groups.length === 1) return { roads: [new Road(SINGLE)], regionOf: [0], scale: 1, ...rest }
  const scale = total <= 2 ? 1 : total <= 4 ? 0.8 : total <= 8 ? 0.62 : 0.48
  const pitch = 10.6 * scale + 1.4
  const roads: Road[] = []
  const regionOf: number[] = []
  // The reader's own region is nearest to the viewer; in a region the first replica is the far road.
  let near = 0
  let entrance = 0
  for (const [g, group] of groups.entries()) {
    const here = Math.min(group.roads, MOST_ROADS - roads.length)
    const far = near - (here - 1) * pitch
    if (g === 0) entrance = (near + far) / 2
    for (let r = 0; r < here; r++) {
      const z = far + r * pitch
      const route: [number, number][] = [[ENTRANCE_X - 26, entrance], [ENTRANCE_X, entrance]]
      if (Math.abs(z - entrance) > 1e-6) route.push([ENTRANCE_X, z])
      roads.push(new Road({ ...PARALLEL, merged: [MERGED_X, z], aside: 0, scale, route }))
      regionOf.push(g)
    }
    near = far - pitch - APART
  }
  return { roads, regionOf, scale, ...rest }
}

function whole(n: number, what: string): number {
  if (!Number.isInteger(n) || n < 1) throw new Error(`${what}: ${n} is not a number of roads; give a whole number from 1 on`)
  return n
}
