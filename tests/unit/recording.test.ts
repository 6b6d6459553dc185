import { readdirSync, readFileSync } from 'node:fs'
import { gzipSync, gunzipSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { defaults, type Params } from '$components/controls/params'
import { packRecording, readRecording, sameValues, type Recording } from '$components/frame/recording'
import { perRequest } from '$engine/trace/metrics'
import type { Trace } from '$engine/trace/trace'
import type { EngineInfo } from '$engine/worker/protocol'
import { FakeEngine } from '../support/fake-engine'

const folder = new URL('../../assets/recorded/', import.meta.url)
const EXPERIMENTS = Object.fromEntries(Object.entries(import.meta.glob<{ params: Params }>('../../slides/*/experiment.ts', { eager: true })).map(([path, experiment]) => [path.split('/').at(-2)!, experiment]))

const recording = (reading: unknown): Recording => ({ version: 1, slide: '05_latency_components', values: { prompt: 512 }, at: '2026-01-01T00:00:00.000Z', info: {} as EngineInfo, reading })
const through = async (reading: unknown) => (await readRecording(await packRecording(recording(reading)))).reading

/** Whole numbers and numbers of three decimals: what a recording keeps exactly. */
const number = fc.oneof(fc.integer(), fc.maxSafeInteger(), fc.integer({ min: -1e9, max: 1e9 }).map((n) => n / 1000).filter((x) => Math.abs(x) >= 1 || x === 0), fc.constantFrom(Infinity, -Infinity, NaN))
const leaf = fc.oneof(number, fc.string(), fc.boolean(), fc.constant(null))
const name = fc.string({ minLength: 1 }).filter((key) => key !== '__proto__' && key !== 'how')
const value = fc.letrec<{ any: unknown }>((tie) => ({
  any: fc.oneof(
    { depthSize: 'small', withCrossShrink: true }, leaf, fc.array(tie('any'), { maxLength: 9 }), fc.dictionary(name, tie('any'), { maxKeys: 5 }),
    fc.array(number, { minLength: 4, maxLength: 30 }), fc.array(fc.record({ t: number, kind: fc.string(), batch: fc.array(fc.record({ request: number, tokens: number })), note: fc.string() }, { requiredKeys: ['t'] }), { maxLength: 12 }),
  ),
})).any

test('what is recorded is read back as it was', async () => {
  await fc.assert(fc.asyncProperty(value, async (x) => {
    expect(await through(x)).toEqual(plain(x))
  }), { numRuns: 300 })
})

/** Records without a prototype are read back as plain ones; −0 is 0. */
function plain(x: unknown): unknown {
  if (Array.isArray(x)) return x.map(plain)
  if (typeof x === 'object' && x !== null) return Object.fromEntries(Object.entries(x).map(([key, v]) => [key, plain(v)]))
  return Object.is(x, -0) ? 0 : x
}

test('maps, sets, bytes and holes come back too', async () => {
  const x = { map: new Map([[1, { a: 2 }]]), set: new Set(['a']), bytes: Uint8Array.of(1, 2, 255), rows: [{ a: 1 }, { b: [1] }, { a: 3, b: [] }, {}], nested: [[1, 2], [3], []] }
  expect(await through(x)).toEqual(x)
})

test('what stands in several places is one object again', async () => {
  const own = { label: 'yours', tpot: 1.5 }
  const list = [1, 2]
  const back = await through({ own, points: [{ label: 'a', tpot: 2 }, own, { label: 'b', tpot: 3 }], lists: [list, [3], [4]], list }) as { own: object; points: object[]; lists: number[][]; list: number[] }
  expect(back.own).toEqual(own)
  expect(back.points[1]).toBe(back.own)
  expect(back.lists[0]).toBe(back.list)
})

test('any number keeps three decimals, or six digits below one', async () => {
  await fc.assert(fc.asyncProperty(fc.array(fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e7, max: 1e7 }), { minLength: 1, maxLength: 20 }), async (list) => {
    const back = await through({ list, one: list[0] }) as { list: number[]; one: number }
    for (const [i, x] of list.entries()) expect(Math.abs(back.list[i]! - x)).toBeLessThanOrEqual(0.00051)
    expect(Math.abs(back.one - list[0]!)).toBeLessThanOrEqual(Math.abs(list[0]!) < 1 ? Math.abs(list[0]!) * 1e-5 : 0.00051)
  }))
})

