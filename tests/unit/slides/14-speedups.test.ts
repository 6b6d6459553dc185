import { describe, expect, test } from 'vitest'
import { defaults } from '$components/controls/params'
import { catalogueMachine } from '$engine/cost/machine'
import type { Bottleneck } from '$engine/trace/bottleneck'
import type { Quantity } from '$engine/trace/quantity'
import { EngineError, type Engine, type Machine, type Quality } from '$engine/worker/protocol'
import { serveVirtually } from '$engine/worker/virtual'
import { params, run, type SpeedupsReading } from '$slides/14_speedups/experiment'
import { baseline, best, lit, present } from '$slides/14_speedups/findings'
import { LEVERS } from '$slides/levers'
import { PRESETS, type Preset } from '$slides/workloads'
import { FakeEngine } from '../../support/fake-engine'

const h100 = catalogueMachine({ hardware: 'h100-sxm', model: 'llama-3.1-8b' })
const on = (machine: Machine): Engine => Object.assign(new FakeEngine(), { machine: () => Promise.resolve(machine), serve: ((w, o) => serveVirtually(w, o?.on ?? machine)) as Engine['serve'] })

async function readings(engine: Engine, preset: Preset): Promise<SpeedupsReading[]> {
  const profile = await engine.open({ runner: 'auto', slow: 1 })
  const all: SpeedupsReading[] = []
  for await (const reading of run({ ...defaults(params), preset }, { engine, profile, seed: 1, signal: new AbortController().signal })) all.push(reading)
  return all
}

describe('14: know the bottleneck, then pull the lever', () => {
  const found = new Map<Preset, SpeedupsReading>()
  test.each(PRESETS)('%s on an H100: eight tiles, those of the bottleneck lit, every effect known by something', async (preset) => {
    const all = await readings(on(h100), preset)
    const last = all.at(-1)!
    found.set(preset, last)
    expect(last.complete).toBe(true)
    expect(all.slice(0, -1).every((r) => !r.complete)).toBe(true)
    expect(Object.keys(last.board!.pulled).sort()).toEqual(LEVERS.map((l) => l.lever).sort())
    const { bottleneck, share } = present(last.trace)!
    expect(share.value).toBeGreaterThan(100 / 5)
    for (const { lever, acts } of LEVERS) {
      expect(lit(bottleneck).includes(lever), lever).toBe((acts as readonly Bottleneck[]).includes(bottleneck))
      for (const e of Object.values(last.board!.pulled[lever]!.effects) as (Quantity | null)[]) if (e) expect(e.provenance.how, lever).toMatch(/^(simulated|published)$/)
    }
    // Something that acts on the bottleneck and keeps the text is worth pulling.
    expect(lit(bottleneck).some((l) => (last.board!.pulled[l]!.effects.p99?.value ?? 0) < -10)).toBe(true)
    expect(baseline(last.board!).tail!.value).toBeGreaterThan(baseline(last.board!).ttft!.value)
  })

  test('the default shows the point: a chat waits for memory, an agent for the queue, and what helps most differs', () => {
    expect(present(found.get('chat')!.trace)!.bottleneck).toBe('memory')
    expect(present(found.get('agent')!.trace)!.bottleneck).toBe('queue')
    expect(best(found.get('chat')!.board!, 'p99', true)!.lever).toBe('capacity')
    expect(best(found.get('agent')!.board!, 'p99', true)!.lever).toBe('cache')
    // The longer the shared beginning, the more a cache is worth.
    const cached = (preset: Preset) => found.get(preset)!.board!.pulled.cache!.effects.ttft!.value
    expect(cached('agent')).toBeLessThan(cached('chat'))
  })

  test('the same text is written by what changes no weights', () => {
    const { pulled } = found.get('chat')!.board!
    expect(LEVERS.map((l) => l.lever).filter((l) => !('quality' in pulled[l]!.effects))).toEqual(['speculation', 'cache', 'batching', 'capacity', 'hardware'])
    expect(best({ pulled }, 'p99')!.lever).toBe('smaller')
  })

  test('a share of a time is a share: parts of one request by hand', () => {
    const trace = { ...found.get('chat')!.trace, steps: [], events: [] }
    expect(present(trace)).toBeUndefined()
  })

  test('on this device models and precisions are measured, and a runner without int8 says so on its tile', async () => {
    const engine = Object.assign(new FakeEngine(), {
      machine: ((of) => (typeof of !== 'string' && of.weights ? Promise.reject(new EngineError('no int8 here', 'model')) : new FakeEngine().machine(of as string))) as Engine['machine'],
      quality: ((q) => Promise.resolve({ provenance: { how: 'measured', device: { name: 'x', runner: 'wasm', model: q.model }, at: '' }, bytes: 10, bitsPerByte: q.model === 'tales-5m' ? 1.37 : 1.4 } as Quality)) as Engine['quality'],
    })
    const { board } = (await readings(engine, 'chat')).at(-1)!
    expect(board!.pulled.quantization!.says).toBe('no int8 here')
    expect(board!.pulled.smaller!.effects.quality!.provenance.how).toBe('measured')
    expect(board!.pulled.speculation!.says).toBe('Nothing was drafted here.')
    expect(board!.pulled.capacity!.effects.p99!.value).toBeLessThan(0)
    expect(board!.pulled.capacity!.effects.p99!.provenance).toMatchObject({ how: 'simulated', costs: { how: 'measured' } })
  })
})
