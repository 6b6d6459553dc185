import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { affine, RTX4090_LLAMA31_8B } from '$engine/cost/affine'
import { roofline } from '$engine/cost/roofline'
import { speculativeAffine } from '$engine/cost/speculation'
import { pipelineDelay } from '$engine/serving/replica'
import { parseScenario } from '$engine/serving/scenario'
import { simulate } from '$engine/serving/simulate'
import { Work, type StepCost } from '$engine/serving/step-cost'

const provenance = { how: 'published', source: 'test', conditions: '' } as const
const speculation = { drafts: 4, acceptance: 0.7, draft_cost: 0.05 }
const five = affine(RTX4090_LLAMA31_8B, provenance)
const costs: [string, StepCost][] = [
  ['affine', five], ['affine, speculating', speculativeAffine(five, RTX4090_LLAMA31_8B, speculation)],
  ...['llama-3.1-8b', 'mixtral-8x7b'].flatMap((model): [string, StepCost][] => [
    [`roofline of ${model}`, roofline({ hardware: 'h100-sxm', model })], [`roofline of ${model}, speculating`, roofline({ hardware: 'h100-sxm', model, speculation })],
  ]),
]

describe('step costs as whole numbers of work', () => {
  test.each(costs)('%s: the sums are the formula, for single steps and for runs of decodes', (_, cost) => {
    fc.assert(fc.property(fc.nat(300), fc.nat(4000), fc.nat(3000), fc.nat(3000), fc.integer({ min: 1, max: 400 }), (n, each, p, before, k) => {
      const context = n * each
      const chunkContext2 = p * (2 * before + p)
      const work = new Work()
      const { rates, work: fill } = cost.counted!
      const ms = (steps: number) => rates.reduce((t, r, i) => t + r * (work.first[i]! * steps + (work.growth[i]! * steps * (steps - 1)) / 2), 0) + work.extra
      if (n + p > 0) {
        fill(n, context, p, chunkContext2, work)
        expect(ms(1) / cost.step(n, context, p, chunkContext2 / 2)).toBeCloseTo(1, 6)
      }
      if (n === 0) return
      work.growth.fill(0)
      work.extra = 0
      fill(n, context, 0, 0, work)
      const steps = Math.min(k, work.steps)
      let sum = 0
      for (let j = 0; j < steps; j++) sum += cost.step(n, context + j * n, 0, 0)
      expect(ms(steps) / sum).toBeCloseTo(1, 6)
    }))
  })
})

describe('a roofline with other roofs', () => {
  const machine = { hardware: 'h100-sxm', model: 'llama-3.1-8b', overheadMs: 0 } as const
  const [decode, prefill] = [[1, 512, 0, 0], [0, 0, 2048, 2048 ** 2 / 2]] as const

  test('bandwidth shortens what memory binds, FLOPs what compute binds, each in proportion and neither the other', () => {
    fc.assert(fc.property(fc.double({ min: 1, max: 4, noNaN: true }), (times) => {
      const [plain, wide, strong] = [roofline(machine), roofline({ ...machine, bandwidth: times }), roofline({ ...machine, flops: times })]
      expect(plain.step(...decode) / wide.step(...decode)).toBeCloseTo(times, 9)
      expect(wide.step(...prefill)).toBe(plain.step(...prefill))
      expect(plain.step(...prefill) / strong.step(...prefill)).toBeCloseTo(times, 9)
      expect(strong.step(...decode)).toBe(plain.step(...decode))
    }))
  })

  test('in a scenario the factors are keys; at 1 the same seed gives the same bytes as without them', () => {
    const scenario = (steps: object) => parseScenario({ requests: 300, arrivals: { rate: 4 }, input: { dist: 'exponential', mean: 300 }, output: { mean: 60 }, steps: { kind: 'roofline', ...steps } })
    const result = (steps: object) => JSON.stringify({ ...simulate(scenario(steps)).result, simulated_requests_per_second: 0 })
    expect(result({ bandwidth: 1, flops: 1 })).toBe(result({}))
    const tpot = (steps: object) => simulate(scenario({ overhead_ms: 0, ...steps })).result.tpot_ms!.p50
    expect(tpot({}) / tpot({ bandwidth: 2 })).toBeGreaterThan(1.8)
    expect(tpot({}) / tpot({ flops: 2 })).toBeLessThan(1.1)
    expect(() => scenario({ bandwidth: 0 })).toThrow('steps.bandwidth')
    expect(() => roofline({ ...machine, flops: Infinity })).toThrow('flops')
  })

  test('a device that nobody has built does not go by the name of one that somebody has', () => {
    expect(roofline({ ...machine, bandwidth: 2 }).provenance).toMatchObject({ hardware: 'H100 SXM, imagined with 2× its bandwidth' })
    expect(roofline(machine).provenance).toMatchObject({ hardware: 'H100 SXM' })
  })
})

describe('speculation', () => {
  const tpot = (steps: object) => simulate(parseScenario({ requests: 20, arrivals: { process: 'closed', concurrency: 1 }, input: { mean: 16 }, output: { dist: 'fixed', mean: 101 }, steps })).result.tpot_ms!.mean

  test('alone, memory-bound: as fast as Leviathan’s formula says (REFERENCE §2)', () => {
    const steps = { base_ms: 20, per_sequence_ms: 0, per_prefill_token_ms: 0 }
    for (const [acceptance, drafts, gain] of [[0.8, 5, 2.951], [0.6, 7, 1.821]] as const) {
      expect(tpot(steps) / tpot({ ...steps, speculation: { drafts, acceptance, draft_cost: 0.05 } })).toBeCloseTo(gain, 3)
    }
    const modelled = { kind: 'roofline', overhead_ms: 0 }
    expect(tpot(modelled) / tpot({ ...modelled, speculation: { drafts: 5, acceptance: 0.8, draft_cost: 0.05 } })).toBeCloseTo(2.951, 1)
  })
  test('at a high batch drafts have to be computed with, and lose', () => {
    const full = { requests: 400, arrivals: { process: 'closed', concurrency: 400 }, input: { mean: 16 }, output: { dist: 'fixed', mean: 100 }, scheduler: { max_sequences: 400, max_batched_tokens: 8192 } }
    const of = (speculation: object | null) => simulate(parseScenario({ ...full, steps: { kind: 'roofline', speculation } })).result.tpot_ms!.mean
    expect(of({ drafts: 4, acceptance: 0.4, draft_cost: 0.05 })).toBeGreaterThan(of(null))
  })
})

describe('offload', () => {
  test('moving layers while others are computed: a pipeline of two stages, walked through layer by layer', () => {
    fc.assert(fc.property(fc.double({ min: 0, max: 100, noNaN: true }), fc.double({ min: 0, max: 100, noNaN: true }), fc.integer({ min: 1, max: 80 }), (compute, move, layers) => {
      let computed = 0
      let moved = 0
      for (let l = 0; l < layers; l++) {
        computed += compute / layers
        moved = Math.max(moved, computed) + move / layers
      }
      expect(pipelineDelay(compute, move, layers)).toBeCloseTo(moved - compute, 6)
    }))
  })
})
