import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { defaults } from '$components/controls/params'
import { catalogueMachine } from '$engine/cost/machine'
import { EngineError, type CascadeCase, type Cascaded, type Engine, type Quality } from '$engine/worker/protocol'
import { serveVirtually } from '$engine/worker/virtual'
import { LADDER, params, run, type SmallerReading } from '$slides/15_smaller_models/experiment'
import { allCascades, cascadeAt, cascadeFindings, distilled, extremes, faster, ladder, routerAt, simulatedAt, trainedOn } from '$slides/15_smaller_models/findings'
import { FakeEngine } from '../../support/fake-engine'

const provenance = { how: 'measured', device: { name: 'fake machine', runner: 'wasm', model: 'tales-5m' }, at: '2026-01-01T00:00:00.000Z' } as const
const one = (confidence: number, router: number, bits: { small: number; large: number }, ms = { small: 10, judged: 6, large: 40, router: 2 }): CascadeCase => ({
  prompt: 'Once upon a time', bytes: 100, bits, router: { confidence: router, ms: ms.router },
  small: { confidence, judged: 16, texts: [' a'], judgedMs: ms.judged, ms: ms.small }, large: { texts: [' the'], ms: ms.large },
})
/** The small model is surest where it is right. */
const CASES = [one(0.3, 0.6, { small: 200, large: 140 }), one(0.45, 0.3, { small: 160, large: 130 }), one(0.55, 0.5, { small: 130, large: 125 }), one(0.8, 0.4, { small: 110, large: 110 })]
const cascaded: Cascaded = { provenance, small: 'tales-1m-distilled', large: 'tales-5m', promptTokens: 64, answerTokens: 32, cases: CASES, complete: true }
const BITS = { 'tales-0.3m': 1.48, 'tales-1m': 1.43, 'tales-1m-distilled': 1.4, 'tales-5m': 1.37 } as Record<string, number>
const quality: Engine['quality'] = ({ model }) => Promise.resolve({ provenance, tokens: 1000, bytes: 3600, bitsPerByte: BITS[model]! } as Quality)

async function last(engine: Engine, lens: 'here' | 'elsewhere' = 'here', runner: 'wasm' | 'reference' = 'wasm'): Promise<SmallerReading> {
  const profile = await engine.open({ runner: 'auto', slow: 1 })
  let found: SmallerReading | undefined
  for await (const reading of run(defaults(params), { engine, profile: { ...profile, device: { ...profile.device, runner } }, seed: 1, lens, signal: new AbortController().signal })) found = reading
  expect(found!.complete).toBe(true)
  return found!
}

