import { describe, expect, test } from 'vitest'
import { defaults } from '$components/controls/params'
import { catalogueMachine } from '$engine/cost/machine'
import type { Engine } from '$engine/worker/protocol'
import { serveVirtually } from '$engine/worker/virtual'
import { e2eOf, INPUTS, OUTPUTS, params, run, type OutputReading } from '$slides/07_output_dominates/experiment'
import { byInput, byOutput, costed, doubled, findings, shares } from '$slides/07_output_dominates/findings'
import { FakeEngine } from '../../support/fake-engine'

const h100 = catalogueMachine({ hardware: 'h100-sxm', model: 'llama-3.1-8b' })

/** On a machine in virtual time; the fake engine's own costs (base + tokens × each) where none is given. */
async function read(values: Partial<ReturnType<typeof defaults<typeof params>>> = {}, on: typeof h100 | null = h100): Promise<OutputReading> {
  const fake = new FakeEngine({ costs: { baseMs: 5, perTokenMs: 0.1 } })
  const profile = await fake.open({})
  const engine: Engine = on ? Object.assign(fake, { machine: () => Promise.resolve(on), serve: ((workload) => serveVirtually(workload, on)) satisfies Engine['serve'] }) : fake
  let last: OutputReading | undefined
  for await (const reading of run({ ...defaults(params), ...values }, { engine, profile, seed: 1, lens: on ? 'elsewhere' : 'here', signal: new AbortController().signal })) last = reading
  return last!
}

describe('07: alone, one token out waits like hundreds in', () => {
  test('on an H100 hundreds at batch 1, a handful at 64', async () => {
    const { exchange } = await read({ input: 1024 })
    expect(exchange[0]!.tokens).toBeGreaterThan(150)
    expect(exchange[0]!.tokens).toBeLessThan(400)
    expect(exchange.at(-1)!.batch).toBe(64)
    expect(exchange.at(-1)!.tokens).toBeGreaterThan(2)
    expect(exchange.at(-1)!.tokens).toBeLessThan(8)
    for (let i = 1; i < exchange.length; i++) expect(exchange[i]!.tokens).toBeLessThan(exchange[i - 1]!.tokens)
  })

  test('with step costs of a formula, times are that formula', async () => {
    const r = await read({ input: 64, output: 32 }, null)
    // Prefill 5 + 64 · 0.1, each further token 5 + 0.1.
    const e2e = 5 + 6.4 + 31 * 5.1
    const f = findings(r, 1)!
    expect(f.e2e.value).toBeCloseTo(e2e, 6)
    expect(f.share.value).toBeCloseTo((100 * 31 * 5.1) / e2e, 6)
    expect(f.exchange!.value).toBeCloseTo(5.1 / (11.4 / 64), 6)
    expect(byOutput(r.trace).find((p) => p.x === 8)!.y).toBeCloseTo(11.4 + 7 * 5.1, 6)
    expect(byInput(r).map((p) => p.x)).toEqual([16, 64, 128, 512])
    expect(byInput(r)[3]!.y).toBeCloseTo(5 + 51.2 + 31 * 5.1, 6)
    // What is simulated says the same as what was served.
    expect(costed(r, 64, 32).in.find((p) => p.x === 512)!.y).toBeCloseTo(byInput(r)[3]!.y, 6)
    expect(r.costs).toMatchObject({ how: 'simulated', costs: { how: 'measured' } })
  })

  test('composed times are those of serving the whole request', async () => {
    for (const [input, output] of [[256, 512], [2048, 64]] as const) {
      const r = await read({ input, output })
      const row = r.rows.find((x) => x.input === input)!
      expect(e2eOf(row, output) / findings(r, 1)!.e2e.value).toBeCloseTo(1, 2)
    }
  })

  test('decode’s share grows with the output and falls with the input; twice the answer costs more than twice the prompt', async () => {
    const r = await read()
    const cells = shares(r)
    expect(cells).toHaveLength(OUTPUTS.length)
    const [short, long] = [cells[0]!, cells.at(-1)!]
    expect(long[0]!).toBeGreaterThan(short[0]!)
    expect(short.at(-1)!).toBeLessThan(short[0]!)
    expect(cells.flat().every((v) => v! > 0 && v! < 100)).toBe(true)
    const d = doubled(r, 256, 64)!
    expect(d.output.value).toBeGreaterThan(5 * d.input.value)
    expect(doubled(r, INPUTS.at(-1)!, 64)).toBeUndefined()
  })

  test('others on the road slow every token and cheapen it', async () => {
    const [one, many] = [findings(await read(), 1)!, findings(await read({ batch: 64 }), 64)!]
    expect(many.tpot!.value).toBeGreaterThan(one.tpot!.value)
    expect(many.exchange!.value).toBeLessThan(one.exchange!.value / 20)
  })
})
