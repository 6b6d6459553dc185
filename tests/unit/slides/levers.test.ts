import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { catalogueMachine, recordedMachine } from '$engine/cost/machine'
import rtx4090 from '$assets/profiles/rtx-4090-llama-3.1-8b.json'
import { EngineError, type Engine, type Machine, type Quality, type QualityRequest, type ScenarioJson } from '$engine/worker/protocol'
import { acceptanceFor, LEVERS, pullAll, smallerThan, type Board, type Lever } from '$slides/levers'
import { FakeEngine } from '../../support/fake-engine'

const h100 = catalogueMachine({ hardware: 'h100-sxm', model: 'llama-3.1-8b' })
/** Far between: what one request alone takes. */
const ALONE: ScenarioJson = { input: { dist: 'fixed', mean: 512 }, output: { dist: 'fixed', mean: 65 }, arrivals: { process: 'deterministic', rate: 0.1 } }
const BUSY: ScenarioJson = { input: { dist: 'lognormal', mean: 512, cv: 1 }, output: { dist: 'exponential', mean: 128 }, prefixes: { tokens: 256, groups: 1, share: 1 } }

async function board(machine: Machine, scenario: ScenarioJson, load?: number, engine: Partial<Engine> = {}, levers?: Lever[]): Promise<Board> {
  let last: Board | undefined
  for await (const b of pullAll({ machine, scenario, load }, { engine: Object.assign(new FakeEngine(), engine), levers })) last = b
  expect(last!.complete).toBe(true)
  return last!
}

/** Roofline of one decode step alone, as REFERENCE §2 writes it: it reads all weights and the cache. */
const alone = (bandwidth: number, context: number) => (2 * (8.03e9 - 128256 * 4096) + 131072 * context) / (bandwidth * 0.85 * 1e6) + 1

