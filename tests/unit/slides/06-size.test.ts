import { describe, expect, test } from 'vitest'
import { defaults } from '$components/controls/params'
import { catalogueMachine } from '$engine/cost/machine'
import { hardware } from '$engine/cost/hardware'
import { MODELS, modelSpec, totalParameters } from '$engine/cost/models'
import { EngineError, type Engine, type Workload } from '$engine/worker/protocol'
import { serveVirtually } from '$engine/worker/virtual'
import { params, run, type SizeReading } from '$slides/06_model_size/experiment'
import { bandwidthLine, cacheEdge, findings, largestOn } from '$slides/06_model_size/findings'
import { FakeEngine } from '../../support/fake-engine'

type Overrides = Partial<ReturnType<typeof defaults<typeof params>>>

async function read(engine: Engine, lens: 'here' | 'elsewhere', values: Overrides = {}): Promise<SizeReading> {
  const profile = await engine.open({ runner: 'auto', slow: 1 })
  let last: SizeReading | undefined
  for await (const reading of run({ ...defaults(params), ...values }, { engine, profile, seed: 1, lens, signal: new AbortController().signal })) last = reading
  return last!
}

/** An H100 with Llama-3.1-8B, as the lens is. */
function h100(): Engine {
  const machine = catalogueMachine({ hardware: 'h100-sxm', model: 'llama-3.1-8b' })
  return Object.assign(new FakeEngine(), {
    machine: () => Promise.resolve(machine),
    serve: ((workload, options) => serveVirtually(workload, options?.on ?? machine)) satisfies Engine['serve'],
  })
}

describe('06: more weights, more bytes per token', () => {
  test('by roofline no token is faster than its bytes at full bandwidth, and twice the bytes take nearly twice as long', async () => {
    const r = await read(h100(), 'elsewhere')
    const bytesPerMs = hardware('h100-sxm').bytesPerSecond / 1000
    expect(r.points.map((p) => p.label)).toContain('Llama-2-7B')
    for (const p of r.points) expect(p.tpot).toBeGreaterThan(p.bytes / bytesPerMs)
    const big = r.points.at(-1)!
    expect(big.tpot / (big.bytes / bytesPerMs)).toBeLessThan(2)
    const [mistral, opt] = ['Mistral-7B', 'OPT-13B'].map((label) => r.points.find((p) => p.label === label)!)
    expect(opt!.tpot / mistral!.tpot).toBeGreaterThan(1.5)
    expect(findings(r).twice!.value).toBeGreaterThan(1.4)
    expect(r.points.map((p) => p.bytes)).toEqual(r.points.map((p) => p.bytes).sort((a, b) => a - b))
  })

  test('what does not fit is named, not invented; fewer bits let more in and make each token quicker', async () => {
    const [wide, narrow] = [await read(h100(), 'elsewhere', { precision: 'f16' }), await read(h100(), 'elsewhere', { precision: 'int4' })]
    expect(wide.missing).toContain('Llama-3.1-70B')
    expect(narrow.points.length).toBeGreaterThan(wide.points.length)
    expect(narrow.own.tpot).toBeLessThan(0.5 * wide.own.tpot)
    expect(narrow.own.bytes / wide.own.bytes).toBeLessThan(0.35)
  })

  test('on this device: the trained ladder, other sizes, two chats, and the first once more', async () => {
    const asked: Workload[] = []
    const r = await read(new FakeEngine({ costs: { baseMs: 4, perTokenMs: 1 }, onServe: (workload) => asked.push(workload) }), 'here', { size: 50, precision: 'int8' })
    expect(asked[0]).toMatchObject({ model: 'timing', parameters: 50e6, weights: { format: 'int8' } })
    expect(asked.map((w) => w.model)).toEqual(expect.arrayContaining(['tales-0.3m', 'tales-1m', 'tales-5m']))
    // A step of one token takes 5 ms, of two 6.
    const f = findings(r)
    expect(f.tpot.value).toBeCloseTo(5, 6)
    expect(f.second!.value).toBeCloseTo(6 / 5, 6)
    expect(f.later!.times.value).toBeCloseTo(1, 6)
  })

  test('a size that the device cannot hold ends the ladder in words', async () => {
    const full = new EngineError('The memory is full. Ask for fewer parameters.', 'out-of-memory')
    const r = await read(new FakeEngine({ onServe: (w) => { if (w.parameters === 98e6) throw full } }), 'here')
    expect(r.missing).toBe(full.message)
    expect(r.complete).toBe(true)
    await expect(read(new FakeEngine({ onServe: (w) => { if (w.parameters === 25e6) throw full } }), 'here')).rejects.toThrow(full)
  })

  test('the cache’s edge is where the rate comes down, and there is none on a flat memory', () => {
    const read = [[1, 100], [2, 100], [4, 100], [8, 25], [16, 20]].map(([mb, gb]) => ({ bytes: mb! * 1e6, bytesPerSecond: gb! * 1e9 }))
    expect(cacheEdge({ flopsPerSecond: 1, read })! / 1e6).toBeGreaterThan(4)
    expect(cacheEdge({ flopsPerSecond: 1, read })! / 1e6).toBeLessThan(8)
    expect(cacheEdge({ flopsPerSecond: 1, read: [{ bytes: 1e6, bytesPerSecond: 1e9 }] })).toBeUndefined()
    const line = bandwidthLine({ flopsPerSecond: 1, read }, 1e6, 16e6)
    expect(line[0]!.y).toBeCloseTo(0.01, 9)
    expect(line.at(-1)!.y).toBeCloseTo(0.8, 9)
  })

  test('the largest that fits is below the memory, and the next larger is not', () => {
    for (const precision of ['f16', 'int4'] as const) {
      const found = largestOn('rtx-4090', precision)!
      const width = precision === 'f16' ? 2 : 0.5
      expect(found.weights.value).toBeLessThan(0.9 * 24e9)
      const larger = MODELS.map((m) => width * totalParameters(m)).filter((b) => b > found.weights.value)
      expect(larger.every((b) => b >= 0.9 * 24e9)).toBe(true)
    }
    expect(largestOn('h100-sxm', 'int4')!.weights.value).toBeGreaterThanOrEqual(totalParameters(modelSpec('llama-3.1-70b')) * 0.5)
  })
})
