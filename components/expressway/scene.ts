import type { Trace } from '$engine/trace/trace'
import { MOST_CARS, type Layout } from './layout'
import { ahead, movedUp, planOf, type Plan, type PlanOptions, type Way } from './plan'
import { BARRIER, GATES, type Road } from './road'
import type { Site } from './site'
import { draftAt, kvTokensAt, prefilledAt, producedAt, speedAt, stintAt, tokensAt, type Stint } from './track'

/** Where a request is: the one place that its car stands for. */
export type Phase = 'sent' | 'waiting' | 'prefill' | 'decode' | 'done' | 'rejected' | 'failed'
export type Part = 'approach' | 'ramp' | 'deck'
export type Role = 'queue' | 'prefill' | 'decode' | 'muted'

/** A small car ahead of its verifier, with the tokens that it proposes. */
export interface DraftCar {
  /** Rear end's station. */
  station: number
  proposed: number
}

export interface Car {
  request: number
  phase: Phase
  /** Which road: the replica's. */
  road: number
  /** The part of the road that its phase is on, and how far along it the Trace says it is, 0 … 1. */
  part: Part
  along: number
  /** 0 is the far lane. */
  lane: number
  /** Among all gates of all roads. */
  gate: number
  /** Front bumper and rear end (trailer included) on the centre line, in units of length (road.ts). */
  station: number
  tail: number
  /** Output tokens a second; 0 unless it decodes. */
  speed: number
  /** Tokens in the KV cache, whole blocks they take, and how much of the last block is filled (0 … 1]. */
  kvTokens: number
  trailerBlocks: number
  lastFill: number
  /** Output tokens so far. */
  tokens: number
  role: Role
  brake: boolean
  /** 1, less while it comes or goes. */
  presence: number
  /** ms in line so far; after that, all it had to wait. */
  waited: number
  draft?: DraftCar
}

export interface Gate {
  /** 0 closed … 1 open. */
  open: number
  waiting: number
}

/** How many requests are in each place; `ahead` have not arrived, `gone` have left. Sums to all requests. */
export type Counts = Record<Phase | 'ahead' | 'gone', number>

/** What goes on on one road. */
export interface RoadState {
  counts: Pick<Counts, 'sent' | 'waiting' | 'prefill' | 'decode'>
  /** Requests beyond those drawn as cars: in line, and on the road. */
  more: { waiting: number; road: number }
}

export interface Scene {
  at: number
  site: Site
  layout: Layout
  /** In the order they are to be painted: far road first, far lane first, in a lane the front car first. */
  cars: Car[]
  /** GATES to a road. */
  gates: Gate[]
  counts: Counts
  roads: RoadState[]
  /** Sums over the roads. */
  more: { waiting: number; road: number }
  /** KV blocks on all trailers. */
  kvBlocks: number
  /** Longest wait of those in line now, ms. */
  longestWait: number
  /** The newest prefill that is over: prompt tokens, and from leaving the line to the first token, ms. */
  lastPrefill?: { tokens: number; ms: number }
}

/** Length of the approach on which a line is shown; the rest of it is a number. */
export const lineOf = (road: Road) => Math.min(34, road.plan.approach - 2)
const EXIT = 26

