import { layoutOf, type Layout } from './layout'
import { indexTrace, lastPace, prefilledAt, producedAt, type Stint, type Track, type TraceIndex } from './track'
import type { Trace } from '$engine/trace/trace'
import { DECK, GATES } from './road'
import { siteOf, type Site, type SiteOptions } from './site'

/** A request's way through the world: one lane for all its life. */
export interface Way {
  track: Track
  road: number
  /** Among the lanes of its road. */
  lane: number
  /** Takes the lane for long vehicles. */
  long: boolean
  /** Time in which it leaves once it is over, ms, and when it has left. */
  exitMs: number
  gone: number
  /** Length of car and trailer at its longest. */
  longest: number
  /** Per stint, the cars that came onto the road behind it, in order. */
  joiners: Map<Stint, Joiner[]>
}

/** A car behind another one in the same lane. */
interface Joiner {
  track: Track
  stint: Stint
  /** Lengths of all cars from the one in front to the joiner, gaps included: room that the one in front has to make. */
  needed: number
  /** How far it has moved up for that once the joiner is on the deck; undefined until then. */
  settled?: number
}

export interface Plan {
  index: TraceIndex
  site: Site
  layout: Layout
  ways: Way[]
  /** Time in which a newcomer appears, ms. */
  enterMs: number
}

/** What a plan is made for. */
export interface PlanOptions extends SiteOptions {
  /** Cars at once to lay a road out for (the scheduler's batch limit). Default: as many as the Trace ever has on one. */
  capacity?: number
  /** Length of deck that the longest output takes, so that it ends where the picture does. Default: DECK. */
  reach?: number
}

interface Cached {
  version: number
  key: string
  plan: Plan
}
const cache = new WeakMap<TraceIndex, Cached[]>()
/** Two views of one Trace (a stage and its print) may want two plans. */
const KEPT = 4

/**
 * Lanes and sizes for a whole Trace. A lane depends only on what happened before the request arrived, so a
 * growing Trace never moves a car sideways while its layout stays (`capacity` and `roads` fix that from the start).
 */
export function planOf(trace: Trace, options: PlanOptions = {}): Plan {
  const index = indexTrace(trace)
  const { capacity, reach, ...site } = options
  const key = JSON.stringify([capacity, reach, site.roads, site.regions, site.longLane, site.experts])
  const kept = cache.get(index) ?? []
  const known = kept.find((c) => c.key === key && c.version === index.version)
  if (known) return known.plan
  const plan = makePlan(index, siteOf({ ...site, roads: site.roads ?? index.replicas }), capacity, reach)
  cache.set(index, [{ version: index.version, key, plan }, ...kept.filter((c) => c.version === index.version)].slice(0, KEPT))
  return plan
}

function makePlan(index: TraceIndex, site: Site, capacity?: number, reach = DECK): Plan {
  const roads = site.roads.length
  const roadOf = (track: Track) => (track.replica ?? 0) % roads
  const layout = layoutOf(index, capacity ?? mostOnRoad(index, roadOf, roads), reach, site.scale)
  const ways = index.tracks.map((track): Way => {
    // As long as a dozen tokens take, whatever machine it is.
    const exitMs = Math.max(1, 12 * (lastPace(track) ?? 5))
    return {
      track, exitMs, gone: track.end + exitMs,
      road: roadOf(track), lane: 0,
      long: site.longLane !== undefined && track.record.promptTokens + track.record.maxTokens >= site.longLane,
      longest: layout.carLength + layout.hitch + layout.blockLength * Math.ceil((track.record.promptTokens + track.record.maxTokens) / index.blockSize),
      joiners: new Map(),
    }
  })
  for (let r = 0; r < roads; r++) {
    const here = ways.filter((w) => w.road === r)
    if (site.longLane === undefined) assignLanes(here, 0, layout.lanes)
    else {
      const own = layout.lanes / GATES
      assignLanes(here.filter((w) => !w.long), 0, layout.lanes - own)
      assignLanes(here.filter((w) => w.long), layout.lanes - own, own)
    }
    findJoiners(here, layout)
  }
  return { index, site, layout, ways, enterMs: Number.isNaN(index.firstStep) ? 1 : index.firstStep / 6 }
}

