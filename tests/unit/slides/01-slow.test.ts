import { describe, expect, test } from 'vitest'
import { defaults } from '$components/controls/params'
import { catalogueMachine } from '$engine/cost/machine'
import { bottleneck, total } from '$engine/trace/bottleneck'
import type { Engine } from '$engine/worker/protocol'
import { serveVirtually } from '$engine/worker/virtual'
import { params, PLACES, RTT, run, type BurstReading } from '$slides/01_what_makes_slow/experiment'
import { columns, findings } from '$slides/01_what_makes_slow/findings'
import { FakeEngine } from '../../support/fake-engine'

const h100 = catalogueMachine({ hardware: 'h100-sxm', model: 'llama-3.1-8b' })

async function read(values: Partial<ReturnType<typeof defaults<typeof params>>> = {}): Promise<BurstReading> {
  const fake = new FakeEngine()
  const profile = await fake.open({})
  const engine = Object.assign(fake, { serve: (workload) => serveVirtually(workload, h100) } satisfies Pick<Engine, 'serve'>)
  let last: BurstReading | undefined
  for await (const reading of run({ ...defaults(params), ...values }, { engine, profile, seed: 1, signal: new AbortController().signal })) last = reading
  return last!
}

describe('01: time goes to five places, and one of them spikes', () => {
  test('the parts of every request add up to its end-to-end time, the wire to what was stated', async () => {
    const r = await read()
    expect(findings(r)!.alone.e2e.value).toBeCloseTo(total(bottleneck(r.alone, 0)), 6)
    for (const c of [columns(r).alone!, ...columns(r).line]) expect(c!.attribution.network).toBeCloseTo(RTT, 6)
    expect(columns(r).line).toHaveLength(8)
    expect(findings(r)!.last!.e2e.value).toBeCloseTo(total(columns(r).line.at(-1)!.attribution), 6)
  })

  test('alone there is no queue; the last of a burst spends most of its time in it, and the rest stays as it was', async () => {
    const { alone, last } = findings(await read())!
    expect(alone.attribution.queue).toBe(0)
    expect(last!.largest).toBe('queue')
    // A prompt of 256 tokens is arithmetic or reading, by how near the machine's ridge is: both together are what the request needs.
    const own = ({ attribution: a }: typeof alone) => a.compute + a.memory + a.network
    expect(own(last!) / own(alone)).toBeCloseTo(1, 1)
  })

  test('as many steps wait before it as turns of the places come first', async () => {
    const full = findings(await read({ burst: PLACES * 8 }))!.last!
    const half = findings(await read({ burst: PLACES * 4 }))!.last!
    // Eight turns against four: seven are waited for against three, and one's own is the same.
    expect(full.attribution.queue / half.attribution.queue).toBeGreaterThan(1.8)
    expect(full.attribution.queue / half.attribution.queue).toBeLessThan(2.4)
  })

  test('a burst of one is the request alone again; a longer prompt is more compute', async () => {
    expect(findings(await read({ burst: 1 }))!.last!.times.value).toBeCloseTo(1, 9)
    const [short, long] = [findings(await read({ prompt: 16 }))!, findings(await read({ prompt: 1024 }))!]
    expect(long.alone.attribution.compute).toBeGreaterThan(5)
    expect(long.alone.attribution.compute).toBeGreaterThan(10 * short.alone.attribution.compute)
    expect(long.alone.attribution.memory).toBeLessThan(1.3 * short.alone.attribution.memory)
  })
})
