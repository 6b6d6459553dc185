import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { defaults } from '$components/controls/params'
import { catalogueMachine, machineCost } from '$engine/cost/machine'
import { diagnose } from '$engine/diagnose/diagnose'
import { readEvidence } from '$engine/diagnose/evidence'
import { parseScenario } from '$engine/serving/scenario'
import { simulate } from '$engine/serving/simulate'
import { BOTTLENECKS, total } from '$engine/trace/bottleneck'
import { toVllmJson } from '$engine/trace/metrics'
import type { Engine } from '$engine/worker/protocol'
import { params, run, runDiagnosis, SUPPORT, type PlaybookReading } from '$slides/22_playbook/experiment'
import { best, fitError, named, PUBLISHED, ranked, reported, symptomOf, throughput, worked } from '$slides/22_playbook/findings'
import { SLIDE_OF, SYMPTOMS } from '$slides/22_playbook/symptoms'
import { deck } from '$slides/deck'
import { LEVERS, REQUEST_LEVERS } from '$slides/levers'
import { FakeEngine } from '../../support/fake-engine'

const H100 = catalogueMachine({ hardware: 'h100-sxm', model: 'llama-3.1-8b' })

/** Another machine behind the fake engine's simulator and virtual serving. */
function engineOn(machine = H100): Engine {
  const engine = new FakeEngine()
  engine.machine = () => Promise.resolve(machine)
  return engine
}

async function last(readings: AsyncGenerator<PlaybookReading>): Promise<PlaybookReading> {
  let reading: PlaybookReading | undefined
  for await (const r of readings) reading = r
  return reading!
}

async function on(values: Partial<ReturnType<typeof defaults<typeof params>>>): Promise<PlaybookReading> {
  const engine = engineOn()
  return last(run({ ...defaults(params), ...values }, { engine, profile: await engine.open({ runner: 'auto', slow: 1 }), seed: 1, signal: new AbortController().signal, lens: 'elsewhere' }))
}

describe('thirty symptoms', () => {
  const reachable = new Set(deck.map((s) => s.id))
  const levers = new Set<string>([...LEVERS, ...REQUEST_LEVERS].map((l) => l.lever)).add('host')
  test('there are thirty, each once', () => {
    expect(SYMPTOMS.length).toBe(30)
    expect(new Set(SYMPTOMS.map((s) => s.id)).size).toBe(30)
    expect(new Set(SYMPTOMS.map((s) => s.says)).size).toBe(30)
  })
  test.each(SYMPTOMS.map((s) => [s.id, s] as const))('%s: a bottleneck, a lever that some slide explains, a source', (_, s) => {
    expect(s.bottlenecks.length).toBeGreaterThan(0)
    for (const b of s.bottlenecks) expect(BOTTLENECKS).toContain(b)
    expect(s.acts.length).toBeGreaterThan(0)
    for (const a of s.acts) {
      expect(levers, a).toContain(a)
      expect(reachable, a).toContain(SLIDE_OF[a])
    }
    expect(new URL(s.url).protocol).toBe('https:')
    expect(s.source).not.toBe('')
    // A callout: twenty words at most, figures included.
    const words = (...texts: (string | undefined)[]) => texts.flatMap((t) => t?.split(/\s+/) ?? []).length
    expect(words(s.reported && 'from 1 s:', s.reported && s.done, s.cause, s.confirmed ? undefined : '(Suspected.)')).toBeLessThanOrEqual(20)
    expect(words(s.flat && `Stays flat: ${s.flat}`, s.check)).toBeLessThanOrEqual(20)
    if (s.reported) expect(reported(s)!.to.provenance).toMatchObject({ how: 'published', source: s.source })
  })
  test('the parameter takes each of them, and none', () => {
    expect(params.symptom.options.map((o) => o.value)).toEqual(['none', ...SYMPTOMS.map((s) => s.id)])
    expect(symptomOf('none')).toBeUndefined()
  })
})

