import { describe, expect, test } from 'vitest'
import { RunnerError, type Runner, type StepBatch } from '$engine/runner/runner'
import { VirtualClock } from '$engine/serving/clock'
import { serve, type ServeRequest } from '$engine/serving/serve'
import { perRequest } from '$engine/trace/metrics'
import { bottleneck, total } from '$engine/trace/bottleneck'
import { segments } from '$engine/trace/phases'
import type { Event, Step, Trace } from '$engine/trace/trace'

const config = { layers: 1, hidden: 8, heads: 1, kvHeads: 1, headDim: 8, ffn: 8, vocabSize: 100, rmsNormEps: 1e-5, ropeTheta: 1e4, maxPositions: 512, tied: true, eos: [99] }

/** A machine of known speed: `base` ms a step and `perToken` ms a token, in virtual time. Samples 1, 2, 3, … */
function machine(clock: VirtualClock, { base = 10, perToken = 1, chain = 1, blocks = 64, failAt = Infinity } = {}): Runner & { released: number[] } {
  const produced = new Map<number, number>()
  let runs = 0
  const released: number[] = []
  return {
    released,
    device: { name: 'machine', runner: 'reference', model: 'none' }, config,
    limits: { blocks, sequences: 4, tokens: 64, chain },
    run(batch: StepBatch) {
      if (++runs >= failAt) throw new RunnerError('The graphics device was lost.', 'device-lost')
      const steps = batch.steps ?? 1
      const tokens = new Int32Array(steps * batch.chunks.length).fill(-1)
      for (let s = 0; s < steps; s++) for (const [i, c] of batch.chunks.entries()) {
        if (!c.sample) continue
        const k = (produced.get(c.request) ?? 0) + 1
        produced.set(c.request, k)
        tokens[s * batch.chunks.length + i] = k
      }
      clock.advance(steps * (base + perToken * batch.chunks.reduce((n, c) => n + c.tokens.length, 0)))
      return { tokens }
    },
    release: (id) => void released.push(id),
    dispose() {},
  }
}

function request(id: number, arrival: number, prompt: number, maxTokens: number, extra: Partial<ServeRequest> = {}): ServeRequest {
  return { record: { id, arrival, promptTokens: prompt, maxTokens }, prompt: new Int32Array(prompt).fill(5), queuedAt: arrival, eos: [], ...extra }
}

async function run(requests: ServeRequest[], options: Parameters<typeof machine>[1] = {}, signal?: AbortSignal, clock = new VirtualClock(1000)) {
  const runner = machine(clock, options)
  const trace: Trace = { provenance: { how: 'simulated', seed: 1, costs: { how: 'modelled', hardware: 'test', model: 'test' } }, requests: requests.map((r) => r.record), events: [], steps: [] }
  const emit = (u: { events: Event[]; steps: Step[] }) => {
    trace.events.push(...u.events)
    trace.steps.push(...u.steps)
  }
  const failure = await serve(requests, { runner, clock, emit, signal }).then(() => undefined, (e: unknown) => e)
  return { trace, failure, runner }
}

