import { describe, expect, test } from 'vitest'
import { defaults } from '$components/controls/params'
import type { Experiment, Reading } from '$components/frame/experiment'
import { asRecorded } from '$components/frame/recording'
import { readMessage, VERSION } from '$components/present/messages'
import type { Curve, Engine, Quality } from '$engine/worker/protocol'
import { FakeEngine } from '../support/fake-engine'

const EXPERIMENTS = Object.entries(import.meta.glob<Experiment>('../../slides/*/experiment.ts', { eager: true })).map(([path, experiment]) => [path.split('/').at(-2)!, experiment] as const)

/** The fake reads no texts; here it only matters that something comes back. */
const quality: Engine['quality'] = ({ model, weights }) => Promise.resolve({
  provenance: { how: 'measured', device: { name: 'fake machine', runner: 'wasm', model }, at: '2026-01-01T00:00:00.000Z' },
  tokens: 100, bytes: 400, bitsPerByte: weights ? 1.3 : 1.2, divergence: { nats: 0.01, agreement: 0.99 } as unknown as Quality['divergence'],
  weights: { of: 'layer 0, gate', unit: 'value', from: -1, to: 1, before: [1, 2, 1], after: [1, 2, 1] },
})

/** An engine whose simulations are short: shapes are looked at here, no figures. */
function hasty(): FakeEngine {
  const engine = new FakeEngine()
  engine.quality = quality
  const { curve, simulate } = engine
  engine.curve = async (request, options) => {
    const enough = new AbortController()
    let first: Curve | undefined
    await curve(request, { signal: enough.signal, onUpdate: (soFar) => { first ??= soFar; enough.abort() } }).catch(() => undefined)
    options?.onUpdate?.(first!)
    return first!
  }
  engine.simulate = (request, options) => simulate({ ...request, scenario: { ...request.scenario, requests: 300, warmup: 0 } }, options)
  return engine
}

function hows(value: unknown, found = new Set<string>()): Set<string> {
  if (value instanceof Map) for (const v of value.values()) hows(v, found)
  else if (Array.isArray(value)) for (const v of value) hows(v, found)
  else if (typeof value === 'object' && value !== null && !ArrayBuffer.isView(value)) {
    const { how } = value as { how?: unknown }
    if (typeof how === 'string') found.add(how)
    for (const v of Object.values(value)) hows(v, found)
  }
  return found
}

describe.each(EXPERIMENTS)('%s', (id, experiment) => {
  test('its readings can go to another window and be kept: plain data, whole on the other side', async () => {
    const engine = hasty()
    const profile = await engine.open({})
    let reading: Reading | undefined
    let seen = 0
    // What comes after the first few is the same, only surer.
    for await (const r of experiment.run(defaults(experiment.params), { engine, profile, signal: new AbortController().signal, seed: 1, lens: 'here' })) {
      reading = r
      if (r.complete || ++seen === 4) break
    }
    const copy = structuredClone(reading)!
    expect(copy).toEqual(reading)
    const message = { v: VERSION, kind: 'told', from: 'w', told: { slide: id, part: 'main', phase: 'done', runs: 1, values: '', reading: copy } }
    expect(readMessage(message)).toBe(message)
    // A recording is the same reading, known otherwise.
    const recorded = asRecorded(reading!)
    expect(hows(recorded)).not.toContain('measured')
    if (hows(reading).has('measured')) expect(hows(recorded)).toContain('recorded')
    expect(recorded.trace.events.map((e) => e.kind)).toEqual(reading!.trace.events.map((e) => e.kind))
  })
})
