import { describe, expect, test } from 'vitest'
import { defaults } from '$components/controls/params'
import { catalogueMachine } from '$engine/cost/machine'
import { modelSpec, totalParameters } from '$engine/cost/models'
import { bitsPerByte } from '$engine/measure/quality'
import type { Engine } from '$engine/worker/protocol'
import { serveVirtually } from '$engine/worker/virtual'
import { params, run, type PrecisionReading } from '$slides/18_quantization/experiment'
import { findings } from '$slides/18_quantization/findings'
import { FakeEngine } from '../../support/fake-engine'

const h100 = catalogueMachine({ hardware: 'h100-sxm', model: 'llama-3.1-8b' })

async function elsewhere(): Promise<PrecisionReading> {
  const fake = new FakeEngine()
  const profile = await fake.open({})
  const engine = Object.assign(fake, { serve: (workload) => serveVirtually(workload, h100) } satisfies Pick<Engine, 'serve'>)
  let last: PrecisionReading | undefined
  for await (const reading of run(defaults(params), { engine, profile, seed: 1, lens: 'elsewhere', signal: new AbortController().signal })) last = reading
  return last!
}

describe('18: fewer bits, fewer bytes', () => {
  test('on a machine of the catalogue half the bytes take nearly half the time, and no text is made up', async () => {
    const rows = findings(await elsewhere())
    const of = (format: string) => rows.find((r) => r.format === format)!
    expect(of('f16').bytes!.value).toBe(2 * totalParameters(modelSpec('llama-3.1-8b')))
    expect(of('int8').bytes!.value / of('f16').bytes!.value).toBeCloseTo(0.5, 9)
    const ratio = of('int8').tpot!.value / of('f16').tpot!.value
    expect(ratio).toBeGreaterThan(0.5)
    expect(ratio).toBeLessThan(0.65)
    expect(of('int4').tpot!.value).toBeLessThan(of('int8').tpot!.value)
    expect(of('int8').tpot!.provenance.how).toBe('modelled')
    expect(rows.every((r) => r.change === undefined && r.common === undefined)).toBe(true)
  })

  test('bits per byte: a model that knows nothing needs log2 of the vocabulary for each token', () => {
    expect(bitsPerByte(new Float32Array(3 * 8), [0, 7, 3], 8, 6)).toBeCloseTo((3 * 3) / 6, 12)
    // Sure of the right ones: next to nothing.
    const sure = new Float32Array(2 * 4)
    sure[1] = 50
    sure[4 + 2] = 50
    expect(bitsPerByte(sure, [1, 2], 4, 2)).toBeLessThan(1e-9)
    expect(() => bitsPerByte(sure, [1], 4, 2)).toThrow('do not belong')
  })
})