/** What the roads show at time `at`: a function of its arguments and of nothing else. `at` in ms of the Trace. */
export function scene(trace: Trace, at: number, options: PlanOptions = {}): Scene {
  const plan = planOf(trace, options)
  const { layout, site } = plan
  const counts: Counts = { ahead: 0, sent: 0, waiting: 0, prefill: 0, decode: 0, done: 0, rejected: 0, failed: 0, gone: 0 }
  const lanes: Here[][] = Array.from({ length: layout.lanes * site.roads.length }, () => [])
  for (const way of plan.ways) {
    const { arrival } = way.track
    if (at < arrival) counts.ahead++
    else if (at >= way.gone) counts.gone++
    else lanes[way.road * layout.lanes + way.lane]!.push(here(way, at))
  }
  const cars: Car[] = []
  const gates: Gate[] = Array.from({ length: GATES * site.roads.length }, () => ({ open: 1, waiting: 0 }))
  const roads = site.roads.map((): RoadState => ({ counts: { sent: 0, waiting: 0, prefill: 0, decode: 0 }, more: { waiting: 0, road: 0 } }))
  const more = { waiting: 0, road: 0 }
  let kvBlocks = 0
  let longestWait = 0
  const unseen = tooMany(lanes)
  for (const [l, lane] of lanes.entries()) {
    if (lane.length === 0) continue
    const r = Math.floor(l / layout.lanes)
    const state = roads[r]!
    const line = lineOf(site.roads[r]!)
    lane.sort((a, b) => rank(a) - rank(b) || (a.stint && b.stint ? ahead(a.way, a.stint, b.way, b.stint) : byTurn(a, b)))
    for (const [i, car] of drive(lane, plan, at).entries()) {
      counts[car.phase]++
      if (car.phase in state.counts) state.counts[car.phase as keyof RoadState['counts']]++
      kvBlocks += car.trailerBlocks
      if (car.phase === 'waiting') {
        longestWait = Math.max(longestWait, car.waited)
        gates[car.gate]!.waiting++
      }
      if (car.phase === 'waiting' && car.station < -line) state.more.waiting++
      else if (unseen.has(lane[i]!.way)) state.more.road++
      else cars.push(car)
    }
  }
  for (const state of roads) {
    more.waiting += state.more.waiting
    more.road += state.more.road
  }
  for (const [g, gate] of gates.entries()) gate.open = openness(cars, g)
  return { at, site, layout, cars, gates, counts, roads, more, kvBlocks, longestWait, lastPrefill: lastPrefill(plan, at) }
}

/** Those on the roads who came too late to be drawn. */
function tooMany(lanes: Here[][]): Set<Way> {
  const onRoad = lanes.flatMap((lane) => lane.filter((h) => h.stint))
  if (onRoad.length <= MOST_CARS) return new Set()
  onRoad.sort((a, b) => ahead(a.way, a.stint!, b.way, b.stint!))
  return new Set(onRoad.slice(MOST_CARS).map((h) => h.way))
}

function lastPrefill(plan: Plan, at: number): Scene['lastPrefill'] {
  let newest = -Infinity
  let last: Scene['lastPrefill']
  for (const { track } of plan.ways) {
    const stint = track.stints[0]
    if (!stint || stint.firstToken > at || stint.firstToken <= newest || stint.firstToken === stint.from) continue
    newest = stint.firstToken
    last = { tokens: track.record.promptTokens, ms: stint.firstToken - stint.from }
  }
  return last
}

/** A request at one moment, before it is given its place on the road. */
interface Here {
  way: Way
  phase: Phase
  /** The stay on the road it is in, or was in when it ended; none while it is in line. */
  stint?: Stint
  /** Since when it stands in line. */
  since: number
}

function here(way: Way, at: number): Here {
  const { track } = way
  const stint = stintAt(track, at)
  if (at >= track.end) return { way, phase: track.ending === 'finished' || track.ending === undefined ? 'done' : track.ending, stint, since: track.arrival }
  if (stint && at < stint.until) return { way, phase: at < stint.firstToken ? 'prefill' : 'decode', stint, since: track.arrival }
  if (stint) return { way, phase: 'waiting', since: stint.until } // preempted: back in line
  return { way, phase: at < track.door ? 'sent' : 'waiting', since: track.arrival }
}

/** On the road before in line; in line those who have been on the road before, then by arrival. */
const rank = (h: Here) => (h.stint ? 0 : h.phase === 'waiting' ? (h.since > h.way.track.arrival ? 1 : 2) : 3)
const byTurn = (a: Here, b: Here) => a.way.track.arrival - b.way.track.arrival || a.way.track.record.id - b.way.track.record.id

