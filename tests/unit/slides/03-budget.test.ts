import { beforeAll, describe, expect, test } from 'vitest'
import { defaults, defaultsUnder } from '$components/controls/params'
import { serveVirtually } from '$engine/worker/virtual'
import { total } from '$engine/trace/bottleneck'
import { params, run, type BudgetReading } from '$slides/03_latency_budget/experiment'
import { cited, findings, stages, waitsFor, workedFindings, type Setting } from '$slides/03_latency_budget/findings'
import { ranked, WORKED_PARTS } from '$slides/03_latency_budget/worked'
import { PRESETS, WORKLOADS, type Preset, type TalkWorkload } from '$slides/workloads'
import { FakeEngine } from '../../support/fake-engine'

type P = ReturnType<typeof defaults<typeof params>>
const BASE_MS = 2
const TOKEN_MS = 0.2

async function on(values: Partial<P> = {}): Promise<{ p: P; reading: BudgetReading; served: number }> {
  const engine = new FakeEngine({ costs: { baseMs: BASE_MS, perTokenMs: TOKEN_MS } })
  const p = { ...defaultsUnder(params, values), ...values }
  let reading: BudgetReading | undefined
  for await (const r of run(p, { engine, profile: await engine.open({}), seed: 1, signal: new AbortController().signal })) reading = r
  return { p, reading: reading!, served: engine.served }
}
const found = (r: BudgetReading, s: Setting) => findings(r, s)!
const end = (all: ReturnType<typeof stages>) => Math.max(...all.filter((s) => !s.exempt).map((s) => s.start + s.ms))