/** Most requests between being scheduled and their end at any one time, on the busiest road. */
function mostOnRoad(index: TraceIndex, roadOf: (track: Track) => number, roads: number): number {
  const changes: [t: number, by: number, road: number][] = []
  for (const track of index.tracks) for (const { from, until } of track.stints) changes.push([from, 1, roadOf(track)], [until, -1, roadOf(track)])
  changes.sort((a, b) => a[0] - b[0] || a[1] - b[1])
  const now = new Array<number>(roads).fill(0)
  let most = 0
  for (const [, by, road] of changes) most = Math.max(most, (now[road]! += by))
  return most
}

/** In order of arrival, the lane with the fewest cars still in it; of equals, the next one round. */
function assignLanes(ways: Way[], first: number, lanes: number): void {
  const inLane: number[][] = Array.from({ length: lanes }, () => [])
  let last = Math.floor(lanes / 2) - 1
  for (const way of [...ways].sort(byArrival)) {
    for (let l = 0; l < lanes; l++) inLane[l] = inLane[l]!.filter((gone) => gone > way.track.arrival)
    let best = (last + 1) % lanes
    for (let k = 1; k <= lanes; k++) {
      const lane = (last + k) % lanes
      if (inLane[lane]!.length < inLane[best]!.length) best = lane
    }
    last = best
    way.lane = first + best
    inLane[best]!.push(way.gone)
  }
}

const byArrival = (a: Way, b: Way) => a.track.arrival - b.track.arrival || a.track.record.id - b.track.record.id

/** Front to rear on the road: who was scheduled first drives ahead. */
export function ahead(a: Way, aStint: Stint, b: Way, bStint: Stint): number {
  return aStint.from - bStint.from || byArrival(a, b)
}

/** Who came onto the road behind whom. */
function findJoiners(ways: Way[], layout: Layout): void {
  const lanes: { way: Way; stint: Stint }[][] = Array.from({ length: layout.lanes }, () => [])
  for (const way of ways) for (const stint of way.track.stints) lanes[way.lane]!.push({ way, stint })
  for (const lane of lanes) {
    lane.sort((a, b) => ahead(a.way, a.stint, b.way, b.stint))
    let onRoad: typeof lane = []
    for (const { way, stint } of lane) {
      onRoad = onRoad.filter((other) => other.stint.until > stint.from)
      let needed = 0
      for (const front of onRoad.toReversed()) {
        needed += front.way.longest + layout.gap + layout.draftRoom
        const joiner: Joiner = { track: way.track, stint, needed }
        if (stint.firstToken < Infinity) joiner.settled = needed - layout.tokenLength * producedAt(front.way.track, front.stint, stint.firstToken)
        const joiners = front.way.joiners.get(front.stint)
        if (joiners) joiners.push(joiner)
        else front.way.joiners.set(front.stint, [joiner])
      }
      onRoad.push({ way, stint })
    }
  }
}

/**
 * Units that a car has moved up for those behind it. When a car joins the deck, those ahead in its lane are
 * far enough for their longest trailers; they make that room while it climbs the ramp, and nobody rolls back.
 */
export function movedUp(way: Way, stint: Stint, layout: Layout, at: number): number {
  let push = 0
  for (const joiner of way.joiners.get(stint) ?? []) {
    if (joiner.stint.from > at) break
    if (joiner.settled !== undefined && joiner.stint.firstToken <= at) push = Math.max(push, joiner.settled)
    else {
      // One that was sent back to the line before its first token leaves the others where it had moved them.
      const t = Math.min(at, joiner.stint.until - 1e-6)
      const missing = joiner.needed - layout.tokenLength * producedAt(way.track, stint, t) - push
      // Late, as one makes room for a car that comes up the ramp: nobody leaves the ramp long before its time.
      if (missing > 0) push += missing * prefilledAt(joiner.track, joiner.stint, t) ** 6
    }
  }
  return push
}
