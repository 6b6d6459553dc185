import { describe, expect, test } from 'vitest'
import { defaults } from '$components/controls/params'
import { catalogueMachine } from '$engine/cost/machine'
import { HARDWARE, hardware } from '$engine/cost/hardware'
import { activeParameters, modelSpec, totalParameters } from '$engine/cost/models'
import { roofline } from '$engine/cost/roofline'
import { perRequest } from '$engine/trace/metrics'
import type { Engine } from '$engine/worker/protocol'
import { serveVirtually } from '$engine/worker/virtual'
import { OUTPUT, params, PROMPT, redrawn, run, type HardwareReading } from '$slides/21_new_hardware/experiment'
import { allReduce, doubled, judgedByMlperf, judgedByRuns, judgedByServer, modelled, namesIn, ofCatalogue, ofTrace, roofsOf, timesOf, tooLarge } from '$slides/21_new_hardware/findings'
import { FakeEngine } from '../../support/fake-engine'

async function read(engine: Engine): Promise<HardwareReading[]> {
  const profile = await engine.open({ runner: 'auto', slow: 1 })
  const all: HardwareReading[] = []
  for await (const reading of run(defaults(params), { engine, profile, seed: 1, signal: new AbortController().signal })) all.push(reading)
  return all
}

const h100 = ofCatalogue('h100-sxm', 1)
const LLAMA = 'llama-3.1-8b'

