import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { endOf, Playhead } from '$components/frame/playhead.svelte'
import type { Trace } from '$engine/trace/trace'

/** A Trace that only has a length. */
const lasting = (ms: number): Trace => ({
  provenance: { how: 'modelled', hardware: 'paper', model: 'none' }, requests: [], events: [],
  steps: [{ start: 0, duration: ms, batch: [], flops: 0, bytes: 0, workingSet: 0, kvBlocks: 0 }],
})

let frames: ((now: number) => void)[] = []
let now = 0
beforeEach(() => {
  frames = []
  now = 0
  vi.stubGlobal('requestAnimationFrame', (callback: (now: number) => void) => frames.push(callback))
  vi.stubGlobal('cancelAnimationFrame', () => { frames = [] })
  vi.spyOn(performance, 'now').mockImplementation(() => now)
})
afterEach(() => vi.unstubAllGlobals())

/** Lets `ms` of wall time pass, a frame every 10 ms. */
function watch(ms: number): void {
  for (let i = 0; i < ms / 10; i++) {
    now += 10
    const due = frames
    frames = []
    for (const f of due) f(now)
  }
}

function playhead(options: { still?: boolean } = {}) {
  const p = new Playhead({ watchableMs: 10_000 }, () => options.still ?? false)
  p.show(true)
  return p
}

test('the end of a Trace is its last step or event, whichever is later', () => {
  expect(endOf(undefined)).toBe(0)
  expect(endOf(lasting(40))).toBe(40)
  expect(endOf({ ...lasting(40), events: [{ t: 55, request: 0, kind: 'token' }] })).toBe(55)
})

test('a whole Trace of 100 ms is slowed a hundredfold, plays to its end and asks for no frame after that', () => {
  const p = playhead()
  p.follow(lasting(100), true, 1)
  expect(p.slowdown).toBe(100)
  watch(5000)
  expect(p.at).toBeCloseTo(50, 6)
  watch(5050)
  expect(p).toMatchObject({ at: 100, playing: false })
  expect(frames).toHaveLength(0)
})

test('while the run goes on it is shown in slow motion; once it is whole the rest is given a watchable time', () => {
  const p = playhead()
  p.follow(lasting(40), false, 1)
  watch(1000)
  const before = p.at
  expect(before).toBeGreaterThan(0)
  expect(before).toBeLessThan(100)
  p.follow(lasting(10_000), true, 1)
  expect(p.at).toBe(before)
  expect(p.slowdown).toBe(1)
})

test('a new run begins at its beginning; a longer Trace of the same run does not', () => {
  const p = playhead()
  p.follow(lasting(100), true, 1)
  watch(5000)
  p.follow(lasting(120), true, 1)
  expect(p.at).toBeCloseTo(50, 6)
  p.follow(lasting(100), true, 2)
  expect(p.at).toBe(0)
})

test('scrubbing pauses, goes both ways and stays inside the Trace', () => {
  const p = playhead()
  p.follow(lasting(100), true, 1)
  p.seek(80)
  expect(p).toMatchObject({ at: 80, playing: false })
  p.seek(20)
  expect(p.at).toBe(20)
  p.seek(-5)
  expect(p.at).toBe(0)
  p.seek(1e9)
  expect(p.at).toBe(100)
  expect(frames).toHaveLength(0)
})

test('playing from the end begins again', () => {
  const p = playhead()
  p.follow(lasting(100), true, 1)
  p.seek(100)
  p.play()
  expect(p).toMatchObject({ at: 0, playing: true })
})

test('no frame is asked for while nobody looks, and time does not jump when somebody looks again', () => {
  const p = playhead()
  p.follow(lasting(100), true, 1)
  watch(1000)
  p.show(false)
  expect(frames).toHaveLength(0)
  const at = p.at
  now += 60_000
  p.show(true)
  watch(100)
  expect(p.at - at).toBeLessThan(2)
})

test('with reduced motion it stands at the end and nothing moves', () => {
  const p = playhead({ still: true })
  p.follow(lasting(100), true, 1)
  expect(p).toMatchObject({ at: 100, playing: false })
  expect(frames).toHaveLength(0)
})

test('a pace that the reader chose stays for the run', () => {
  const p = playhead()
  p.follow(lasting(40), false, 1)
  p.setSlowdown(500)
  p.follow(lasting(100), true, 1)
  expect(p.slowdown).toBe(500)
})

test('without a Trace there is nothing to play', () => {
  const p = playhead()
  p.follow(lasting(100), true, 1)
  p.follow(undefined, false, 1)
  expect(p).toMatchObject({ at: 0, end: 0 })
  expect(frames).toHaveLength(0)
})

test('a step goes to the next thing that happened, or back to the one before, and stops at both ends', () => {
  const trace: Trace = { ...lasting(40), events: [{ t: 10, request: 0, kind: 'sent' }, { t: 10, request: 1, kind: 'sent' }, { t: 25, request: 0, kind: 'token' }] }
  const p = playhead()
  p.follow(trace, true, 1)
  const forward: number[] = []
  for (let i = 0; i < 5; i++) {
    p.step(1)
    forward.push(p.at)
  }
  expect(forward).toEqual([10, 25, 40, 40, 40])
  expect(p.playing).toBe(false)
  const back: number[] = []
  for (let i = 0; i < 4; i++) {
    p.step(-1)
    back.push(p.at)
  }
  expect(back).toEqual([25, 10, 0, 0])
})

test('the pace goes rung by rung, from real time to a thousandth of it, and no further', () => {
  const p = playhead()
  p.follow(lasting(10_000), true, 1)
  expect(p.slowdown).toBe(1)
  p.setPace(-1)
  expect(p.slowdown).toBe(1)
  const seen: number[] = []
  for (let i = 0; i < 11; i++) {
    p.setPace(1)
    seen.push(p.slowdown)
  }
  expect(seen).toEqual([2, 5, 10, 20, 50, 100, 200, 500, 1000, 1000, 1000])
})
