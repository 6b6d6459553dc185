import { Deque } from './line'
import type { Job, Station } from './replica'
import type { Random } from './random'
import { router, type Route, type RouterName, type RouterView } from './router'

/**
 * Stations that take each other's requests: a router sends every request to one of them, or there is one
 * line that they all pull from. Its own line and its own turns; the chance is the cluster's.
 */
export class Pool {
  /** Stations that take requests now. */
  choices: number[]
  readonly route?: Route
  readonly line = new Deque<Job>()
  /** Stations of a central line that do nothing, as a heap: the first is the one with the lowest number. */
  private readonly idle: number[] = []

  constructor(readonly members: readonly number[], name: RouterName, view: RouterView, random: Random, private readonly stations: readonly Station[]) {
    this.choices = [...members]
    if (name !== 'central-queue') this.route = router(name, view, random)
    else if (members.length === 1) this.route = (choices) => choices[0]!
    else for (const i of members) this.rests(i)
  }

  /** Somebody could begin, or take one more at its next step. */
  get hungry(): boolean {
    return this.idle.length > 0 || this.members.some((i) => this.stations[i]!.room > 0)
  }

  /** A station has nothing to do. */
  rests(station: number): void {
    const { idle } = this
    let at = idle.length
    idle.push(station)
    while (at > 0) {
      const up = (at - 1) >> 1
      if (idle[up]! <= station) break
      idle[at] = idle[up]!
      at = up
    }
    idle[at] = station
  }

  /** The first station that has nothing to do; it is taken to work. */
  wake(): number | undefined {
    const { idle } = this
    const first = idle[0]
    if (first === undefined) return undefined
    const last = idle.pop()!
    const n = idle.length
    if (n > 0) {
      let at = 0
      for (;;) {
        let child = 2 * at + 1
        if (child >= n) break
        if (child + 1 < n && idle[child + 1]! < idle[child]!) child++
        if (idle[child]! >= last) break
        idle[at] = idle[child]!
        at = child
      }
      idle[at] = last
    }
    return first
  }
}