describe('03: a budget is spent before the model starts', () => {
  let chat: Awaited<ReturnType<typeof on>>
  beforeAll(async () => { chat = await on() })

  test('the live stages take what the machine costs, by hand', () => {
    const all = stages(chat.reading, chat.p)
    const ms = (label: string) => all.find((s) => s.label === label)?.ms
    // One chunk of 512 is one step; each further token another.
    expect(ms('prefill')).toBeCloseTo(BASE_MS + 512 * TOKEN_MS, 6)
    expect(ms('decode')).toBeCloseTo(127 * (BASE_MS + TOKEN_MS), 4)
    expect(ms('wire')).toBe(20)
    expect(ms('queue')).toBeCloseTo(chat.reading.line!.summary.wait_ms!.mean, 9)
  })

  test.each(PRESETS)('%s: stages are on one clock without a gap, and their sum is the wait', async (name) => {
    const { reading, p } = await on({ preset: name })
    const all = stages(reading, p)
    expect(new Set(all.map((s) => s.label)).size).toBe(all.length)
    let until = 0
    for (const s of all) {
      expect(s.start).toBeLessThanOrEqual(until + 1e-9)
      until = Math.max(until, s.start + s.ms)
    }
    const f = found(reading, p)
    expect(f.waited.value).toBeCloseTo(end(all), 9)
    expect(f.waited.value + f.left.value).toBeCloseTo(WORKLOADS[name].patience.ms, 6)
    if (!p.stream) expect(f.waited.value).toBeCloseTo(all.reduce((sum, s) => sum + s.ms, 0), 6)
    // The five places hold all that is waited for; overlapping work is counted once for each that does it.
    expect(total(f.attribution)).toBeGreaterThanOrEqual(f.waited.value - 1e-6)
    // What nobody here measures is published, and every such number can be clicked.
    const parts = [...(WORKLOADS[name] as TalkWorkload).before, ...WORKLOADS[name].between, ...WORKLOADS[name].after]
    expect(cited(all).map((c) => c.label)).toEqual(expect.arrayContaining(parts.map((part) => part.name)))
    for (const c of cited(all)) expect(c.quantity.provenance.how).toMatch(/published|measured/)
  })

  test('the default shows the point through a datacentre’s lens, where the headline is about', async () => {
    const engine = new FakeEngine()
    const { lensMachine, parseLens } = await import('$engine/worker/lens')
    const machine = await lensMachine(parseLens('h100-sxm/llama-3.1-8b') as never, () => Promise.reject(new Error('none')))
    const through = Object.assign(engine, { machine: () => Promise.resolve(machine), serve: (w: never, o: { signal?: AbortSignal }) => serveVirtually(w, machine, o) })
    let reading: BudgetReading | undefined
    for await (const r of run(defaults(params), { engine: through, profile: await engine.open({}), seed: 1, signal: new AbortController().signal })) reading = r
    expect(found(reading!, defaults(params)).beforeShare.value).toBeGreaterThan(50)
  })

  describe('each control moves what it says', () => {
    test('round trip: all of it is waited for, half before the model', () => {
      const [near, far] = [0, 300].map((rtt) => found(chat.reading, { rtt, stream: true }))
      expect(far!.waited.value - near!.waited.value).toBeCloseTo(300, 6)
      expect(far!.before.value - near!.before.value).toBeCloseTo(150, 6)
      expect(far!.attribution.network).toBe(300)
    })
    test('prompt: a longer one takes longer to the first token', async () => {
      const long = await on({ prompt: 2048 })
      expect(found(long.reading, long.p).waited.value).toBeGreaterThan(found(chat.reading, chat.p).waited.value + 1000 * TOKEN_MS)
    })
    test('output: more of it is not waited for when streamed, and is when not', async () => {
      const long = await on({ output: 256 })
      const prefillTo = (r: BudgetReading, s: Setting) => stages(r, s).filter((x) => x.label !== 'queue' && !x.exempt).reduce((sum, x) => sum + x.ms, 0)
      expect(prefillTo(long.reading, { rtt: 40, stream: true })).toBeCloseTo(prefillTo(chat.reading, { rtt: 40, stream: true }), 6)
      expect(prefillTo(long.reading, { rtt: 40, stream: false }) - prefillTo(chat.reading, { rtt: 40, stream: false })).toBeCloseTo(128 * (BASE_MS + TOKEN_MS), 3)
    })
    test('stream: what is waited for ends with the first token, or with the last', () => {
      const [on_, off] = [true, false].map((stream) => found(chat.reading, { rtt: 40, stream }))
      expect(off!.waited.value - on_!.waited.value).toBeCloseTo(127 * (BASE_MS + TOKEN_MS), 4)
      expect([waitsFor(WORKLOADS.chat, true), waitsFor(WORKLOADS.voice, true), waitsFor(WORKLOADS.chat, false)]).toEqual(['first token', 'first sound', 'whole answer'])
    })
    test('preset: lengths and stream follow it; an agent asks the model twice, with its tool between', async () => {
      for (const name of PRESETS) {
        const p = defaultsUnder(params, { preset: name as Preset })
        expect(p.stream).toBe(WORKLOADS[name].streamed)
        expect(p.prompt / WORKLOADS[name].input.mean).toBeGreaterThan(0.7)
        expect(p.prompt / WORKLOADS[name].input.mean).toBeLessThan(1.4)
      }
      const agent = await on({ preset: 'agent' })
      expect(agent.served).toBe(2)
      const labels = stages(agent.reading, agent.p).map((s) => s.label)
      expect(labels.indexOf('tool')).toBeGreaterThan(labels.indexOf('decode'))
      expect(labels.indexOf('prefill 2')).toBeGreaterThan(labels.indexOf('tool'))
    })
    test('voice: hearing, thinking and speaking overlap, and that is what makes it bearable', async () => {
      const { reading, p } = await on({ preset: 'voice' })
      const overlapped = found(reading, { ...p, stream: true }).waited.value
      const one = found(reading, { ...p, stream: false }).waited.value
      // ASR ends within the silence, and speaking begins after eight of 64 tokens.
      expect(one - overlapped).toBeCloseTo(100 + 56 * (BASE_MS + TOKEN_MS), 1)
    })
  })

  test('worked: about four seconds come within one, largest part first; the second largest first does not get there', () => {
    const worked = chat.reading.worked!
    const { rows, instead, budgetMs } = worked
    expect(rows[0]!.total).toBeGreaterThan(3500)
    expect(rows[0]!.total).toBeLessThan(4500)
    expect(rows.at(-1)!.total).toBeLessThan(budgetMs)
    expect(rows.length).toBeGreaterThan(2)
    expect(instead.total).toBeGreaterThan(budgetMs)
    for (const [i, row] of rows.entries()) {
      expect(WORKED_PARTS.reduce((sum, part) => sum + row.parts[part], 0)).toBeCloseTo(row.total, 9)
      if (i === 0) continue
      // What was largest in the row before is what has shrunk most.
      const before = rows[i - 1]!
      const largest = ranked(before)[0]!
      expect(WORKED_PARTS.every((part) => before.parts[largest] - row.parts[largest] >= before.parts[part] - row.parts[part])).toBe(true)
    }
    expect(rows[1]!.total).toBeLessThan(instead.total)
    expect(workedFindings(worked).fixes).toHaveLength(rows.length - 1)
  })
})
