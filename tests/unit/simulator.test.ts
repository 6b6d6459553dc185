import { describe, expect, test } from 'vitest'
import type { Step, Trace } from '$engine/trace/trace'
import { FakeEngine } from '../support/fake-engine'
import { catalogueMachine, recordedMachine, type RecordedProfile } from '$engine/cost/machine'
import { fitSteps, stepMs, type StepSample } from '$engine/cost/step-fit'
import { leastSquares } from '$engine/cost/least-squares'
import { perRequest, summarize } from '$engine/trace/metrics'
import { bottleneck, total } from '$engine/trace/bottleneck'
import { lensText, parseLens } from '$engine/worker/lens'
import type { Curve, Machine } from '$engine/worker/protocol'
import { Simulator } from '$engine/worker/simulator'
import { serveVirtually } from '$engine/worker/virtual'
import rtx4090 from '$assets/profiles/rtx-4090-llama-3.1-8b.json'

const yieldThread = () => new Promise<void>((resolve) => setImmediate(resolve))
const simulator = () => new Simulator({ yieldThread })
const mm1 = { service: { kind: 'exponential', mean_ms: 100 } } as const
const machine: Machine = {
  label: 'test', provenance: { how: 'modelled', hardware: 'test', model: 'test' },
  steps: { kind: 'affine', base_ms: 4, per_sequence_ms: 1, per_context_token_ms: 0, per_prefill_token_ms: 0.1, per_prefill_token_context_ms: 0 },
  limits: { sequences: 8, tokens: 256, blocks: 4096 },
  roofs: { flopsPerSecond: 1e12, read: [{ bytes: 1e9, bytesPerSecond: 1e11 }] },
  model: { catalogue: 'llama-3.1-8b', dtype: 'bf16', tensorParallel: 1 },
}

describe('a curve over the load', () => {
  test('is M/M/1 where the servers are: mean and p99 within their bands’ reach of the formulas', async () => {
    const { points, capacity, provenance } = await simulator().curve({ scenario: mm1, vary: 'load', values: [0.5, 0.8], within: 0.07 })
    expect(capacity).toBeCloseTo(10, 9)
    expect(provenance).toMatchObject({ how: 'simulated', costs: { how: 'published' } })
    for (const { x, summary: { e2e_ms } } of points) {
      // Sojourn of M/M/1: exponential of mean 100 ms / (1 − ρ).
      expect(e2e_ms!.mean / (100 / (1 - x))).toBeCloseTo(1, 1)
      expect(Math.abs(e2e_ms!.p99 / ((100 * Math.log(100)) / (1 - x)) - 1)).toBeLessThan(0.12)
    }
  })

  test('answers first, then narrows every band below what was asked; common random numbers make it rise without a wiggle', async () => {
    const seen: Curve[] = []
    const values = [0.3, 0.5, 0.6, 0.7, 0.75, 0.8]
    const last = await simulator().curve({ scenario: { input: { dist: 'fixed', mean: 32 }, output: { mean: 16 }, scheduler: { max_sequences: 4 } }, machine, vary: 'load', values, within: 0.15 }, { onUpdate: (c) => seen.push(c) })
    expect(seen[0]!.points.map((p) => p.x)).toEqual(values)
    expect(Math.max(...seen[0]!.points.map((p) => p.width))).toBeGreaterThan(0.15)
    expect(last.settled).toBe(true)
    for (const p of last.points) expect(p.width).toBeLessThanOrEqual(0.15)
    for (const curve of [seen[0]!, last]) {
      const p99 = curve.points.map((p) => p.summary.ttft_ms!.p99)
      expect(p99).toEqual([...p99].sort((a, b) => a - b))
    }
    // What grows is the difference, and ever faster.
    const gap = last.points.map((p) => p.summary.ttft_ms!.p99 - p.summary.ttft_ms!.p50)
    expect((gap[5]! - gap[3]!) / 0.1).toBeGreaterThan((gap[2]! - gap[0]!) / 0.3)
  })

  test('a load that cannot be served says so and is not refined for ever', async () => {
    const { points } = await simulator().curve({ scenario: mm1, vary: 'load', values: [0.5, 1.05] })
    expect(points.map((p) => p.stable)).toEqual([true, false])
    expect(points[1]!.settled).toBe(true)
  })

  test('any number of a scenario can be varied at one load; a key that is none is named', async () => {
    const { points } = await simulator().curve({ scenario: { ...mm1, router: 'central-queue' }, load: 0.7, vary: 'replicas', values: [1, 4], figure: 'wait_ms', within: 0.3 })
    // The same requests per second on four servers: hardly anybody waits.
    expect(points[1]!.summary.wait_ms!.mean).toBeLessThan(points[0]!.summary.wait_ms!.mean / 20)
    await expect(simulator().curve({ scenario: mm1, vary: 'router', values: [1] })).rejects.toThrow('router is no number')
    await expect(simulator().simulate({ scenario: { arrivals: { rate: -1 } }, machine })).rejects.toThrow('arrivals.rate')
  })

  test('an abort ends it between two slices of work; another can start at once', async () => {
    const s = simulator()
    const gone = new AbortController()
    const first = s.curve({ scenario: mm1, vary: 'load', values: [0.97, 0.98] }, { signal: gone.signal, onUpdate: () => gone.abort(new Error('dragged')) })
    await expect(first).rejects.toThrow('dragged')
    expect((await s.curve({ scenario: mm1, vary: 'load', values: [0.3], within: 0.3 })).points).toHaveLength(1)
  })

  test('while it is held first answers come and refinements wait', async () => {
    const s = simulator()
    s.hold(true)
    const seen: Curve[] = []
    const done = s.curve({ scenario: mm1, vary: 'load', values: [0.6, 0.7], within: 0.2 }, { onUpdate: (c) => seen.push(c) })
    while (seen.length === 0) await yieldThread()
    for (let i = 0; i < 200; i++) await yieldThread()
    expect(seen).toHaveLength(1)
    s.hold(false)
    expect((await done).settled).toBe(true)
    expect(seen.length).toBeGreaterThan(1)
  })
})

