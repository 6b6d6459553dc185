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