describe('21: bandwidth for decode, FLOPs for prefill', () => {
  test('the parameters are those of the outline; none of them changes what this device is', () => {
    expect(defaults(params)).toEqual({ device: 'h100-sxm', model: LLAMA, bandwidth: 1, flops: 1, tp: '1' })
    for (const name of ['bandwidth', 'flops'] as const) expect([params[name].from, params[name].to]).toEqual([0.25, 8])
    expect(params.tp.options.map((o) => o.value)).toEqual(['1', '2', '4', '8'])
    expect(params.device.options.map((o) => o.value)).toEqual(HARDWARE.map((h) => h.name))
    expect([...redrawn].sort()).toEqual(Object.keys(params).sort())
  })

  test('the plane is what the scheduler serves in virtual time, for every device and several models', async () => {
    for (const model of [LLAMA, 'mixtral-8x7b', 'llama-2-70b']) {
      for (const { name } of HARDWARE) {
        const device = ofCatalogue(name, 8)
        if (tooLarge(device, model)) continue
        const workload = { model: 'timing', maxSequences: 1, requests: [{ prompt: PROMPT, maxTokens: OUTPUT, ignoreEos: true }] }
        for (const scale of [{ bandwidth: 1, flops: 1 }, { bandwidth: 4, flops: 0.5 }]) {
          const [served] = perRequest(await serveVirtually(workload, catalogueMachine({ hardware: name, model, tensorParallel: 8, ...scale })))
          const { ttft, tpot } = modelled(device, model, scale)
          expect(ttft.value, name).toBeCloseTo(served!.ttft, 6)
          expect(tpot.value, name).toBeCloseTo(served!.tpot!, 6)
        }
      }
    }
  })

  test('on an H100 with Llama-3.1-8B the two times are weights over bandwidth and FLOPs over the matrix rate', () => {
    const { ttft, tpot } = modelled(h100, LLAMA)
    const m = modelSpec(LLAMA)
    const h = hardware('h100-sxm')
    const weights = 2 * (totalParameters(m) - m.vocab * m.hidden)
    expect(tpot.value / ((1000 * weights) / (h.bytesPerSecond * h.reading) + 1)).toBeCloseTo(1, 1)
    expect(ttft.value / ((1000 * 2 * activeParameters(m) * PROMPT) / (h.flops16 * h.matmul) + 1)).toBeCloseTo(1, 1)
  })

  test('the default view makes the point: twice the bandwidth nearly halves TPOT and leaves TTFT, twice the FLOPs the reverse', () => {
    const { bandwidth, flops } = doubled(h100, LLAMA, { bandwidth: 1, flops: 1 })
    expect(bandwidth.tpot.value).toBeLessThan(62)
    expect(bandwidth.ttft.value).toBeCloseTo(100, 6)
    // Half the arithmetic is done sooner than the weights are read: they bind from there.
    expect(flops.ttft.value).toBeLessThan(66)
    expect(flops.tpot.value).toBeCloseTo(100, 6)
    // The fixed millisecond of a step is what is not halved.
    const { tpot } = modelled(h100, LLAMA)
    expect(bandwidth.tpot.value).toBeCloseTo((100 * ((tpot.value - 1) / 2 + 1)) / tpot.value, 6)
  })

  test('both sliders move both planes in their own direction, and with enough of one the other binds', () => {
    const as = (bandwidth: number, flops: number) => modelled(h100, LLAMA, { bandwidth, flops })
    expect(as(4, 1).tpot.value).toBeLessThan(as(1, 1).tpot.value)
    expect(as(0.25, 1).tpot.value).toBeGreaterThan(3 * as(1, 1).tpot.value)
    expect(as(1, 8).ttft.value).toBeLessThan(as(1, 1).ttft.value)
    expect(as(1, 0.25).ttft.value).toBeGreaterThan(3 * as(1, 1).ttft.value)
    expect(roofsOf(h100, { bandwidth: 2, flops: 4 })).toEqual({ bytesPerSecond: 2 * roofsOf(h100).bytesPerSecond, flopsPerSecond: 4 * roofsOf(h100).flopsPerSecond })
    const starved = doubled(h100, LLAMA, { bandwidth: 0.25, flops: 8 })
    expect(starved.bandwidth.ttft.value).toBeLessThan(starved.flops.ttft.value)
  })

  test('more devices share the work, and their all-reduce is said to be missing', () => {
    const of = (tp: number) => modelled(ofCatalogue('h100-sxm', tp), LLAMA)
    expect(of(8).tpot.value - 1).toBeCloseTo((of(1).tpot.value - 1) / 8, 6)
    expect(of(2).ttft.value).toBeLessThan(of(1).ttft.value)
    const { published, ours } = allReduce()
    expect(published).toMatchObject({ value: 0.7, provenance: { how: 'published' } })
    expect(ours.value).toBeLessThan(published.value)
    expect(ours.note).toContain('all-reduce')
  })

  test('what has no room is said in words; enough devices make room', () => {
    expect(tooLarge(h100, 'llama-3.1-70b')).toMatch(/141 GB.*80 GB/)
    expect(tooLarge(ofCatalogue('h100-sxm', 2), 'llama-3.1-70b')).toBeUndefined()
    expect(() => catalogueMachine({ hardware: 'h100-sxm', model: 'llama-3.1-70b' })).toThrow('141 GB')
  })

  test('MLPerf, a recorded server and this device judge the roofline, and the difference is that of the two', async () => {
    const mlperf = judgedByMlperf()
    expect(mlperf.map((j) => j.name)).toEqual(['8×H100', '8×H200', '1×B200'])
    expect(mlperf.flatMap((j) => j.rows.map((r) => r.known.value))).toEqual([24525, 21606, 31303, 29228, 11264, 10756])
    expect(mlperf.every((j) => j.rows.every((r) => r.known.provenance.how === 'published' && r.faster.provenance.how === 'modelled'))).toBe(true)

    const server = judgedByServer()
    const [ttft, tpot] = [server.rows[0]!.known, server.rows[1]!.known]
    // The five numbers by hand (one sequence, 512 … 543 tokens of context).
    expect(tpot.value).toBeCloseTo(17.04 + 0.0535 + 1.07e-4 * (512 + 15.5), 6)
    expect(ttft.value).toBeCloseTo(17.04 + 0.0903 * 512 + 3.9e-7 * (512 * 256), 6)
    const by = timesOf(roofline({ hardware: 'rtx-4090', model: LLAMA }))
    expect(server.rows[1]!.faster.value).toBeCloseTo(100 * (tpot.value / by.tpot - 1), 6)

    const readings = await read(new FakeEngine({ costs: { baseMs: 4, perTokenMs: 1 } }))
    expect(readings.map((r) => [r.runs.length, r.complete])).toEqual([[1, false], [2, false], [3, true]])
    const own = judgedByRuns(readings.at(-1)!, 'This device')!
    expect(own.rows[0]!.known.value).toBeCloseTo(4 + PROMPT, 6)
    expect(own.rows[1]!.known.value).toBeCloseTo(5, 6)
    // No step is done in less than its least time here, so the roofline is the faster one.
    expect(own.rows.every((r) => r.faster.value > 0)).toBe(true)
  })

  test('this device stands where its own roofs put it, and serves any model by them', async () => {
    const [reading] = await read(new FakeEngine())
    const own = ofTrace(reading!.trace, 'this device')!
    expect(own.how).toBe('measured')
    expect(roofsOf(own)).toEqual({ bytesPerSecond: 20e9, flopsPerSecond: 40e9 })
    const m = modelSpec(LLAMA)
    const { tpot } = modelled(own, LLAMA)
    expect(tpot.value / ((1000 * 2 * (totalParameters(m) - m.vocab * m.hidden)) / 20e9)).toBeCloseTo(1, 2)
    expect(tpot.provenance.how).toBe('modelled')
    expect(modelled(own, LLAMA, { bandwidth: 2, flops: 1 }).tpot.value).toBeLessThan(tpot.value)
  })

  test('a catalogue machine runs once: in virtual time the second run is the first', async () => {
    const machine = catalogueMachine({ hardware: 'h100-sxm', model: LLAMA })
    const readings = await read(Object.assign(new FakeEngine(), { serve: ((workload) => serveVirtually(workload, machine)) satisfies Engine['serve'] }))
    expect(readings.map((r) => r.complete)).toEqual([true])
    expect(ofTrace(readings[0]!.trace, 'x')).toBeUndefined()
  })

  test('a recorded lens of catalogue names says which they are', () => {
    expect(namesIn('rtx-4090-llama-3.1-8b')).toEqual({ device: 'rtx-4090', model: LLAMA })
    expect(namesIn('cpu-2-core-x86')).toBeUndefined()
  })
})