describe('a Trace of the engine', () => {
  const served = async () => {
    const engine = new FakeEngine({ costs: { baseMs: 1.23456, perTokenMs: 0.0234567 } })
    await engine.open({ runner: 'auto', slow: 1 })
    return engine.serve({ model: 'tales-5m', requests: Array.from({ length: 20 }, (_, i) => ({ prompt: 20 + i, maxTokens: 12, arrival: 3.21 * i })) })
  }

  test('says recorded, on the device and the day it was measured; other provenance stays', async () => {
    const trace = await served()
    const modelled = { how: 'modelled', hardware: 'x', model: 'y' }
    const back = await through({ trace, simulated: { how: 'simulated', costs: trace.provenance, seed: 1 }, modelled }) as { trace: Trace; simulated: unknown; modelled: unknown }
    expect(trace.provenance.how).toBe('measured')
    expect(back.trace.provenance).toEqual({ ...trace.provenance, how: 'recorded' })
    expect(back.simulated).toEqual({ how: 'simulated', costs: { ...trace.provenance, how: 'recorded' }, seed: 1 })
    expect(back.modelled).toEqual(modelled)
  })

  test('has the same figures to a microsecond, and stands in two places once', async () => {
    const trace = await served()
    const back = await through({ trace, again: { trace } }) as { trace: Trace; again: { trace: Trace } }
    expect(back.again.trace).toBe(back.trace)
    const [was, is] = [perRequest(trace), perRequest(back.trace)]
    expect(is).toHaveLength(was.length)
    for (const [i, r] of was.entries()) {
      expect(Math.abs(is[i]!.ttft - r.ttft)).toBeLessThan(0.0021)
      expect(Math.abs(is[i]!.e2e - r.e2e)).toBeLessThan(0.0021)
    }
    expect(back.trace.events.map((e) => [e.kind, e.request, e.text])).toEqual(trace.events.map((e) => [e.kind, e.request, e.text]))
  })
})

test('bytes that are no recording are refused, in words', async () => {
  await expect(readRecording(new TextEncoder().encode('[{"version":1},2]'))).rejects.toThrow('no recording of version 1')
  await expect(readRecording(new Uint8Array(gzipSync('nonsense')))).rejects.toThrow()
  const whole = await packRecording(recording([1]))
  await expect(readRecording(whole.slice(0, whole.length - 9))).rejects.toThrow()
})

test('a server that unpacks it on the way does no harm', async () => {
  const unpacked = new Uint8Array(gunzipSync(await packRecording(recording({ a: [1, 2, 3] }))))
  expect((await readRecording(unpacked)).reading).toEqual({ a: [1, 2, 3] })
})

describe('shipped', () => {
  const files = readdirSync(folder)

  test.each(files)('%s is of a slide’s own settings as they are now, and nothing in it was measured just now', async (file) => {
    const slide = file.replace(/\.bin$/, '')
    const bytes = new Uint8Array(readFileSync(new URL(file, folder)))
    const found = await readRecording(bytes)
    expect(found.slide).toBe(slide)
    expect(sameValues(found.values, defaults(EXPERIMENTS[slide]!.params)), 'npm run record makes it anew').toBe(true)
    expect((found.reading as { complete: boolean }).complete).toBe(true)
    const hows = new Set<unknown>()
    const seen = new Set<unknown>()
    const walk = (x: unknown) => {
      if (typeof x !== 'object' || x === null || seen.has(x)) return
      seen.add(x)
      if ('how' in x) hows.add(x.how)
      for (const inner of Object.values(x)) walk(inner)
    }
    walk(found.reading)
    expect(hows.has('measured')).toBe(false)
    expect(hows.size).toBeGreaterThan(0)
  })

  test('all of them stay below 3 MB', () => {
    expect(files.reduce((sum, file) => sum + readFileSync(new URL(file, folder)).length, 0)).toBeLessThan(3e6)
  })
})