describe('a simulation', () => {
  test('at a share of what is sustained is as busy as that, and its Trace tells the same story as its summary', async () => {
    const { summary, trace, provenance } = await simulator().simulate({
      scenario: { requests: 3000, warmup: 0, input: { dist: 'fixed', mean: 32 }, output: { dist: 'fixed', mean: 12 }, scheduler: { max_sequences: 1 } },
      machine, load: 0.5, traceEvery: 1,
    })
    // One place: 0.1 · 32 + 4 ms for the prompt, 11 decodes of 5 ms.
    expect(summary.utilisation).toBeCloseTo(0.5, 1)
    expect(provenance).toEqual({ how: 'simulated', costs: machine.provenance, seed: 1 })
    const m = summarize(trace!)
    expect(m.ttft!.mean).toBeCloseTo(summary.ttft_ms!.mean, 6)
    expect(m.e2e!.p99).toBeCloseTo(summary.e2e_ms!.p99, 6)
  })
})

describe('a machine in virtual time', () => {
  const workload = { model: 'timing', requests: [{ prompt: 100, maxTokens: 5 }, { prompt: 60, maxTokens: 3, arrival: 2, rtt: 40 }] }

  test('serves a workload by its step costs, to the millisecond', async () => {
    const trace = await serveVirtually(workload, machine)
    const [a, b] = perRequest(trace)
    expect(a!.ttft).toBeCloseTo(14, 9) // 4 + 100 · 0.1
    expect(a!.tpot).toBeCloseTo((5 + 5 + 11 + 6) / 4, 9) // alone, alone, with the other's prompt, with the other's decode
    // Its prompt arrives at 22 ms, is computed with the other's third token, and travels 20 ms back.
    expect(b!.ttft).toBeCloseTo(24 - 2 + 11 + 20, 9)
    expect(trace.provenance).toBe(machine.provenance)
    expect(total(bottleneck(trace))).toBeCloseTo(a!.e2e + b!.e2e, 6)
  })

  test('an H100 decodes Llama-3.1-8B as fast as its bandwidth lets it, and is memory bound', async () => {
    const h100 = catalogueMachine({ hardware: 'h100-sxm', model: 'llama-3.1-8b' })
    const trace = await serveVirtually({ model: 'timing', requests: [{ prompt: 512, maxTokens: 32 }] }, h100)
    const weights = 15e9 // without the input table, two bytes each
    const tpot = perRequest(trace)[0]!.tpot!
    expect(tpot).toBeGreaterThan((weights / 3.35e12) * 1000)
    expect(tpot).toBeLessThan(2 * (weights / 3.35e12) * 1000)
    const { compute, memory } = bottleneck(trace)
    expect(memory).toBeGreaterThan(5 * compute)
    expect(trace.provenance).toEqual({ how: 'modelled', hardware: 'H100 SXM', model: 'Llama-3.1-8B' })
  })

  test('a model that does not fit is refused in words', () => {
    expect(() => catalogueMachine({ hardware: 'h100-sxm', model: 'llama-3.1-70b' })).toThrow('needs 141 GB')
    expect(catalogueMachine({ hardware: 'h100-sxm', model: 'llama-3.1-70b', tensorParallel: 4 }).label).toBe('H100 SXM ×4, Llama-3.1-70B')
  })

  test('the recorded RTX 4090 takes its five numbers', async () => {
    const recorded = recordedMachine(rtx4090 as RecordedProfile)
    const trace = await serveVirtually({ model: 'timing', requests: [{ prompt: 1000, maxTokens: 2 }] }, recorded)
    expect(perRequest(trace)[0]!.ttft).toBeCloseTo(17.04 + 1000 * 0.0903 + 3.9e-7 * 1000 * 500, 9)
    expect(trace.provenance.how).toBe('recorded')
    expect(() => recordedMachine({ ...rtx4090, version: 2 } as unknown as RecordedProfile)).toThrow('version 2')
    expect(() => recordedMachine({ ...rtx4090, steps: { base_ms: -1 } } as unknown as RecordedProfile)).toThrow('steps.base_ms')
  })

  test('texts are borrowed from the live model where it read that prompt', async () => {
    const trace = await serveVirtually(workload, machine, { borrow: (i) => (i === 0 ? { prompt: ['Once', ' upon'], output: [' a', ' time'] } : undefined) })
    const texts = trace.events.filter((e) => e.kind === 'token' && e.request === 0).map((e) => e.text)
    expect(texts).toEqual([' a', ' time', ' a', ' time', ' a'])
    expect(trace.requests[1]).toMatchObject({ timingOnly: true })
  })
})