describe('levers', () => {
  test('alone on an H100 a faster memory shortens a token by the ratio of bandwidths, beside the millisecond that is neither', async () => {
    const { pulled, before } = await board(h100, ALONE, undefined, {}, ['hardware', 'capacity'])
    const context = 512 + 32
    expect(before.simulated.summary.tpot_ms!.p50).toBeCloseTo(alone(3350, context), 1)
    expect(pulled.hardware!.says).toBe('H200 for H100 SXM')
    expect(pulled.hardware!.effects.tpot!.value).toBeCloseTo(100 * (alone(4800, context) / alone(3350, context) - 1), 0)
    // Nobody here knows what it costs, and nobody's text changes.
    expect(pulled.hardware!.effects.cost).toBeNull()
    expect(pulled.hardware!.effects).not.toHaveProperty('quality')
    // Where nobody waits a second replica buys nothing, and is paid.
    expect(pulled.capacity!.effects.ttft!.value).toBeCloseTo(0, 9)
    expect(pulled.capacity!.effects.cost!.value).toBe(100)
  })

  test('speculation alone takes what the formula of drafts says', async () => {
    const { pulled } = await board(h100, ALONE, undefined, { serve: async (_, o) => ({ steps: [{ duration: o!.on === h100 ? 6 : 1.5 }] }) as never }, ['speculation'])
    // Four drafts of a quarter step each: one step and four quarters for (1 − .7⁵) / (1 − .7) tokens.
    const tokens = (1 - 0.7 ** 5) / (1 - 0.7)
    expect(pulled.speculation!.effects.tpot!.value).toBeCloseTo(100 * ((1 + 4 * 0.25) / tokens - 1), 0)
    expect(pulled.speculation!.effects).not.toHaveProperty('quality')
    expect(pulled.speculation!.says).toContain('Leviathan')
  })

  test('in traffic every lever is pulled, its effects are simulated, and each is worth something to somebody', async () => {
    const { pulled } = await board(h100, BUSY, 0.7, { serve: (w, o) => new FakeEngine().serve(w, o) })
    for (const { lever } of LEVERS) {
      const { effects, after } = pulled[lever]!
      expect(after, lever).toBeDefined()
      for (const e of [effects.ttft, effects.tpot, effects.p99]) expect(e!.provenance, lever).toMatchObject({ how: 'simulated', costs: { how: 'modelled' } })
      expect(Math.min(effects.ttft!.value, effects.tpot!.value, effects.p99!.value), lever).toBeLessThan(-5)
    }
    // The tail of waiting is what capacity and cached prompts are for; smaller steps pay with it for steadier tokens.
    expect(pulled.capacity!.effects.p99!.value).toBeLessThan(-20)
    expect(pulled.cache!.effects.p99!.value).toBeLessThan(-20)
    expect(pulled.batching!.effects.tpot!.value).toBeLessThan(-10)
    expect(pulled.batching!.effects.ttft!.value).toBeGreaterThan(0)
    // Meta's cards: 69.4 and 63.4.
    expect(pulled.smaller!.effects.quality!.value).toBeCloseTo(-8.65, 2)
    expect(pulled.smaller!.effects.quality!.provenance.how).toBe('published')
  })

  test('what cannot be pulled says why', async () => {
    const { pulled } = await board(h100, { ...BUSY, prefixes: null, scheduler: { max_batched_tokens: 128 } }, 0.5, {}, ['cache', 'batching'])
    expect(pulled.cache).toMatchObject({ says: 'No two prompts begin alike.', effects: {} })
    expect(pulled.batching!.after).toBeUndefined()
  })

  test('on a measured machine other models are measured too, and quality is read; a refusal takes its own lever alone', async () => {
    const asked: unknown[] = []
    const machine = async (of: Parameters<Engine['machine']>[0]) => {
      asked.push(of)
      if (typeof of !== 'string' && of.weights) throw new EngineError('This runner does not hold int8: choose f32.', 'model')
      return new FakeEngine({ costs: { baseMs: of === 'tales-1m-distilled' ? 0.25 : 0.5, perTokenMs: of === 'tales-1m-distilled' ? 0.0125 : 0.025 } }).machine(of as string)
    }
    const bitsPerByte = { 'tales-5m': 1.4, 'tales-1m-distilled': 1.47, 'tales-moe': 1.42 } as Record<string, number>
    const quality = ({ model }: QualityRequest) => Promise.resolve({ provenance: { how: 'measured', device: { name: 'x', runner: 'wasm', model }, at: '' }, bytes: 10, bitsPerByte: bitsPerByte[model]! } as Quality)
    const { pulled } = await board(await new FakeEngine().machine('tales-5m'), ALONE, undefined, { machine, quality }, ['smaller', 'quantization', 'moe'])
    // Costs of a quarter: a quarter of the time, exactly, since nobody waits.
    expect(pulled.smaller!.effects.tpot!.value).toBeCloseTo(-75, 6)
    expect(pulled.smaller!.effects.cost!.value).toBeCloseTo(-75, 0)
    expect(pulled.smaller!.effects.quality!.value).toBeCloseTo(5, 6)
    expect(pulled.moe!.effects.quality!.value).toBeCloseTo(100 * (1.42 / 1.4 - 1), 6)
    expect(pulled.quantization).toMatchObject({ says: 'This runner does not hold int8: choose f32.', effects: {} })
    expect(asked).toContain('tales-moe')
  })

  test('a recorded server is scaled by what its five numbers are made of, and says that this is modelled', async () => {
    const { pulled } = await board(recordedMachine(rtx4090 as never), ALONE, undefined, {}, ['quantization'])
    const { base_ms, per_sequence_ms, per_context_token_ms } = rtx4090.steps
    const token = (base: number) => base + per_sequence_ms + per_context_token_ms * 544
    expect(pulled.quantization!.effects.tpot!.value).toBeCloseTo(100 * (token(base_ms / 2) / token(base_ms) - 1), 1)
    expect(pulled.quantization!.effects.tpot!.provenance).toMatchObject({ how: 'simulated', costs: { how: 'modelled' } })
  })

  test('of the same family, half the size: what stands in for a model', () => {
    expect(['llama-3.1-405b', 'llama-3.1-70b', 'llama-3.1-8b', 'llama-3.2-3b'].map((m) => smallerThan(m)!.name)).toEqual(['llama-3.1-70b', 'llama-3.1-8b', 'llama-3.2-3b', 'llama-3.2-1b'])
  })

  test('the acceptance that yields so many tokens', () => {
    fc.assert(fc.property(fc.double({ min: 0.01, max: 0.99, noNaN: true }), fc.integer({ min: 1, max: 8 }), (a, k) => {
      const tokens = Array.from({ length: k + 1 }, (_, i) => a ** i).reduce((x, y) => x + y, 0)
      expect(acceptanceFor(tokens, k)).toBeCloseTo(a, 6)
    }))
  })
})
