import '$theme/index.css'
import { flushSync, mount, unmount } from 'svelte'
import { createProps } from './props.svelte'
import Bench from './Bench.svelte'

/** The charts' bench, as charts.ts drives it from outside. */
export interface ChartsBench {
  /** Milliseconds of each redraw with all points new: script, style and layout, up to the paint. */
  redraws(kind: 'line' | 'dots' | 'histogram', points: number, rounds: number): Promise<number[]>
}

const data = (n: number, round: number) => Array.from({ length: n }, (_, i) => {
  const y = 100 + 60 * Math.sin(i / 90 + round) + (i % 7)
  return { x: (100 * i) / n, y, low: y * 0.9, high: y * 1.1 }
})

const page: ChartsBench = {
  async redraws(kind, points, rounds) {
    const props = createProps(kind, data(points, 0))
    const target = document.getElementById('bench')!
    const app = mount(Bench, { target, props })
    const frame = () => new Promise((resolve) => requestAnimationFrame(resolve))
    await document.fonts.ready
    await frame()
    await frame()
    const times: number[] = []
    // The first ones are the engine's own warming up.
    for (let round = -10; round < rounds; round++) {
      const next = data(points, round)
      await frame()
      const before = performance.now()
      flushSync(() => (props.points = next))
      target.querySelector('svg')!.getBoundingClientRect()
      if (round >= 0) times.push(performance.now() - before)
    }
    await unmount(app)
    return times
  },
}

Object.assign(globalThis, { chartsBench: page })
