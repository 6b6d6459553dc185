import { beforeAll, describe, expect, test } from 'vitest'
import { defaults } from '$components/controls/params'
import { timingModel } from '$engine/model/synthetic'
import type { Model } from '$engine/model/weights'
import { createReferenceRunner } from '$engine/runner/reference'
import { VirtualClock } from '$engine/serving/clock'
import { serve, type ServeRequest } from '$engine/serving/serve'
import { append } from '$engine/trace/phases'
import type { Trace } from '$engine/trace/trace'
import type { Engine, Workload } from '$engine/worker/protocol'
import { params, run, type MixtureReading } from '$slides/16_moe_sparsity/experiment'
import { findings, served } from '$slides/16_moe_sparsity/findings'
import { decodeSteps, readByBatch, readIfEven, routeOf, routesOf, union } from '$slides/16_moe_sparsity/routes'
import { FakeEngine } from '../../support/fake-engine'

/** A mixture small enough to compute for real in plain TypeScript: its routers choose, time stands still. */
const tiny: Model = timingModel(1e5, { experts: 8 })
Object.assign(tiny.config, { layers: 2, hidden: 64, heads: 2, kvHeads: 1, headDim: 32, ffn: 32, vocabSize: 128 })

async function compute(workload: Workload): Promise<Trace> {
  const clock = new VirtualClock()
  const reference = createReferenceRunner(tiny, { blocks: 512, sequences: 64 })
  const trace: Trace = { provenance: { how: 'measured', device: { name: 'test', runner: 'reference', model: tiny.name }, at: '2026-01-01T00:00:00.000Z' }, requests: [], events: [], steps: [], held: { weightBytes: 1, kvBytesPerToken: 1, parameters: 1 } }
  const requests = workload.requests.map((r, id): ServeRequest => {
    const length = typeof r.prompt === 'number' ? r.prompt : 4
    return {
      record: { id, arrival: 0, promptTokens: length, maxTokens: r.maxTokens }, prompt: Int32Array.from({ length }, (_, i) => (id * 37 + i * 11) % 128),
      queuedAt: 0, eos: [], sampling: r.sampling,
    }
  })
  trace.requests.push(...requests.map((r) => r.record))
  await serve(requests, {
    runner: { ...reference, run: async (batch) => {
      const result = await reference.run(batch)
      clock.advance(1 + (result.expertsTouched ?? 0))
      return result
    } },
    clock, limits: { maxSequences: workload.maxSequences }, expertsPerToken: workload.expertsPerToken, wantExperts: workload.wantExperts,
    emit: (update) => append(trace, { requests: [], ...update }),
  })
  return trace
}

async function read(values: Partial<ReturnType<typeof defaults<typeof params>>> = {}): Promise<MixtureReading> {
  const fake = new FakeEngine()
  const profile = await fake.open({})
  const engine = Object.assign(fake, { serve: compute } satisfies Pick<Engine, 'serve'>)
  let last: MixtureReading | undefined
  for await (const reading of run({ ...defaults(params), ...values }, { engine, profile, seed: 1, signal: new AbortController().signal })) last = reading
  return last!
}

describe('16: pay for two experts, own eight', () => {
  let one: MixtureReading
  let many: MixtureReading
  beforeAll(async () => {
    one = await read()
    many = await read({ batch: 16, top_k: 2 })
  }, 60_000)

  test('alone a token reads as many experts as it is sent to, and all are told apart', () => {
    expect(findings(one, 2).read!.value).toBe(2)
    for (const step of decodeSteps(one.trace)) {
      const route = routeOf(step, 0)!
      expect(route.length).toBe(2)
      for (const layer of route) expect(new Set(layer).size).toBe(2)
    }
  })

  test('what the choices say together is what the runner says it read', () => {
    const steps = many.trace.steps
    expect(steps.some((s) => s.batch.length > 1)).toBe(true)
    for (const s of steps) expect(union(routesOf(s)).reduce((n, l) => n + l.length, 0)).toBe(s.experts!.touched)
  })

  test('larger batches read more, never more than all, and what was put together is what was served', () => {
    const drawn = readByBatch(many.wide!, [1, 2, 4, 8, 16, 32, 64])
    expect(drawn.map((p) => p.batch)).toEqual([1, 2, 4, 8, 16, 32, 64])
    expect(drawn[0]!.read).toBe(2)
    for (let i = 1; i < drawn.length; i++) expect(drawn[i]!.read).toBeGreaterThanOrEqual(drawn[i - 1]!.read)
    expect(drawn.at(-1)!.read).toBeLessThanOrEqual(8)
    const whole = decodeSteps(many.wide!)
    expect(drawn.at(-1)!.read).toBeCloseTo(whole.reduce((n, s) => n + s.experts!.touched, 0) / whole.length / 2, 0)
  })

  test('operations fall by the formula whatever the batch; bytes fall less in a batch than alone', () => {
    const { layers, hidden: d, heads, kvHeads, headDim, ffn, vocabSize } = tiny.config
    const perToken = (k: number, context: number) =>
      2 * layers * (2 * d * heads * headDim + 2 * d * kvHeads * headDim + 8 * d + 3 * k * d * ffn + 2 * d) + 2 * d * vocabSize + 4 * layers * heads * headDim * (context + 1)
    for (const reading of [one, many]) {
      for (const { topK, trace } of reading.timed) {
        const step = decodeSteps(trace)[0]!
        expect(step.flops, `${topK} experts`).toBe(step.batch.reduce((n, s) => n + perToken(topK, s.context), 0))
      }
    }
    const [alone, together] = [findings(one, 2), findings(many, 2)]
    expect(together.bytesSaved!.value).toBeLessThan(alone.bytesSaved!.value)
    expect(together.flopsSaved!.value).toBeCloseTo(alone.flopsSaved!.value, 6)
    // Time here is what was read: it goes the way of the bytes.
    expect(together.speedup!.value).toBeLessThan(alone.speedup!.value)
    expect(one.timed.map((t) => t.topK)).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
  })

  test('more experts a token are more of everything', async () => {
    const three = findings(await read({ top_k: 3 }), 3)
    expect(three.read!.value).toBe(3)
    expect(three.flopsSaved!.value).toBeLessThan(findings(one, 2).flopsSaved!.value)
    expect(three.stepBytes!.value).toBeGreaterThan(findings(one, 2).stepBytes!.value)
  })

  test('even routing: eight times one minus three quarters to the n; Mixtral by its published shape', () => {
    expect(readIfEven(8, 2, 1)).toBe(2)
    expect(readIfEven(8, 2, 2)).toBe(3.5)
    expect(readIfEven(8, 8, 1)).toBe(8)
    // 12.9 B of 46.7 B a token (Jiang et al. 2024), embeddings left out of both.
    const { read: bytes, met } = served(2, 1)
    expect(met.value / 100).toBeCloseTo((12.9 - 0.26) / (46.7 - 0.26), 2)
    expect(bytes.value).toBeCloseTo(met.value, 9)
    expect(served(2, 16).read.value).toBeGreaterThan(98)
    expect(served(2, 16).met.value).toBe(met.value)
  })
})
