import { describe, expect, test } from 'vitest'
import { defaults } from '$components/controls/params'
import { catalogueMachine, type Machine } from '$engine/cost/machine'
import { hardware } from '$engine/cost/hardware'
import { kvBytesPerToken, modelSpec } from '$engine/cost/models'
import type { Engine } from '$engine/worker/protocol'
import { serveVirtually } from '$engine/worker/virtual'
import { params, run, type ContextReading } from '$slides/08_context_length_kv_growth/experiment'
import { findings, fits } from '$slides/08_context_length_kv_growth/findings'
import { FakeEngine } from '../../support/fake-engine'

/** The slide's experiment on a machine whose step costs are a formula. */
async function on(machine: Machine, values: Partial<ReturnType<typeof defaults<typeof params>>> = {}): Promise<ContextReading> {
  const fake = new FakeEngine()
  const profile = await fake.open({})
  const engine = Object.assign(fake, { serve: (workload) => serveVirtually(workload, machine) } satisfies Pick<Engine, 'serve'>)
  let last: ContextReading | undefined
  for await (const reading of run({ ...defaults(params), ...values }, { engine, profile, seed: 1, signal: new AbortController().signal })) last = reading
  return last!
}

const llama = modelSpec('llama-3.1-8b')
const h100 = catalogueMachine({ hardware: 'h100-sxm', model: 'llama-3.1-8b' })

describe('08: the trailer grows with every token', () => {
  test('each token of context costs its keys and values at the rate of memory, and nothing else', async () => {
    const r = await on(h100, { batch: 4 })
    const bytesPerMs = hardware('h100-sxm').bytesPerSecond / 1000
    const [a, b] = [r.points[0]!, r.points.at(-1)!]
    const perToken = (b.tpot - a.tpot) / (b.context - a.context)
    // What the formula says at full bandwidth is the least; the roofline reaches a stated share of it.
    const least = (4 * kvBytesPerToken(llama, 2)) / bytesPerMs
    expect(perToken / least).toBeGreaterThan(1)
    expect(perToken / least).toBeLessThan(2)
    for (let i = 1; i < r.points.length; i++) {
      expect((r.points[i]!.tpot - a.tpot) / (r.points[i]!.context - a.context) / perToken).toBeCloseTo(1, 2)
    }
  })

  test('reads the reader’s own length first and all the others after', async () => {
    const r = await on(h100, { context: 2048 })
    expect(r.trace.requests[0]!.promptTokens + r.trace.requests[0]!.maxTokens).toBe(2048)
    expect(r.points.map((p) => p.context)).toEqual([64, 128, 256, 512, 1024, 2048, 4096, 8192])
    expect(r.complete).toBe(true)
  })

  test('where the blocks run out lengths are left out, not invented', async () => {
    const r = await on({ ...h100, limits: { ...h100.limits, blocks: 1e6 } }, { batch: 16, kv_heads: '8' })
    expect(r.room).toBe(Math.floor(16448 / 8 / 16) * 16)
    expect(r.points.every((p) => p.context <= r.room)).toBe(true)
    expect(r.points.at(-1)!.context).toBe(2048)
  })

  test('cache against weights, by the formula', async () => {
    const f = findings(await on(h100, { context: 4096, batch: 2 }), 4096, 2)!
    expect(f.kvBytes.value).toBe(2 * 4096 * 131072)
    expect(f.crossover.value).toBeCloseTo(f.weightBytes.value / (2 * 131072), 6)
    expect(f.share.value).toBeCloseTo((100 * f.kvBytes.value) / f.weightBytes.value, 9)
    expect(f.kvBytes.provenance.how).toBe('modelled')
  })

  test('does it fit: 16 GB of weights leave an L4 room for 5.5 GB of cache, and 70 B fit no single card of 80 GB', () => {
    const l4 = fits(llama, 1024, 1).find((f) => f.hardware.name === 'l4')!
    expect(l4.requests.value).toBe(Math.floor((0.9 * 24e9 - l4.weights) / (131072 * 1024)))
    expect(l4.requests.value).toBeGreaterThan(35)
    expect(fits(modelSpec('llama-3.1-70b'), 1024, 1).filter((f) => f.requests.value > 0).map((f) => f.hardware.name)).toEqual(['b200', 'mi300x'])
  })
})
