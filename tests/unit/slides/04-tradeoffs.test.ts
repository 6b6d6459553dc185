import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { defaults } from '$components/controls/params'
import { catalogueMachine } from '$engine/cost/machine'
import { kvBytesPerToken, modelSpec, totalParameters } from '$engine/cost/models'
import { bitsPerByte } from '$engine/measure/quality'
import { createReferenceRunner } from '$engine/runner/reference'
import type { Trace } from '$engine/trace/trace'
import { EngineError, type Engine, type Quality, type Workload } from '$engine/worker/protocol'
import { read as readText } from '$engine/worker/quality'
import { serveVirtually } from '$engine/worker/virtual'
import { FORMATS, OUTPUT, params, PROMPT, redrawn, run, type TradeoffReading } from '$slides/04_tradeoffs/experiment'
import { findings, places, shared, type Place } from '$slides/04_tradeoffs/findings'
import { FakeEngine } from '../../support/fake-engine'
import { shipped } from '../fixtures'

/** Bits a byte of a model that nobody trained: larger is better, fewer bits are worse. */
const BITS: Record<string, number> = { 'tales-0.3m': 1.5, 'tales-1m': 1.45, 'tales-1m-distilled': 1.4, 'tales-moe': 1.39, 'tales-5m': 1.37 }
const WORSE = { f32: 0, f16: 0, int8: 0.001, int4: 0.04 }
const COSTS = { baseMs: 1, perTokenMs: 0.25 }

class Tested extends FakeEngine {
  asked: string[] = []
  override quality: Engine['quality'] = ({ model, weights }) => {
    this.asked.push(`${model} ${weights!.format}`)
    return Promise.resolve({
      provenance: { how: 'measured', device: { name: 'fake machine', runner: 'wasm', model }, at: '2026-01-01T00:00:00.000Z' },
      tokens: 900, bytes: 3800, bitsPerByte: BITS[model]! + WORSE[weights!.format],
    } as Quality)
  }
}

async function readings(engine: Engine, values: Partial<ReturnType<typeof defaults<typeof params>>> = {}, lens: 'here' | 'elsewhere' = 'here', runner?: 'reference'): Promise<TradeoffReading[]> {
  const info = await engine.open({ runner: 'auto', slow: 1 })
  const profile = runner ? { ...info, device: { ...info.device, runner } } : info
  const all: TradeoffReading[] = []
  for await (const reading of run({ ...defaults(params), ...values }, { engine, profile, seed: 1, lens, signal: new AbortController().signal })) all.push(reading)
  return all
}

function h100(): Engine {
  const machine = catalogueMachine({ hardware: 'h100-sxm', model: 'llama-3.1-8b' })
  return Object.assign(new FakeEngine(), {
    machine: () => Promise.resolve(machine),
    serve: ((workload, options) => serveVirtually(workload, options?.on ?? machine)) satisfies Engine['serve'],
  })
}

const at = async (values: Parameters<typeof readings>[1] = {}) => (await readings(new Tested({ costs: COSTS }), values)).at(-1)!

