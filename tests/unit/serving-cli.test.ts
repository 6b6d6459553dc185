import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

let folder = ''
beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), 'expressway-simulate-'))))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** The command as a user's shell sees it, on a scenario written to a file. */
function simulate(scenario: unknown, ...args: string[]): { code: number | null; out: string; err: string } {
  const file = join(folder, 'scenario.json')
  writeFileSync(file, typeof scenario === 'string' ? scenario : JSON.stringify(scenario))
  const { status, stdout, stderr } = spawnSync(process.execPath, ['scripts/run.mjs', 'engine/cli/main.ts', 'simulate', file, ...args], { encoding: 'utf8' })
  return { code: status, out: stdout, err: stderr }
}

describe('expressway simulate', () => {
  test('--json prints the vLLM-shaped summary and what queueing adds; --trace writes what Perfetto opens', () => {
    const trace = join(folder, 'trace.json')
    const { code, out, err } = simulate({ requests: 100, arrivals: { rate: 5 }, steps: { kind: 'roofline' }, slo: { ttft_ms: 500 } }, '--json', '--trace', trace)
    expect(err).toBe('')
    expect(code).toBe(0)
    const r = JSON.parse(out) as Record<string, unknown>
    expect(r).toMatchObject({ completed: 100, rejected: 0, preemptions: 0, wait_ms: { mean: expect.any(Number) as number } })
    for (const key of ['mean_ttft_ms', 'p99_ttft_ms', 'mean_tpot_ms', 'mean_e2el_ms', 'utilisation', 'mean_in_system', 'kv_blocks_peak', 'simulated_requests_per_second', 'request_goodput']) expect(r[key], key).toEqual(expect.any(Number))
    expect((JSON.parse(readFileSync(trace, 'utf8')) as { traceEvents: unknown[] }).traceEvents.length).toBeGreaterThan(300)
  })
  test('--trace of many requests is a sample of them', () => {
    const trace = join(folder, 'sample.json')
    const { code, out } = simulate({ requests: 9000, arrivals: { rate: 5 }, output: { mean: 4 }, steps: {} }, '--json', '--trace', trace)
    expect(code).toBe(0)
    expect(JSON.parse(out)).toMatchObject({ completed: 9000 })
    const { traceEvents } = JSON.parse(readFileSync(trace, 'utf8')) as { traceEvents: { pid: number; tid: number; ph: string }[] }
    expect(new Set(traceEvents.filter((e) => e.pid === 2 && e.ph === 'X').map((e) => e.tid)).size).toBe(1800) // every fifth
  })
  test('a trace file beside the scenario is served with its own lengths', () => {
    writeFileSync(join(folder, 'azure.csv'), 'TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:17:03.97,4808,10\r\n2023-11-16 18:17:04.03,3180,8')
    const { out, err } = simulate({ arrivals: { process: 'trace', file: 'azure.csv' }, steps: {} }, '--json')
    expect(err).toBe('')
    expect(JSON.parse(out)).toMatchObject({ completed: 2, total_input_tokens: 7988, total_output_tokens: 18 })
  })
  test.each([
    [{ requests: 5, steps: {}, arrivals: { rat: 3 } }, 'scenario.json: arrivals.rat is not a key'],
    ['{ "requests": 5,', 'scenario.json is not JSON'],
    [{ steps: {}, arrivals: { process: 'trace', file: 'nowhere.csv' } }, 'nowhere.csv could not be read: there is no such file'],
  ])('bad input is a sentence on standard error and exit code 1: %#', (scenario, words) => {
    const { code, out, err } = simulate(scenario, '--json')
    expect({ code, out }).toEqual({ code: 1, out: '' })
    expect(err).toContain(words)
  })
})
