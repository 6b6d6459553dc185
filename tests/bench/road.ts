// node scripts/run.mjs tests/bench/road.ts [--json]
//
// Main-thread milliseconds a frame of the road with 200 cars: the scene from the Trace, and every instance put
// in its place (three.js, up to the renderer's draw call); the paths of the same scene as SVG beside it.
// Held to 4 ms a frame, so that 60 frames a second leave room for everything else.

import { parseArgs } from 'node:util'
import { carPainter } from '$components/expressway/draw-car'
import { cameraAt, projection } from '$components/expressway/project'
import { scene } from '$components/expressway/scene'
import { siteOf, type SiteOptions } from '$components/expressway/site'
import { stopOf } from '$components/expressway/stops'
import { roadView } from '$components/expressway/three/view'
import { worldOf } from '$components/expressway/world'
import { percentile } from '$engine/trace/metrics'
import type { Trace } from '$engine/trace/trace'
import { sampleTrace } from '../unit/expressway/sample'

const { values: flags } = parseArgs({ options: { json: { type: 'boolean' } } })
const CARS = 200
const FRAMES = 300
const SIZE = { width: 1600, height: 900 }

interface Row {
  road: string
  cars: number
  trace_events: number
  scene_ms: number
  place_ms: number
  frame_ms: number
  frame_p99_ms: number
  svg_paths_ms: number
}

const whole = sampleTrace({ requests: CARS, every: 0, maxSequences: CARS, prompt: [64, 400], output: [200, 200], maxBatchedTokens: 8192 })
const rows = [row('one road', whole, {}), row('8 replicas', { ...whole, events: whole.events.map((e) => ({ ...e, replica: e.request % 8 })) }, { roads: 8 })]
if (flags.json) console.log(JSON.stringify({ rows }, null, 2))
else console.table(rows)

function row(road: string, trace: Trace, options: SiteOptions): Row {
  const site = siteOf(options)
  const camera = cameraAt(stopOf('two-stage', site), SIZE)
  const view = roadView(worldOf(site))
  const paint = carPainter()
  const projected = projection({ ...camera, zoom: 8 * camera.zoom }, { width: 8 * SIZE.width, height: 8 * SIZE.height })
  // While all of them are on the road.
  const from = Math.max(...trace.events.filter((e) => e.kind === 'scheduled').map((e) => e.t)) + 1
  const to = Math.min(...trace.events.filter((e) => e.kind === 'finished').map((e) => e.t)) - 1
  const times: Record<'scene' | 'place' | 'frame' | 'svg', number[]> = { scene: [], place: [], frame: [], svg: [] }
  let cars = Infinity
  // The first frames are the engine's own warming up.
  for (let i = -60; i < FRAMES; i++) {
    const at = from + ((to - from) * (i + 60)) / (FRAMES + 60)
    const t0 = performance.now()
    const now = scene(trace, at, { ...options, capacity: options.roads ? undefined : CARS })
    const t1 = performance.now()
    view.arrange({ scene: now, camera, ...SIZE, dark: true })
    const t2 = performance.now()
    for (const car of now.cars) paint(projected, now, car)
    const t3 = performance.now()
    if (i < 0) continue
    cars = Math.min(cars, now.cars.length)
    times.scene.push(t1 - t0)
    times.place.push(t2 - t1)
    times.frame.push(t2 - t0)
    times.svg.push(t3 - t2)
  }
  view.dispose()
  const round = (v: number) => Math.round(v * 100) / 100
  const median = (list: number[]) => round(percentile(list, 50))
  return {
    road, cars, trace_events: trace.events.length, scene_ms: median(times.scene), place_ms: median(times.place), frame_ms: median(times.frame), frame_p99_ms: round(percentile(times.frame, 99)), svg_paths_ms: median(times.svg),
  }
}