describe('serving', () => {
  test('one request: times follow from the machine’s speed by arithmetic', async () => {
    const { trace } = await run([request(0, 5, 20, 3)])
    const [m] = perRequest(trace)
    expect(m).toMatchObject({ ttft: 30, tpot: 11, e2e: 52, outputTokens: 3 })
    expect(trace.steps.map((s) => s.duration)).toEqual([30, 11, 11])
    expect(trace.steps.map((s) => s.kvBlocks)).toEqual([2, 2, 0])
    expect(segments(trace, 0).map((s) => [s.kind, s.start, s.end])).toEqual([['prefill', 5, 35], ['decode', 35, 57]])
  })

  test('requests that come while another runs join the batch at the next step', async () => {
    const { trace } = await run([request(0, 0, 4, 5), request(1, 3, 4, 2)])
    expect(trace.steps.map((s) => s.batch.map((b) => b.request))).toEqual([[0], [0, 1], [0, 1], [0], [0]])
    const b = perRequest(trace)[1]!
    expect(b.ttft).toBe(14 - 3 + 15) // waits for the first step, then shares one of 10 + 1 + 4 ms
    expect(total(bottleneck(trace, 1))).toBeCloseTo(b.e2e, 9)
    expect(bottleneck(trace, 1).queue).toBeGreaterThanOrEqual(11)
  })

  test('a long prompt is computed in chunks of the token budget while others go on', async () => {
    const { trace } = await run([request(0, 0, 2, 9), request(1, 1, 150, 2)])
    const chunks = trace.steps.flatMap((s) => s.batch.filter((b) => b.request === 1).map((b) => b.tokens))
    expect(chunks).toEqual([63, 63, 24, 1])
    expect(trace.events.filter((e) => e.request === 1 && e.kind === 'prefill').reduce((n, e) => n + e.count!, 0)).toBe(150)
  })

  test('chains are reported as the steps they were, and end where the text does', async () => {
    const one = await run([request(0, 0, 4, 9)], { chain: 1 })
    const four = await run([request(0, 0, 4, 9)], { chain: 4 })
    const times = (t: Trace) => t.events.filter((e) => e.kind === 'token').map((e) => [e.t, e.token])
    expect(times(four.trace)).toEqual(times(one.trace))
    expect(four.trace.steps.length).toBe(one.trace.steps.length)
    const ended = await run([request(0, 0, 4, 20, { eos: [3] })], { chain: 8 })
    expect(times(ended.trace).map(([, id]) => id)).toEqual([1, 2, 3])
  })

  test('the network lies on either side of the engine', async () => {
    const r = request(0, 0, 4, 2)
    r.record.network = { out: 20, back: 20 }
    r.queuedAt = 20
    const { trace } = await run([r])
    expect(perRequest(trace)[0]).toMatchObject({ ttft: 20 + 14 + 20, e2e: 20 + 14 + 11 + 20 })
    expect(bottleneck(trace, 0).network).toBe(40)
  })

  test('causality: nothing is computed before it arrived, nothing is sampled before it was computed', async () => {
    const { trace } = await run([request(0, 0, 40, 30), request(1, 7, 90, 10), request(2, 9, 3, 25), request(3, 400, 8, 8)], { blocks: 11 })
    expect(trace.events.some((e) => e.kind === 'preempted'), 'the pool is small enough for a preemption').toBe(true)
    for (const r of trace.requests) {
      const mine = trace.events.filter((e) => e.request === r.id)
      expect(mine[0]!.kind).toBe('sent')
      expect(mine.at(-1)!.kind).toBe('finished')
      for (let i = 1; i < mine.length; i++) expect(mine[i]!.t).toBeGreaterThanOrEqual(mine[i - 1]!.t)
      expect(mine.filter((e) => e.kind === 'token').map((e) => e.token)).toEqual(Array.from({ length: r.maxTokens }, (_, k) => k + 1))
    }
    expect(trace.steps.at(-1)!.kvBlocks).toBe(0)
  })

  test('what can never fit is rejected with the reason, and the others are served', async () => {
    const { trace } = await run([request(0, 0, 600, 4), request(1, 0, 40, 30), request(2, 0, 4, 2)], { blocks: 4 })
    const reasons = trace.events.filter((e) => e.kind === 'rejected').map((e) => e.reason)
    expect(reasons).toEqual([
      '600 prompt and 4 output tokens pass the model\'s 512 positions',
      'it needs 5 KV blocks of 16 tokens, the pool has 4',
    ])
    expect(perRequest(trace).map((m) => m.request)).toEqual([2])
  })

  test('a lost device fails those in flight, with the reason, and rejects', async () => {
    const { trace, failure, runner } = await run([request(0, 0, 4, 5), request(1, 1e6, 4, 5)], { failAt: 3 })
    expect(failure).toMatchObject({ code: 'device-lost' })
    expect(trace.events.filter((e) => e.kind === 'failed').map((e) => e.reason)).toEqual(['The graphics device was lost.', 'The graphics device was lost.'])
    expect(new Set(runner.released)).toEqual(new Set([0, 1]))
  })

  test('a clock with an awkward origin: an arrival that rounds to just after itself is still served', async () => {
    for (const origin of [0.1, 1e9 / 3, 123456.789]) {
      const { trace } = await run([request(0, 0.3, 4, 2), request(1, 1 / 3, 4, 2), request(2, 70.7, 4, 2)], {}, undefined, new VirtualClock(origin))
      expect(perRequest(trace).length).toBe(3)
    }
  })

  test('an abort stops at the next step', async () => {
    const controller = new AbortController()
    const clock = new VirtualClock()
    let steps = 0
    const emit = (u: { steps: Step[] }) => {
      steps += u.steps.length
      if (steps === 3) controller.abort()
    }
    await expect(serve([request(0, 0, 4, 50)], { runner: machine(clock), clock, emit, signal: controller.signal })).rejects.toThrow('abort')
    expect(steps).toBe(3)
  })
})
