import type { Random } from './random'

export type RouterName = 'central-queue' | 'random' | 'round-robin' | 'shortest-queue' | 'power-of-two' | 'least-kv' | 'prefix-affinity' | 'nearest' | 'least-latency'

/** What a router sees; it never sees how long an answer will be. */
export interface RouterView {
  /** Requests sent there and not answered yet. */
  outstanding(replica: number): number
  blocksUsed(replica: number): number
  cachedTokens(replica: number, prefix: readonly number[]): number
  /** Round trip between a client of that home and the replica, ms. */
  roundTrip(home: number, replica: number): number
  /** Time that the replica has worked for each request it has answered so far, ms; 0 before the first. */
  perAnswer(replica: number): number
}

/** A prefix counts when it is at least this share of the prompt (SGLang's cache threshold). */
const AFFINITY_SHARE = 0.5
/** …and the replica is not this much busier than the least busy one (SGLang's balance thresholds). */
const IMBALANCE = { absolute: 32, relative: 1.5 }

/** Picks one of `choices` for a request of so many prompt tokens. */
export type Route = (choices: readonly number[], promptTokens: number, prefix: readonly number[] | undefined, home: number) => number

/** All ties go to chance, from the router's own stream. */
export function router(name: Exclude<RouterName, 'central-queue'>, view: RouterView, random: Random): Route {
  let turn = 0
  const least = (choices: readonly number[], load: (r: number) => number) => {
    let best = choices[0]!
    let lowest = load(best)
    let ties = 1
    for (let i = 1; i < choices.length; i++) {
      const l = load(choices[i]!)
      if (l > lowest) continue
      if (l < lowest) {
        lowest = l
        ties = 1
        best = choices[i]!
      } else if (random.below(++ties) === 0) best = choices[i]!
    }
    return best
  }
  const outstanding = (r: number) => view.outstanding(r)
  switch (name) {
    case 'random': return (choices) => choices[random.below(choices.length)]!
    case 'round-robin': return (choices) => choices[turn++ % choices.length]!
    case 'shortest-queue': return (choices) => least(choices, outstanding)
    case 'power-of-two': return (choices) => {
      const n = choices.length
      if (n === 1) return choices[0]!
      const a = random.below(n)
      const b = random.below(n - 1)
      return least([choices[a]!, choices[b < a ? b : b + 1]!], outstanding)
    }
    case 'least-kv': return (choices) => least(choices, (r) => view.blocksUsed(r))
    case 'nearest': return (choices, _tokens, _prefix, home) => {
      let shortest = Infinity
      for (const r of choices) shortest = Math.min(shortest, view.roundTrip(home, r))
      return least(choices, (r) => (view.roundTrip(home, r) > shortest ? Infinity : outstanding(r)))
    }
    // Drive farther or wait here: the way, and the time until those before are answered at the rate seen so far.
    case 'least-latency': return (choices, _tokens, _prefix, home) => least(choices, (r) => view.roundTrip(home, r) + outstanding(r) * view.perAnswer(r))
    case 'prefix-affinity': return (choices, promptTokens, prefix) => {
      const idle = least(choices, outstanding)
      if (!prefix) return idle
      let best = idle
      let most = 0
      for (const r of choices) {
        const cached = view.cachedTokens(r, prefix)
        if (cached > most) {
          most = cached
          best = r
        }
      }
      const busier = view.outstanding(best) - view.outstanding(idle) > IMBALANCE.absolute && view.outstanding(best) > IMBALANCE.relative * view.outstanding(idle)
      return most >= AFFINITY_SHARE * promptTokens && !busier ? best : idle
    }
  }
}
