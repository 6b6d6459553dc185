import { describe, expect, test } from 'vitest'
import { parseScenario } from '$engine/serving/scenario'
import { simulate } from '$engine/serving/simulate'
import { PRESETS, scenarioOf, WORKLOADS, type Origin, type TalkWorkload } from '$slides/workloads'

const each = PRESETS.map((name) => [name, WORKLOADS[name] as TalkWorkload] as const)
const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length

describe.each(each)('%s', (_name, workload) => {
  test('is a scenario whose requests have the lengths it says', () => {
    const scenario = parseScenario({ ...scenarioOf(workload), seed: 7, requests: 6000, steps: { kind: 'affine' }, scheduler: { kv_blocks: null } })
    const { trace } = simulate(scenario, { traceEvery: 1 })
    const inputs = trace!.requests.map((r) => r.promptTokens)
    const tokens = new Map<number, number>()
    for (const e of trace!.events) if (e.kind === 'token') tokens.set(e.request, (tokens.get(e.request) ?? 0) + 1)
    const outputs = [...tokens.values()]
    // The longest are cut, so that a wide distribution's mean comes out lower; nobody is shorter than the head he shares.
    for (const [found, wanted] of [[inputs, workload.input], [outputs, workload.output]] as const) {
      expect(Math.max(...found)).toBeLessThanOrEqual(wanted.max)
      expect(mean(found) / wanted.mean).toBeGreaterThan(0.85)
      expect(mean(found) / wanted.mean).toBeLessThan(1.2)
    }
  })

  test('says of every part that nobody here measures where it comes from, and lies within what was published', () => {
    const parts = [...workload.before, ...workload.between, ...workload.after]
    const origins: Origin[] = [...parts.map((p) => p.origin), workload.patience.origin, workload.slo.origin, workload.input.origin, workload.output.origin]
    for (const origin of origins) if (origin !== 'assumed') expect(origin.source.length * origin.conditions.length).toBeGreaterThan(0)
    for (const part of parts) {
      expect(part.ms).toBeGreaterThanOrEqual(part.range![0])
      expect(part.ms).toBeLessThanOrEqual(part.range![1])
    }
    expect(workload.between.length > 0).toBe(workload.calls > 1)
    expect(workload.prefix.tokens).toBeLessThan(workload.input.mean)
    // Their user can be content in principle: what is spent before the model leaves it some time.
    expect(parts.reduce((sum, p) => sum + p.ms, 0)).toBeLessThan(workload.patience.ms)
  })
})
