import { describe, expect, test } from 'vitest'
import { parseScenario } from '$engine/serving/scenario'
import { simulate, Simulation } from '$engine/serving/simulate'
import { QUEUEING } from '../fidelity/rows'

/** 99.98 % of a normal: with 15 rows one false alarm in 300 tries, and the seed is fixed anyway. */
const WIDER = 3.7 / 1.96

describe('queueing theory, short runs with a fixed seed (npm run fidelity has the long ones)', () => {
  test.each(QUEUEING.map((row) => [row.name, row] as const))('%s', (_, row) => {
    const { result } = simulate(parseScenario({ seed: 20, requests: row.short ?? 40_000, warmup: 4000, ...row.scenario }))
    const spread = row.figure === 'wait' ? result.wait_ms! : result.e2e_ms!
    const p99 = row.figure === 'sojourn-p99'
    const [low, high] = p99 ? spread.p99_interval : spread.interval
    const expected = row.expected * 1000
    const value = p99 ? spread.p99 : spread.mean
    const half = Math.max(high - value, value - low) * WIDER + (row.tolerance ?? 0) * expected
    expect(Math.abs(value - expected), `${value} ms, interval ${low} … ${high}`).toBeLessThan(half)
    // An interval that holds everything proves nothing.
    expect(half / expected).toBeLessThan(0.6)
  })

  test.each([{}, { replicas: 3, router: 'shortest-queue' }, { replicas: 2, router: 'central-queue' }])('Little’s law is exact over a drained run: %j', (extra) => {
    let sojourns = 0
    const scenario = parseScenario({ seed: 3, requests: 5000, arrivals: { rate: 6 }, steps: { base_ms: 5 }, ...extra })
    const simulation = new Simulation(scenario, { onAnswer: (job, at) => void (sojourns += at - job.arrival) })
    while (simulation.advance(1000));
    expect(simulation.measured).toBe(5000)
    // ∫ number in system dt, counted event by event, is the sum of all times in the system.
    expect(Math.abs(simulation.area / sojourns - 1)).toBeLessThan(1e-9)
  })
})
