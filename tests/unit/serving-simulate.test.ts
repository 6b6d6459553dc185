import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Job } from '$engine/serving/replica'
import { Sequence } from '$engine/serving/scheduler'
import { parseScenario, replicaCount } from '$engine/serving/scenario'
import { simulate, simulateInSlices, type SimulateOptions } from '$engine/serving/simulate'
import { scenarios } from '../support/scenarios'

const run = (scenario: ReturnType<typeof parseScenario>, options: SimulateOptions = {}) => simulate(scenario, options).result

describe('simulation', () => {
  test('runs of steps at once are the steps one by one, to the last bit', () => {
    fc.assert(fc.property(scenarios, (scenario) => {
      const { simulated_requests_per_second: _, ...many } = run(scenario)
      const { simulated_requests_per_second: __, ...single } = run(scenario, { singleSteps: true })
      expect(many).toEqual(single)
    }), { numRuns: Number(process.env['EXPRESSWAY_RUNS'] ?? 200) })
  })

  test('the same seed gives the same bytes, also in slices; another seed others', () => {
    fc.assert(fc.property(scenarios, (scenario) => {
      const { digest } = run(scenario)
      expect(run(scenario).digest).toBe(digest)
      const slices = simulateInSlices(scenario, { events: 7 })
      let last = slices.next()
      while (!last.done) last = slices.next()
      expect(last.value.digest).toBe(digest)
    }), { numRuns: 30 })
    const one = parseScenario({ requests: 50, steps: {} })
    expect(run({ ...one, seed: 2 }).digest).not.toBe(run(one).digest)
  })

  test('requests are conserved, time goes forward, causes come before effects, blocks stay within the pool', () => {
    fc.assert(fc.property(scenarios, (scenario) => {
      const answered = new Set<number>()
      const clocks = new Map<number, number>()
      const result = run(scenario, {
        onAnswer: (job, at) => {
          expect(answered.has(job.id)).toBe(false)
          answered.add(job.id)
          if (job.cached < 0) expect(job.left).toBe(0)
          expect(job.scheduled).toBeGreaterThanOrEqual(job.arrival)
          expect(job.firstToken).toBeGreaterThanOrEqual(job.scheduled)
          expect(job.lastToken).toBeGreaterThanOrEqual(job.firstToken)
          expect(at).toBeGreaterThanOrEqual(job.lastToken)
          expect(job.blocks).toBe(0)
        },
        onStep: (replica, start, end, jobs, first, granted, _index, blocksUsed) => {
          expect(start).toBeGreaterThanOrEqual(clocks.get(replica) ?? 0)
          expect(end).toBeGreaterThanOrEqual(start)
          clocks.set(replica, end)
          expect(granted).toBeGreaterThan(0)
          expect(granted).toBeLessThanOrEqual(scenario.scheduler.max_sequences)
          const blocks = replica < replicaCount(scenario) ? scenario.scheduler.kv_blocks : scenario.cascade!.kv_blocks
          if (blocks !== null) expect(blocksUsed).toBeLessThanOrEqual(blocks)
          for (const job of jobs.slice(first, first + granted)) expect(job.arrival).toBeLessThanOrEqual(start)
          const tokens = jobs.slice(first, first + granted).reduce((n, j) => n + j.granted, 0)
          if (scenario.scheduler.chunked_prefill) expect(tokens).toBeLessThanOrEqual(scenario.scheduler.max_batched_tokens)
        },
      })
      expect(answered.size).toBe(result.completed + (result.batch_lane?.completed ?? 0))
      expect(result.completed + (result.batch_lane?.completed ?? 0) + result.rejected).toBe(scenario.requests)
      expect(result.utilisation).toBeLessThanOrEqual(1)
    }), { numRuns: 150 })
  })

  test('a Trace of all steps says which blocks each took: none is held twice, as many as are counted, and the times stay the same bits', () => {
    fc.assert(fc.property(scenarios, (s) => {
      const scenario = { ...s, cascade: null, disaggregation: null, prefixes: null, scheduler: { ...s.scheduler, prefix_cache: false, kv_blocks: s.scheduler.kv_blocks ?? 120 } }
      const { result, trace } = simulate(scenario, { traceEvery: 1 })
      expect(result.digest).toBe(run(scenario).digest)
      if (!s.steps) return
      const held = new Map<string, number>() // "replica block" → request
      const back = trace!.events.filter((e) => e.kind === 'preempted' || e.kind === 'finished')
      let next = 0
      let seen = 0
      for (const step of [...trace!.steps].sort((a, b) => a.start - b.start)) {
        // What is over by the step's beginning is free; parked ones keep some.
        for (; next < back.length && back[next]!.t <= step.start; next++) for (const [key, request] of held) if (request === back[next]!.request) held.delete(key)
        for (const { request, blocks = [] } of step.batch) {
          for (const b of blocks) {
            seen++
            expect(b).toBeLessThan(scenario.scheduler.kv_blocks)
            if (scenario.scheduler.kv_offload === null && scenario.replicas === 1 && scenario.regions.length === 0) expect(held.get(`${step.replica} ${b}`) ?? request).toBe(request)
            held.set(`${step.replica} ${b}`, request)
          }
        }
        if (scenario.scheduler.kv_offload !== null || scenario.replicas !== 1 || scenario.regions.length > 0) continue
        // A static batch keeps the blocks of all its requests from the start, also of those that a narrow step has not come to.
        if (scenario.scheduler.policy === 'static') expect(held.size).toBeLessThanOrEqual(step.kvBlocks)
        else expect(held.size).toBe(step.kvBlocks)
      }
      if (trace!.steps.length > 0) expect(seen).toBeGreaterThan(0)
    }), { numRuns: 80 })
  })

  test('work conservation: a replica of continuous batching never stands still while somebody waits', () => {
    fc.assert(fc.property(fc.nat(1000), fc.integer({ min: 1, max: 8 }), (seed, places) => {
      const scenario = parseScenario({ seed, requests: 60, arrivals: { rate: 20 }, input: { mean: 40 }, output: { mean: 20 }, steps: {}, scheduler: { max_sequences: places } })
      const busy: [number, number][] = []
      const waits: [number, number][] = []
      run(scenario, { onStep: (_r, start, end) => void busy.push([start, end]), onAnswer: (job) => void waits.push([job.arrival, job.scheduled]) })
      for (const [from, to] of waits) {
        // What lies between coming and being scheduled must be covered by steps without a gap.
        let at = from
        for (const [start, end] of busy) if (start <= at && end > at) at = end
        expect(at).toBeGreaterThanOrEqual(to)
      }
    }), { numRuns: 50 })
  })

  test('the oracle boundary: nothing that decides can tell two outputs apart before they end', () => {
    // Same requests, but every text goes on for ever so much longer: until the first of the short ones ends, all is the same.
    const scenario = { requests: 40, arrivals: { rate: 30 }, input: { dist: 'exponential', mean: 60 }, steps: {}, max_tokens: 400, scheduler: { kv_blocks: 400, max_batched_tokens: 128 }, replicas: 3, router: 'least-kv' }
    const steps = (mean: number) => {
      const log: string[] = []
      simulate(parseScenario({ ...scenario, output: { dist: 'fixed', mean } }), {
        onStep: (replica, start, end, jobs, first, granted) => void log.push(`${start} ${end} ${replica}: ${jobs.slice(first, first + granted).map((j) => `${j.id}+${j.granted}`)}`),
        onAnswer: () => void log.push('end'),
      })
      return log.slice(0, log.indexOf('end'))
    }
    const short = steps(20)
    expect(short.length).toBeGreaterThan(20)
    expect(steps(300).slice(0, short.length - 1)).toEqual(short.slice(0, -1))
    // By type, too: what the scheduler is given has no such field.
    const sequence: Sequence = new Job(1, 5, 9, 20, 0)
    expect('left' in new Sequence(1, 5, 20)).toBe(false)
    expect(sequence.maxTokens).toBe(20)
  })
})