describe('04: capability, cost, latency', () => {
  test('the parameters are those of the outline; price and precision run nothing anew', () => {
    expect(defaults(params)).toEqual({ price: 2.5, batch: 1, precision: 'all' })
    expect([params.price.from, params.price.to, params.batch.from, params.batch.to]).toEqual([0.1, 20, 1, 64])
    expect(params.precision.options.map((o) => o.value)).toEqual(['all', 'f32', 'f16', 'int8', 'int4'])
    expect(redrawn).toEqual(['price', 'precision'])
  })

  test('every shipped model in every precision is timed and tested, the smallest first, one point after the other', async () => {
    const engine = new Tested()
    const all = await readings(engine)
    expect(all[0]!.choices.map((c) => `${c.model} ${c.format}`)).toEqual(['tales-0.3m f32'])
    expect(all.map((r) => r.choices.length)).toEqual([...Array.from({ length: 20 }, (_, i) => i + 1), 20])
    expect(all.map((r) => r.complete)).toEqual([...Array.from({ length: 20 }, () => false), true])
    expect(all.every((r) => r.planned === 20 && r.missing === undefined)).toBe(true)
    expect(new Set(all.at(-1)!.choices.map((c) => c.model))).toEqual(new Set(Object.keys(BITS)))
    // The text is read once, whatever the batch.
    expect(engine.asked.length).toBe(20)
    await readings(engine, { batch: 4 })
    expect(engine.asked.length).toBe(20)
  })

  test('time per token and device time are those of the steps, by hand, alone and shared', async () => {
    for (const batch of [1, 8]) {
      const [place] = places(await at({ batch }), 2.5)
      const step = COSTS.baseMs + batch * COSTS.perTokenMs
      const total = COSTS.baseMs + batch * PROMPT * COSTS.perTokenMs + (OUTPUT - 1) * step
      expect(place!.tpot.value).toBeCloseTo(step, 6)
      expect(place!.seconds.value).toBeCloseTo(total / (batch * OUTPUT), 6)
      expect(place!.dollars.value).toBeCloseTo((2.5 / 3600) * place!.seconds.value, 12)
    }
  })

  test('each control moves what the slide says: price the money alone, a batch the cost down and the wait up, a precision what is shown', async () => {
    const [alone, eight] = [await at(), await at({ batch: 8 })]
    const [cheap, dear] = [places(alone, 2.5)[0]!, places(alone, 5)[0]!]
    expect(dear.dollars.value).toBeCloseTo(2 * cheap.dollars.value, 12)
    expect([dear.seconds.value, dear.tpot.value]).toEqual([cheap.seconds.value, cheap.tpot.value])
    const change = shared(places(eight, 2.5)[0]!)
    expect(change.cost.value).toBeLessThan(1)
    expect(change.wait.value).toBeGreaterThan(1)
    expect(shared(cheap)).toMatchObject({ cost: { value: 1 }, wait: { value: 1 } })
    for (const format of FORMATS) expect(findings(places(alone, 2.5), format)!.shown.map((p) => p.choice.format)).toEqual(Array.from({ length: 5 }, () => format))
    expect(findings([], 'all')).toBeUndefined()
  })

  test('nobody listed is beaten, and everybody else is: each against each', () => {
    const number = fc.double({ min: 0.01, max: 10, noNaN: true })
    fc.assert(fc.property(fc.array(fc.tuple(number, number, number), { minLength: 1, maxLength: 25 }), (values) => {
      const q = (value: number) => ({ metric: 'x', value, unit: '' as const, provenance: { how: 'published' as const, source: '', conditions: '' } })
      const all = values.map((v, i): Place => ({ label: String(i), choice: { model: String(i), format: 'f32', devices: 1, alone: [], together: [] }, tpot: q(v[2]), seconds: q(v[1]), dollars: q(v[1]), bits: q(v[0]), values: v, alone: v }))
      const { listed, beaten, capable } = findings(all, 'all')!
      const beats = (a: Place, b: Place) => [0, 1, 2].every((d) => a.values[d]! <= b.values[d]!) && [0, 1, 2].some((d) => a.values[d]! < b.values[d]!)
      for (const p of all) expect(listed.includes(p)).toBe(!all.some((other) => beats(other, p)))
      expect(beaten).toBe(all.length - listed.length)
      expect(capable!.values[0]).toBe(Math.min(...values.map((v) => v[0])))
      expect(listed.map((p) => p.values[0])).toEqual(listed.map((p) => p.values[0]).sort((a, b) => a - b))
    }))
  })

  test('the default view makes the point with the models as they are shipped: size buys capability, and a taught model beats a plain one of its size', { timeout: 60_000 }, async () => {
    const passage = readFileSync('assets/models/passage.txt', 'utf8').slice(0, 900)
    const bits = async (name: string) => {
      const loaded = await shipped(name)
      const { logits, ids, bytes } = await readText(loaded, passage, createReferenceRunner(loaded.model, { blocks: 64 }))
      return bitsPerByte(logits, ids, loaded.model.config.vocabSize, bytes)
    }
    const [small, plain, taught, large] = [await bits('tales-0.3m'), await bits('tales-1m'), await bits('tales-1m-distilled'), await bits('tales-5m')]
    expect(small).toBeGreaterThan(plain)
    expect(plain).toBeGreaterThan(taught)
    expect(taught).toBeGreaterThan(large)
  })

  test('a runner that holds no fewer bits, or is slow, says what is left out and shows the rest', async () => {
    const engine = new Tested({ onServe: ({ weights }: Workload) => { if (weights!.format !== 'f32') throw new EngineError(`The reference runner does not hold weights in ${weights!.format}: choose f32.`, 'model') } })
    const last = (await readings(engine, {}, 'here', 'reference')).at(-1)!
    expect(last.choices.map((c) => `${c.model} ${c.format}`)).toEqual(['tales-0.3m f32', 'tales-1m-distilled f32', 'tales-1m f32'])
    expect(last.planned).toBe(3)
    expect(last.missing).toMatch(/does not hold f16, int8, int4.*larger models are left out/)
    await expect(readings(new Tested({ onServe: () => { throw new EngineError('tales-0.3m is broken', 'model') } }))).rejects.toThrow('broken')
  })

  test('a model that stands in for another is one point, not two', async () => {
    const engine = new Tested()
    const serve = engine.serve.bind(engine)
    engine.serve = async (workload, options) => {
      const trace: Trace = await serve(workload, options)
      return workload.model === 'tales-5m' && trace.provenance.how === 'measured' ? { ...trace, provenance: { ...trace.provenance, device: { ...trace.provenance.device, model: 'tales-0.3m' } } } : trace
    }
    expect((await readings(engine)).at(-1)!.choices.filter((c) => c.model === 'tales-0.3m')).toHaveLength(4)
  })

  test('in the datacentre: times and costs by roofline on as few devices as hold the model, and no capability made up', async () => {
    const last = (await readings(h100(), { batch: 8 }, 'elsewhere')).at(-1)!
    const all = places(last, 2.5)
    const large = all.find((p) => p.label === 'Llama-3.1-70B ×2 f16')!
    // 141 GB of weights over two devices' bandwidth, and a millisecond.
    const m = modelSpec('llama-3.1-70b')
    const bytes = 2 * (totalParameters(m) - m.vocab * m.hidden) + 8 * (PROMPT + OUTPUT / 2) * kvBytesPerToken(m, 2)
    expect(large.tpot.value / ((1000 * bytes) / (2 * 3.35e12 * 0.85) + 1)).toBeCloseTo(1, 2)
    // Two devices are paid for; its prompts are read with one pass over the weights, as a token is.
    expect(large.seconds.value / ((2 * large.tpot.value) / 8)).toBeCloseTo(1, 2)
    const found = findings(all, 'all')!
    expect(found.capable).toBeUndefined()
    expect(found.dearer).toBeUndefined()
    expect(all.every((p) => p.bits === undefined && p.tpot.provenance.how === 'modelled')).toBe(true)
    const models = new Set(all.map((p) => p.choice.model))
    expect(found.listed.length).toBe(models.size)
    for (const p of found.listed) expect(p.dollars.value).toBe(Math.min(...all.filter((q) => q.choice.model === p.choice.model).map((q) => q.dollars.value)))
  })
})