describe('the talk’s workload', () => {
  test('chat on an H100: decode reads weights, every lever is pulled or says why not, and the best is worth pulling', async () => {
    const r = await on({})
    expect(r.complete).toBe(true)
    expect(named(r.parts, r.trace.provenance)!.bottleneck).toBe('memory')
    const rows = ranked(r.board, 'p99')
    expect(rows.length).toBe(13)
    for (const row of rows) expect(row.says, row.lever).toBeTruthy()
    expect(best(rows)!.gain!.value).toBeLessThan(-10)
    const gains = rows.flatMap((row) => (row.gain ? [row.gain.value] : []))
    expect(gains).toEqual([...gains].sort((a, b) => a - b))
  })

  test('the order of levers is that of plain simulations of before and after', async () => {
    const r = await on({})
    const rate = r.board!.before.rate
    const cost = (machine: typeof H100) => ({ cost: machineCost(machine) })
    const p99 = (machine: typeof H100, more: object) => {
      const { sequences, tokens, blocks } = machine.limits
      const scenario = parseScenario({
        seed: 1, requests: 3000, warmup: 600, arrivals: { process: 'poisson', rate }, slo: { ttft_ms: 500, tpot_ms: 50 }, prefixes: { tokens: 128, groups: 1, share: 1 },
        input: { dist: 'lognormal', mean: 512, cv: 1, max: 4096 }, output: { dist: 'lognormal', mean: 128, cv: 1, max: 1024 }, router: 'shortest-queue',
        ...more, steps: machine.steps, scheduler: { max_sequences: sequences, max_batched_tokens: tokens, kv_blocks: blocks, prefix_cache: false, ...(more as { scheduler?: object }).scheduler },
      })
      return simulate(scenario, cost(machine)).result.p99_ttft_ms!
    }
    const before = p99(H100, {})
    const ours = {
      quantization: p99(catalogueMachine({ hardware: 'h100-sxm', model: 'llama-3.1-8b', dtype: 'fp8' }), {}),
      capacity: p99(H100, { replicas: 2 }),
      cache: p99(H100, { scheduler: { prefix_cache: true } }),
      prompt: p99(H100, { input: { dist: 'lognormal', mean: 256, cv: 1, max: 2048 }, prefixes: { tokens: 64, groups: 1, share: 1 } }),
      output: p99(H100, { output: { dist: 'lognormal', mean: 128, cv: 1, max: 128 } }),
    }
    const rows = ranked(r.board, 'p99')
    for (const [lever, after] of Object.entries(ours)) expect(rows.find((row) => row.lever === lever)!.gain!.value, lever).toBeCloseTo(100 * (after / before - 1), 1)
    const order = rows.map((row) => row.lever).filter((l) => l in ours)
    expect(order).toEqual(Object.entries(ours).sort((a, b) => a[1] - b[1]).map(([l]) => l))
  })

  test('a workload of long prompts and short answers waits for arithmetic before its first token', async () => {
    const [chat, code] = [await on({}), await on({ preset: 'code' })]
    const share = (r: PlaybookReading) => r.parts.compute / total(r.parts)
    expect(share(code)).toBeGreaterThan(share(chat))
  })

  test('techniques: two replicas sustain twice as much; what is published says by whom', async () => {
    const r = await on({ view: 'matrix' })
    expect(throughput(r.board, 'capacity')!.value).toBeCloseTo(2, 1)
    for (const p of Object.values(PUBLISHED)) for (const q of Object.values(p)) expect(q.provenance.how).toBe('published')
  })
})

test('a support bot at a hundred thousand requests a day: its busiest hour, machines and money follow from each other', async () => {
  const r = await on({ view: 'case' })
  const bot = worked(r)!
  const rate = (100_000 / 86_400) * SUPPORT.peak
  expect(r.rate).toBeCloseTo(rate, 9)
  expect(bot.machines).toBe(Math.max(1, Math.ceil(rate / (SUPPORT.full * (r.board!.before.capacity / bot.machines)))))
  expect(bot.dollars.value).toBe(24 * SUPPORT.price * bot.machines)
  expect(bot.load.value).toBeLessThanOrEqual(100 * SUPPORT.full)
  expect(bot.load.value).toBeCloseTo((100 * rate) / r.board!.before.capacity, 9)
})