/** Gives the cars of one lane, front to rear, their places: where the Trace has them, but never into the one ahead. */
function drive(lane: Here[], plan: Plan, at: number): Car[] {
  const { layout, enterMs, index, site } = plan
  const wishes = lane.map((h) => wish(h, layout, site.roads[h.way.road]!, at))
  // Who has finished makes way for those behind, so that nobody is held up on its account.
  let room = -Infinity
  for (let i = wishes.length - 1; i >= 0; i--) {
    const w = wishes[i]!
    if (lane[i]!.phase !== 'done') room = w.station
    else w.station = Math.max(w.station, (room += layout.carLength + layout.hitch + layout.gap + layout.draftRoom))
  }
  let limit = Infinity
  return lane.map(({ way, phase, stint, since }, i): Car => {
    const { track, lane: number, road } = way
    const { part, along } = wishes[i]!
    const kvTokens = stint ? kvTokensAt(track, stint, at) : 0
    const blocks = kvTokens / index.blockSize
    // Sums of shares of a step may miss a whole block by a rounding error.
    const trailerBlocks = blocks > 0 ? Math.max(1, Math.ceil(blocks - 1e-9)) : 0
    const ahead = limit
    const station = Math.min(wishes[i]!.station, ahead - (stint ? layout.draftRoom : 0))
    const tail = station - layout.carLength - layout.hitch - layout.blockLength * blocks
    limit = tail - layout.gap
    return {
      request: track.record.id, phase, road, part, along, lane: number, station, tail,
      gate: road * GATES + Math.floor(number / (layout.lanes / GATES)),
      speed: phase === 'decode' ? speedAt(track, at) : 0,
      kvTokens,
      trailerBlocks,
      lastFill: blocks > 0 ? Math.min(1, blocks - trailerBlocks + 1) : 0,
      tokens: tokensAt(track, at),
      role: roleOf(phase),
      brake: phase === 'waiting',
      presence: Math.max(0, Math.min(1, (at - track.arrival) / enterMs, 1 - leaving(way, at))),
      waited: (stint ? Math.min(track.stints[0]!.from, at) : at) - since,
      draft: index.drafting && phase === 'decode' && stint ? draftCar(way, stint, layout, station, ahead, at) : undefined,
    }
  })
}

/** As far ahead of its verifier as the tokens it proposes, as long as nobody drives there. */
function draftCar({ track }: Way, stint: Stint, layout: Layout, station: number, limit: number, at: number): DraftCar {
  const nearest = station + layout.draftRoom - layout.draftLength
  const open = draftAt(track, at)
  const lead = open ? open.tokens - (producedAt(track, stint, at) - producedAt(track, stint, open.from)) : 0
  return {
    station: Math.max(nearest, Math.min(nearest + Math.max(0, lead) * layout.tokenLength, limit - layout.draftLength)),
    proposed: open?.tokens ?? 0,
  }
}

/** Share of its way out that a request which is over has behind it. */
const leaving = (way: Way, at: number) => Math.max(0, (at - way.track.end) / way.exitMs)

/** Where a car would be if it were alone in its lane, having moved up for those behind it. */
function wish({ way, phase, stint }: Here, layout: Layout, road: Road, at: number): { station: number; part: Part; along: number } {
  const { track } = way
  if (!stint) {
    // On its way over the network it drives up; then it stands at the stop line or behind the one ahead.
    const along = phase === 'sent' ? (at - track.arrival) / (track.door - track.arrival) : 1
    const far = road.plan.route ? -road.from : lineOf(road)
    return { station: -far * (1 - along), part: 'approach', along }
  }
  const t = Math.min(at, track.end)
  const prefilled = prefilledAt(track, stint, t)
  const driven = producedAt(track, stint, t) * layout.tokenLength
  const station = road.ramp * prefilled + driven + movedUp(way, stint, layout, t) + (phase === 'done' ? EXIT * leaving(way, at) ** 2 : 0)
  return t < stint.firstToken ? { station, part: 'ramp', along: prefilled } : { station, part: 'deck', along: Math.min(1, driven / layout.reach) }
}

function roleOf(phase: Phase): Role {
  if (phase === 'prefill' || phase === 'decode') return phase
  return phase === 'waiting' || phase === 'sent' ? 'queue' : phase === 'done' ? 'decode' : 'muted'
}

/** A barrier lifts for the car that drives through, comes down for the one that has to wait, and stands open otherwise. */
function openness(cars: Car[], gate: number): number {
  let down = 0
  let up = 0
  for (const car of cars) {
    if (car.gate !== gate) continue
    if (car.phase === 'waiting') down = Math.max(down, car.presence * Math.min(1, Math.max(0, 1 + car.station / 6)))
    else if (car.phase !== 'sent' && car.tail < BARRIER + 2) up = Math.max(up, Math.min(1, Math.max(0, car.station + 0.4)) * Math.min(1, Math.max(0, (BARRIER + 2 - car.tail) / 2)))
  }
  return Math.max(1 - down, up)
}
