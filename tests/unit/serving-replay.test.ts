import { existsSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { affine, RTX4090_LLAMA31_8B } from '$engine/cost/affine'
import { replay } from '$engine/serving/replay'
import { parseScenario } from '$engine/serving/scenario'
import { Simulation } from '$engine/serving/simulate'
import { readTraceFile, type LoggedRequest } from '$engine/serving/trace-files'
import { toPerfetto } from '$engine/trace/perfetto'
import { perRequest } from '$engine/trace/metrics'

const provenance = { how: 'published', source: 'test', conditions: '' } as const

/** Serves a trace by the scenario's way and by the plain loop over next() and complete() that the live engine has. */
function bothWays(requests: readonly LoggedRequest[], blocks: number) {
  const scenario = parseScenario({
    requests: requests.length, arrivals: { process: 'trace', file: 'log' }, steps: { kind: 'affine', ...RTX4090_LLAMA31_8B },
    scheduler: { max_sequences: 256, max_batched_tokens: 2048, kv_blocks: blocks },
  })
  const times: { scheduled: number; firstToken: number; lastToken: number }[] = []
  const simulation = new Simulation(scenario, { files: { trace: { requests } }, onAnswer: ({ id, scheduled, firstToken, lastToken }) => void (times[id] = { scheduled, firstToken, lastToken }) })
  while (simulation.advance(1000));
  return { times, result: simulation.result(), plain: replay(requests, affine(RTX4090_LLAMA31_8B, provenance), { maxSequences: 256, maxBatchedTokens: 2048, blocks }) }
}

function expectSame(requests: readonly LoggedRequest[], blocks: number) {
  const { times, result, plain } = bothWays(requests, blocks)
  expect(result.preemptions).toBe(plain.preemptions)
  expect(result.steps).toBe(plain.steps)
  for (const [i, t] of plain.served.entries()) {
    for (const key of ['scheduled', 'firstToken', 'lastToken'] as const) expect(Math.abs(times[i]![key] - t[key]), `request ${i}, ${key}`).toBeLessThan(1e-5)
  }
  return result
}

describe('a trace served by the simulator and by the live engine’s own loop', () => {
  const made = Array.from({ length: 120 }, (_, i) => ({ arrival: i * 60, inputTokens: 30 + ((i * 379) % 900), outputTokens: 1 + ((i * 67) % 250) }))
  test.each([400, 100_000])('comes to the same times and preemptions, %i blocks', (blocks) => {
    const result = expectSame(made, blocks)
    expect(result.preemptions > 0).toBe(blocks === 400)
  })

  const log = '../shared/traces/vllm-rtx4090-llama-3.1-8b.requests.jsonl'
  const there = existsSync(log)
  if (!there) console.warn('SKIPPED: ../shared/traces is absent, 1 test on a real vLLM log does not run')
  test.skipIf(!there)('the real vLLM log: the same times as its replay, which is within 1.5 % of the server', () => {
    expect(expectSame(readTraceFile(readFileSync(log, 'utf8')).requests, 2587).preemptions).toBeGreaterThan(200)
  })
})

describe('a simulated Trace', () => {
  const scenario = parseScenario({ requests: 200, arrivals: { rate: 20 }, output: { dist: 'exponential', mean: 30, max: 200 }, steps: {}, scheduler: { kv_blocks: 400 } })
  const simulation = new Simulation(scenario, { traceEvery: 1 })
  while (simulation.advance(1000));
  const trace = simulation.trace!

  test('tells the same TTFT, TPOT and E2E as the summary, by the metrics of the live engine', () => {
    const each = perRequest(trace)
    expect(each.length).toBe(200)
    const mean = (v: number[]) => v.reduce((a, b) => a + b, 0) / v.length
    const { ttft_ms, e2e_ms, total_output_tokens } = simulation.result()
    expect(mean(each.map((r) => r.ttft))).toBeCloseTo(ttft_ms!.mean, 6)
    expect(mean(each.map((r) => r.e2e))).toBeCloseTo(e2e_ms!.mean, 6)
    expect(each.reduce((n, r) => n + r.outputTokens, 0)).toBe(total_output_tokens)
  })
  test('opens in Perfetto: complete events with times, nested in nothing that overlaps', () => {
    const { traceEvents } = toPerfetto(trace)
    const steps = traceEvents.filter((e) => e.ph === 'X' && e.pid === 1)
    expect(steps.length).toBe(trace.steps.length)
    for (const e of traceEvents) {
      if (e.ph === 'X') expect([e.ts! >= 0, e.dur! >= 0]).toEqual([true, true])
      expect(Number.isInteger(e.pid) && Number.isInteger(e.tid)).toBe(true)
    }
    for (let i = 1; i < steps.length; i++) expect(steps[i]!.ts!).toBeGreaterThanOrEqual(steps[i - 1]!.ts! + steps[i - 1]!.dur! - 1e-6)
    const parts = traceEvents.filter((e) => e.ph === 'X' && e.pid === 2).map((e) => e.name)
    for (const name of ['queue', 'prefill', 'decode']) expect(parts.filter((p) => p === name).length).toBe(200)
  })
  test('a sample of it keeps the requests of the sample only', () => {
    const sampled = new Simulation(scenario, { traceEvery: 10 })
    while (sampled.advance(1000));
    expect(sampled.trace!.requests.map((r) => r.id)).toEqual(Array.from({ length: 20 }, (_, i) => i * 10))
    expect(sampled.result().digest).toBe(simulation.result().digest)
  })
})