describe('a lens', () => {
  test.each(['here', 'recorded:rtx-4090-llama-3.1-8b', 'h100-sxm/llama-3.1-8b', 'h100-sxm/llama-3.1-70bx8', 'h200/mixtral-8x7b', 'h200/mixtral-8x7bx2'])('%s is read and written back', (text) => {
    expect(lensText(parseLens(text))).toBe(text)
  })
  test.each([['moon', 'HARDWARE/MODEL'], ['h100/llama-3.1-8b', 'h100-sxm'], ['h100-sxm/gpt', 'llama-3.1-8b'], ['h100-sxm/llama-3.1-8bx0', 'x0'], ['recorded:../x', 'HARDWARE/MODEL']])('%s is refused in words', (text, words) => {
    expect(() => parseLens(text)).toThrow(words)
  })
})

describe('fitting the five numbers', () => {
  const truth = { base_ms: 2, per_sequence_ms: 0.3, per_context_token_ms: 1e-3, per_prefill_token_ms: 0.2, per_prefill_token_context_ms: 1e-5 }
  const shapes: Omit<StepSample, 'ms'>[] = []
  for (const decodes of [1, 4, 16]) for (const context of [32, 1024]) shapes.push({ decodes, context: decodes * context, prefill: 0, prefillContext: 0 })
  for (const prefill of [16, 256]) for (const start of [0, 512]) shapes.push({ decodes: 2, context: 64, prefill, prefillContext: prefill * (start + prefill / 2) })
  const held = { decodes: 7, context: 700, prefill: 100, prefillContext: 5000, held: true }

  test('finds them again, and judges by shapes it did not see', () => {
    const samples = [...shapes, held].map((s) => ({ ...s, ms: stepMs(truth, s) }))
    const fit = fitSteps(samples)
    for (const [k, v] of Object.entries(truth)) expect(fit.steps[k as keyof typeof truth] / v).toBeCloseTo(1, 6)
    expect(fit.error.worst).toBeLessThan(1e-6)
    // The one held back is 10 % slower than the rest says: that is the error, and nothing of it is fitted away.
    const off = fitSteps(samples.map((s) => (s.held ? { ...s, ms: s.ms * 1.1 } : s)))
    expect(off.error.bias).toBeCloseTo(1 / 1.1 - 1, 6)
  })

  test('no number is negative, as no step takes less for more work', () => {
    // Target falls with the second column: the best without a negative number leaves it out.
    const [constant, slope] = leastSquares([[1, 1], [1, 2], [1, 3]], [3, 2, 1], [1, 1, 1])
    expect(constant).toBeCloseTo(2, 9)
    expect(slope).toBe(0)
    expect(() => leastSquares([], [], [])).toThrow('at least one')
  })
})

test('the steps of a machine known by five numbers compute and move in the simulator what they do in virtual time, and are judged by the same roofs', async () => {
  const machine = await new FakeEngine().machine('tales-5m')
  const [prompt, output] = [700, 24] // two chunks
  const served = await serveVirtually({ model: 'tales-5m', maxSequences: 1, requests: [{ prompt, maxTokens: output, ignoreEos: true }] }, machine)
  const { trace } = await new FakeEngine().simulate({
    machine, traceEvery: 1,
    scenario: { requests: 1, arrivals: { process: 'deterministic', rate: 1 }, input: { dist: 'fixed', mean: prompt }, output: { dist: 'fixed', mean: output }, scheduler: { prefix_cache: false } },
  })
  expect(trace!.roofs).toEqual(served.roofs)
  const decodes = (steps: Step[]) => steps.filter((s) => s.batch[0]!.context >= prompt).map((s) => [s.flops, s.bytes])
  expect(decodes(trace!.steps)).toHaveLength(output - 1)
  expect(decodes(trace!.steps)).toEqual(decodes(served.steps))
  const flops = (steps: Step[]) => steps.reduce((n, s) => n + s.flops, 0)
  expect(flops(trace!.steps) / flops(served.steps)).toBeCloseTo(1, 2)
  const shares = (t: Trace) => Object.values(bottleneck(t)).map((ms, _, all) => ms / all.reduce((a, b) => a + b, 0))
  for (const [i, share] of shares(trace!).entries()) expect(share).toBeCloseTo(shares(served)[i]!, 1)
})