describe('15: a smaller model that passes', () => {
  test('by hand: what a threshold passes on, what it takes and how well it reads', () => {
    expect(cascadeAt(cascaded, 0)).toEqual({ share: 0, ms: 10, bits: 600 / 400 })
    expect(cascadeAt(cascaded, 0.5)).toEqual({ share: 0.5, ms: (46 + 46 + 10 + 10) / 4, bits: (140 + 130 + 130 + 110) / 400 })
    // All are paid twice: more than the large model alone takes.
    expect(cascadeAt(cascaded, 1)).toEqual({ share: 1, ms: 46, bits: 505 / 400 })
    // As many by the router, which took others: those whose prompts it was least sure of.
    expect(routerAt(cascaded, 0.5)).toEqual({ share: 0.5, ms: (42 + 42 + 12 + 12) / 4, bits: (200 + 130 + 130 + 110) / 400 })
    const found = cascadeFindings(cascaded, 0.5)!
    expect(found.escalated.value).toBe(50)
    expect(found.saved.value).toBeCloseTo(30, 9)
    expect(found.regained!.cascade.value).toBeCloseTo((100 * 90) / 95, 9)
    expect(found.regained!.router.value).toBeCloseTo((100 * 30) / 95, 9)
    expect(cascadeFindings(cascaded, 1)!.saved.value).toBeCloseTo(-15, 9)
    expect(cascadeFindings(cascaded, 1)!.regained).toBeUndefined()
    expect(extremes(cascaded).map((c) => c.small.confidence)).toEqual([0.8, 0.3])
  })

  test('a stricter threshold never passes on less, and costs time whenever it passes on more', () => {
    const unit = fc.double({ min: 0.01, max: 0.99, noNaN: true })
    const time = fc.double({ min: 1, max: 100, noNaN: true })
    const piece = fc.tuple(unit, unit, time, time, time).map(([c, r, small, share, large]) => one(c, r, { small: 150, large: 120 }, { small, judged: small * 0.5, large: small * 0.5 + large, router: share / 100 }))
    fc.assert(fc.property(fc.array(piece, { minLength: 1, maxLength: 30 }), (cases) => {
      const all = allCascades({ ...cascaded, cases })
      expect(all[0]!.share).toBe(0)
      expect(all.at(-1)!.share).toBe(1)
      for (let i = 1; i < all.length; i++) {
        expect(all[i]!.share).toBeGreaterThan(all[i - 1]!.share)
        expect(all[i]!.ms).toBeGreaterThan(all[i - 1]!.ms)
        expect(all[i]!.bits).toBeLessThan(all[i - 1]!.bits)
      }
    }))
  })

  test('on this device: every model is timed and read, the two of the cascade first, and smaller is sooner', async () => {
    const costs = { 'tales-0.3m': 0.1, 'tales-1m': 0.2, 'tales-1m-distilled': 0.2, 'tales-5m': 1 } as Record<string, number>
    const served: string[] = []
    const fake = new FakeEngine()
    const engine = Object.assign(fake, {
      quality, cascade: (async (_, o) => { o?.onUpdate?.({ ...cascaded, cases: CASES.slice(0, 1), complete: false }); return cascaded }) as Engine['cascade'],
      serve: (async (workload, o) => { served.push(workload.model); return new FakeEngine({ costs: { baseMs: costs[workload.model]!, perTokenMs: costs[workload.model]! / 20 } }).serve(workload, o) }) as Engine['serve'],
    })
    const found = await last(engine)
    expect(served.slice(0, 4)).toEqual(['tales-5m', 'tales-5m', 'tales-1m-distilled', 'tales-1m-distilled'])
    const rungs = ladder(found.rungs)
    expect(rungs.map((r) => r.model)).toEqual([...LADDER])
    // A step of one token, of 256: base and a twentieth for each.
    expect(rungs[3]!.tpot.value).toBeCloseTo(1.05, 9)
    expect(rungs[3]!.ttft.value).toBeCloseTo(1 + 256 / 20, 9)
    expect(rungs[3]!.per1k!.value).toBeCloseTo((1000 * 1.05 * 1000) / 3600, 6)
    expect(rungs[3]!.quality).toMatchObject({ value: 1.37, unit: 'bits/byte', provenance: { how: 'measured' } })
    expect(faster(rungs[2], rungs[3])!.tpot.value).toBeCloseTo(5, 6)
    expect(distilled(found)!.value).toBeCloseTo(100 * (1.4 / 1.43 - 1), 9)
    expect(found.cascaded).toEqual(cascaded)
  })

  test('the shipped cards say what each model was trained on', () => {
    expect(trainedOn('tales-1m')).toMatchObject({ value: 7.2, provenance: { how: 'published' } })
    expect(trainedOn('tales-1m-distilled')).toMatchObject({ value: 5 })
    expect(trainedOn('Qwen (own)')).toBeUndefined()
  })

  test('a model of other tokens has no cascade, and the ladder stands', async () => {
    const refused = Object.assign(new FakeEngine(), { quality, cascade: () => Promise.reject(new EngineError('Qwen knows 150000 tokens.', 'model')) })
    const found = await last(refused)
    expect(found).toMatchObject({ missing: 'Qwen knows 150000 tokens.', cascaded: undefined })
    expect(found.rungs).toHaveLength(4)
  })

  test('plain TypeScript leaves the largest out', async () => {
    const asked: unknown[] = []
    const found = await last(Object.assign(new FakeEngine(), { quality, cascade: ((request) => { asked.push(request); return Promise.resolve(cascaded) }) as Engine['cascade'] }), 'here', 'reference')
    expect(found.rungs.map((r) => r.model)).toEqual(['tales-0.3m', 'tales-1m', 'tales-1m-distilled'])
    expect(asked).toEqual([{ small: 'tales-0.3m', large: 'tales-1m-distilled' }])
  })

  test('in a datacentre: the next smaller ones, their published scores, and a simulated cascade that pays twice for what it passes on', async () => {
    const h100 = catalogueMachine({ hardware: 'h100-sxm', model: 'llama-3.1-8b' })
    const engine = Object.assign(new FakeEngine(), { machine: () => Promise.resolve(h100), serve: ((w, o) => serveVirtually(w, o?.on ?? h100)) as Engine['serve'] })
    const found = await last(engine, 'elsewhere')
    const rungs = ladder(found.rungs)
    expect(rungs.map((r) => [r.model, r.quality!.value, r.quality!.provenance.how])).toEqual([['llama-3.2-1b', 49.3, 'published'], ['llama-3.2-3b', 63.4, 'published'], ['llama-3.1-8b', 69.4, 'published']])
    for (let i = 1; i < 3; i++) {
      expect(rungs[i]!.tpot.value).toBeGreaterThan(rungs[i - 1]!.tpot.value)
      expect(rungs[i]!.ttft.value).toBeGreaterThan(rungs[i - 1]!.ttft.value)
      expect(rungs[i]!.tpot.provenance.how).toBe('modelled')
    }
    // Nobody waits: an answer is a first token and 127 more, of one model or of both.
    const whole = (i: number) => rungs[i]!.ttft.value + 127 * rungs[i]!.tpot.value
    const [none, all] = [simulatedAt(found.simulated!, 0), simulatedAt(found.simulated!, 1)]
    expect(none.afterAnswer.value / whole(1)).toBeCloseTo(1, 2)
    expect(all.afterAnswer.value / (whole(1) + whole(2))).toBeCloseTo(1, 2)
    expect(none.alone.value / whole(2)).toBeCloseTo(1, 2)
    // A router pays its own time on every request, and no answer twice.
    expect(none.upFront.value / (rungs[1]!.ttft.value + whole(1))).toBeCloseTo(1, 2)
    expect(all.upFront.value / (rungs[1]!.ttft.value + whole(2))).toBeCloseTo(1, 2)
    expect(none.saved.value).toBeGreaterThan(0)
    expect(all.saved.value).toBeLessThan(0)
    const values = [0, 0.25, 0.5, 0.75, 1].map((s) => simulatedAt(found.simulated!, s).afterAnswer.value)
    expect([...values].sort((a, b) => a - b)).toEqual(values)
  })
})