describe('a dropped file', () => {
  const served = simulate(parseScenario({ requests: 100, seed: 2, arrivals: { rate: 6 }, input: { dist: 'lognormal', mean: 400, cv: 0.6, max: 2000 }, output: { dist: 'lognormal', mean: 150, cv: 0.6, max: 600 }, steps: H100.steps, scheduler: { max_sequences: 4, max_batched_tokens: 2048, kv_blocks: H100.limits.blocks } }), { cost: machineCost(H100), traceEvery: 1 }).trace!
  const look = (text: string) => last(runDiagnosis(diagnose(readEvidence(text, 'it.json')), { engine: engineOn(), signal: new AbortController().signal, seed: 1 }))

  test.each([['a Trace', JSON.stringify(served)], ['a bench file', JSON.stringify(toVllmJson(served))]])('%s of a server with too few places: another server takes the line away, and the fit’s error stands beside', async (_, text) => {
    const r = await look(text)
    expect(r.diagnosis!.bottleneck).toBe('queue')
    const rows = ranked(r.board, 'p99')
    const gain = (lever: string) => rows.find((row) => row.lever === lever)!.gain!.value
    // Twice the places for the same requests: the line goes. Shorter prompts hold them hardly any shorter.
    expect(gain('capacity')).toBeLessThan(-60)
    expect(gain('capacity')).toBeLessThan(gain('prompt'))
    expect(rows.find((row) => row.lever === 'cache')!.says).toContain('does not say')
    const error = fitError(r)!
    expect(error.value).toBeLessThan(25)
    expect(error.note).toContain('of 100 requests')
    // The very requests were served: as many as there are, at their own times.
    expect(r.board!.before.simulated.summary.completed).toBe(100)
  })

  test('the gain of a second server is that of the same requests really served by two', async () => {
    const r = await look(JSON.stringify(served))
    const two = simulate(parseScenario({ requests: 100, warmup: 0, seed: 2, replicas: 2, router: 'shortest-queue', arrivals: { process: 'trace', file: 'x' }, steps: H100.steps, scheduler: { max_sequences: 4, max_batched_tokens: 2048, kv_blocks: H100.limits.blocks } }), {
      cost: machineCost(H100), files: { trace: { requests: r.diagnosis!.served.requests } },
    }).result
    const truth = 100 * (two.mean_ttft_ms! / (served.requests.length ? diagnose(readEvidence(JSON.stringify(served), 'it')).figures.ttft.mean : 1) - 1)
    const { before, pulled } = r.board!
    const ours = 100 * (pulled.capacity!.after!.simulated.summary.mean_ttft_ms! / before.simulated.summary.mean_ttft_ms! - 1)
    expect(Math.abs(ours - truth)).toBeLessThan(10)
  })

  test('a far server: only the nearer region takes the way away', async () => {
    const far = simulate(parseScenario({ requests: 60, seed: 2, arrivals: { rate: 0.5 }, regions: [{ name: 'far', rtt_ms: 600, replicas: 1 }], input: { dist: 'lognormal', mean: 300, cv: 0.5, max: 2000 }, output: { dist: 'fixed', mean: 5 }, steps: H100.steps }), { cost: machineCost(H100), traceEvery: 1 }).trace!
    const rows = ranked((await look(JSON.stringify(far))).board, 'ttft')
    expect(rows[0]!.lever).toBe('nearby')
    expect(rows[0]!.gain!.value).toBeLessThan(-80)
  })

  test('a live Trace of this deck', async () => {
    const r = await look(readFileSync('tests/fixtures/traces/burst.json', 'utf8'))
    expect(r.diagnosis!.provenance.how).toBe('recorded')
    expect(best(ranked(r.board, 'p99'))).toBeDefined()
  })
})
