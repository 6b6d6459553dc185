import { layoutOf, type Layout } from './layout'
import { indexTrace, lastPace, prefilledAt, producedAt, type Stint, type Track, type TraceIndex } from './track'
import type { Trace } from '$engine/trace/trace'
import { DECK } from './world'

/** A request's way through the world: one lane for all its life. */
export interface Way {
  track: Track
  lane: number
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
  layout: Layout
  ways: Way[]
  /** Time in which a newcomer appears, ms. */
  enterMs: number
}

/** What a plan is made for. */
export interface PlanOptions {
  /** Cars at once to lay the road out for (the scheduler's batch limit). Default: as many as the Trace ever has. */
  capacity?: number
  /** Length of deck that the longest output takes, so that it ends where the picture does. Default: DECK. */
  reach?: number
}

interface Cached extends PlanOptions {
  version: number
  plan: Plan
}
const cache = new WeakMap<TraceIndex, Cached>()

/**
 * Lanes and sizes for a whole Trace. A lane depends only on what happened before the request arrived, so a
 * growing Trace never moves a car sideways while its layout stays (`capacity` fixes that from the start).
 */
export function planOf(trace: Trace, { capacity, reach }: PlanOptions = {}): Plan {
  const index = indexTrace(trace)
  const known = cache.get(index)
  if (known && known.version === index.version && known.capacity === capacity && known.reach === reach) return known.plan
  const plan = makePlan(index, capacity, reach)
  cache.set(index, { version: index.version, capacity, reach, plan })
  return plan
}

function makePlan(index: TraceIndex, capacity = mostOnRoad(index), reach = DECK): Plan {
  const layout = layoutOf(index, capacity, reach)
  const ways = index.tracks.map((track): Way => {
    // As long as a dozen tokens take, whatever machine it is.
    const exitMs = Math.max(1, 12 * (lastPace(track) ?? 5))
    return {
      track, exitMs, gone: track.end + exitMs,
      lane: 0,
      longest: layout.carLength + layout.hitch + layout.blockLength * Math.ceil((track.record.promptTokens + track.record.maxTokens) / index.blockSize),
      joiners: new Map(),
    }
  })
  assignLanes(ways, layout.lanes)
  findJoiners(ways, layout)
  return { index, layout, ways, enterMs: Number.isNaN(index.firstStep) ? 1 : index.firstStep / 6 }
}

/** Most requests between being scheduled and their end at any one time. */
function mostOnRoad(index: TraceIndex): number {
  const changes: [t: number, by: number][] = []
  for (const { stints } of index.tracks) for (const { from, until } of stints) changes.push([from, 1], [until, -1])
  changes.sort((a, b) => a[0] - b[0] || a[1] - b[1])
  let now = 0
  let most = 0
  for (const [, by] of changes) most = Math.max(most, (now += by))
  return most
}

/** In order of arrival, the lane with the fewest cars still in it; of equals, the next one round. */
function assignLanes(ways: Way[], lanes: number): void {
  const inLane: number[][] = Array.from({ length: lanes }, () => [])
  let last = Math.floor(lanes / 2) - 1
  for (const way of [...ways].sort(byArrival)) {
    for (let l = 0; l < lanes; l++) inLane[l] = inLane[l]!.filter((gone) => gone > way.track.arrival)
    let best = (last + 1) % lanes
    for (let k = 1; k <= lanes; k++) {
      const lane = (last + k) % lanes
      if (inLane[lane]!.length < inLane[best]!.length) best = lane
    }
    way.lane = last = best
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
        needed += front.way.longest + layout.gap
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
