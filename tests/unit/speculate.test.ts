import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { ModelConfig } from '$engine/model/config'
import { materialize } from '$engine/model/synthetic'
import { createReferenceRunner } from '$engine/runner/reference'
import { createWasmRunner } from '$engine/runner/wasm'
import { tokensPerIteration as expectedTokens } from '$engine/cost/speculation'
import { expectedSpeedup } from '$engine/speculate/expected'
import { lookup } from '$engine/speculate/lookup'
import { complete, parseSpeculate, type SpeculateOptions } from '$engine/speculate/options'
import type { Trace } from '$engine/trace/trace'
import prompts from '$assets/models/prompts.json'
import { serveAll, type Wanted } from '../support/serve-run'
import { toyRunner } from '../support/toy-runner'
import { fixture, shipped, type Greedy } from './fixtures'

const METHODS: SpeculateOptions[] = [
  { method: 'linear', k: 1 }, { method: 'linear', k: 4 }, { method: 'linear', k: 9 }, { method: 'dynamic' }, { method: 'lookup' },
  { method: 'tree' }, { method: 'tree', depth: 4, branch: 3, nodes: 24 }, { method: 'tree', depth: 1, branch: 4 },
]
const nameOf = (o: SpeculateOptions) => Object.values(o).join(' ')

/** Sums over a Trace, read from its events. */
function counts(trace: Trace) {
  const of = (kind: string) => trace.events.filter((e) => e.kind === kind)
  return {
    drafted: of('draft').length,
    accepted: of('verify').reduce((n, e) => n + e.count!, 0),
    verifications: of('verify').length,
    tokens: of('token').length,
    targetSteps: trace.steps.filter((s) => s.role !== 'draft' && s.batch.some((b) => b.sampled)).length,
    draftSteps: trace.steps.filter((s) => s.role === 'draft').length,
  }
}

describe('greedy text is the plain one', () => {
  const wanted = fc.record({
    prompts: fc.array(fc.array(fc.integer({ min: 0, max: 15 }), { minLength: 1, maxLength: 40 }), { minLength: 1, maxLength: 6 }),
    maxTokens: fc.integer({ min: 1, max: 40 }),
    eos: fc.constantFrom([], [3], [3, 7]),
    noise: fc.constantFrom(0, 0.2, 0.5, 1),
    blocks: fc.integer({ min: 5, max: 30 }),
    tokens: fc.integer({ min: 6, max: 40 }),
    sequences: fc.integer({ min: 1, max: 6 }),
    order: fc.constantFrom(1, 2, Infinity),
    draftBlocks: fc.integer({ min: 2, max: 30 }),
  })

  // The toy throws when a slot does not hold what the text says: block boundaries, trees closing up, caches
  // catching up, preemption and budgets are all in the draws.
  let preempted = 0
  test.each(METHODS)('toy: any prompts, pools and budgets: %o', async (method) => {
    let accepted = 0
    await fc.assert(fc.asyncProperty(wanted, async (w) => {
      const requests: Wanted[] = w.prompts.map((prompt) => ({ prompt, maxTokens: w.maxTokens, eos: w.eos }))
      const limits = { blocks: w.blocks, sequences: w.sequences, tokens: w.tokens }
      const plain = await serveAll(toyRunner({ order: w.order }), requests)
      const draft = toyRunner({ ...limits, blocks: w.draftBlocks, noise: w.noise, order: w.order, chain: 3 })
      const { outputs, trace } = await serveAll(toyRunner({ ...limits, order: w.order }), requests, { speculate: { ...method, runner: draft } })
      expect(outputs).toEqual(plain.outputs)
      accepted += counts(trace).accepted
      preempted += trace.events.filter((e) => e.kind === 'preempted').length
      if (trace.steps.length) expect(trace.steps.at(-1)!.kvBlocks).toBe(0)
    }), { numRuns: 80 })
    expect(accepted).toBeGreaterThan(100)
  })

  test('toy: pools were small enough that somebody had to give way', () => {
    expect(preempted).toBeGreaterThan(0)
  })
})

describe('greedy text of a transformer', () => {
  const config: ModelConfig = { layers: 2, hidden: 32, heads: 2, kvHeads: 1, headDim: 16, ffn: 64, vocabSize: 50, rmsNormEps: 1e-5, ropeTheta: 1e4, maxPositions: 256, tied: true, eos: [] }
  const model = (name: string, seed: number) => ({ name, config, source: { kind: 'tensors', weights: materialize(config, seed) } as const, trainedContext: 256 })

  test('the reference runner’s is the plain one by every method, drafts by itself included', async () => {
    const requests = Array.from({ length: 4 }, (_, i): Wanted => ({ prompt: Array.from({ length: 5 + 9 * i }, (_, k) => (7 * k + i) % 50), maxTokens: 24, eos: [i] }))
    const target = createReferenceRunner(model('a', 3), { blocks: 64 })
    const { outputs } = await serveAll(target, requests)
    for (const seed of [3, 4]) for (const method of METHODS) {
      const runner = createReferenceRunner(model('b', seed), { blocks: 64 })
      expect((await serveAll(target, requests, { speculate: { ...method, runner } })).outputs, nameOf(method)).toEqual(outputs)
    }
  })

  const greedy = fixture<Record<string, Greedy[]>>('greedy.json')
  test.skipIf(!greedy)('tales-5m with drafts by tales-0.3m: 50 prompts, every method; a quarter of the target’s steps at the least is saved', { timeout: 120_000 }, async () => {
    const { model, tokenizer } = await shipped('tales-5m')
    const runner = await createWasmRunner(model, { blocks: 512, sequences: 16, threads: 1 })
    const draft = await createWasmRunner((await shipped('tales-0.3m')).model, { blocks: 512, sequences: 16, threads: 1 })
    const shown = prompts.map((p) => tokenizer.encode(p.text))
    // Ends in a full stop are ends inside a draft.
    const stop = tokenizer.encode('.')
    const texts = [...shown, ...greedy!['tales-5m']!.map((c) => c.prompt_ids), ...shown.map((ids) => ids.slice(0, -2))]
    const requests = texts.map((prompt, i): Wanted => ({ prompt, maxTokens: 14 + (i % 16), eos: i % 3 === 1 ? stop : model.config.eos }))
    expect(requests.length).toBeGreaterThanOrEqual(50)
    const plain = await serveAll(runner, requests)
    expect(plain.outputs.filter((ids) => stop.includes(ids.at(-1)!)).length).toBeGreaterThan(5)
    for (const method of METHODS.filter((m) => m.k !== 1 && m.k !== 9 && m.branch !== 3)) {
      const { outputs, trace } = await serveAll(runner, requests, { speculate: { ...method, runner: draft } })
      expect(outputs, nameOf(method)).toEqual(plain.outputs)
      const c = counts(trace)
      // Per request a step is a verification: batches share them all the same.
      const steps = c.tokens - c.accepted
      if (method.method !== 'lookup') expect(steps / c.tokens, nameOf(method)).toBeLessThan(0.75)
      expect(c.accepted, nameOf(method)).toBeGreaterThan(0)
    }
    runner.dispose()
    draft.dispose()
  })
})

describe('expected tokens', () => {
  test('the formulas at the paper’s points', () => {
    expect(expectedTokens(0.8, 5)).toBeCloseTo(3.689, 3)
    expect(expectedSpeedup(0.8, 5, 0.05)).toBeCloseTo(2.951, 3)
    expect(expectedSpeedup(0.6, 7, 0.05)).toBeCloseTo(1.821, 3)
    expect(expectedTokens(1, 4)).toBe(5)
    expect(expectedTokens(0, 4)).toBe(1)
  })

  test('what a run came to: acceptance per draft gives its tokens per verification', async () => {
    // Sampling with the toy: each draft is accepted with the same probability on average, whatever came before.
    const k = 4
    const requests = Array.from({ length: 300 }, (_, i): Wanted => ({ prompt: [i % 16, i % 7], maxTokens: 60, sampling: { temperature: 1, seed: i } }))
    const { trace } = await serveAll(toyRunner({ blocks: 400 }), requests, { speculate: { method: 'linear', k, runner: toyRunner({ noise: 0.4, blocks: 400 }) } })
    const draftsOf = new Map<number, number>()
    let [reached, kept, whole, tokens] = [0, 0, 0, 0]
    for (const e of trace.events) {
      if (e.kind === 'draft') draftsOf.set(e.request, (draftsOf.get(e.request) ?? 0) + 1)
      if (e.kind !== 'verify') continue
      // Towards the end of a text fewer are drafted: those are left out.
      if (draftsOf.get(e.request) === k) {
        reached += Math.min(e.count! + 1, k)
        kept += e.count!
        whole++
        tokens += e.count! + 1
      }
      draftsOf.delete(e.request)
    }
    const a = kept / reached
    expect(whole).toBeGreaterThan(2000)
    expect(a).toBeGreaterThan(0.5)
    expect(tokens / whole).toBeCloseTo(expectedTokens(a, k), 1)
  })
})

describe('sampling', () => {
  const VOCAB = 3
  const LENGTH = 5
  const DRAWS = 100_000
  const toy = (noise = 0) => toyRunner({ vocabSize: VOCAB, order: 2, blocks: 64, sequences: 64, tokens: 512, noise })

  /** Probability of every text of LENGTH tokens after `prompt`, from the toy's logits one by one. */
  async function exact(prompt: number[], temperature: number): Promise<Map<string, number>> {
    const out = new Map<string, number>()
    const runner = toy()
    async function follow(text: number[], p: number): Promise<void> {
      if (text.length === prompt.length + LENGTH) {
        out.set(text.slice(prompt.length).join(), p)
        return
      }
      const { logits } = await runner.run({ wantLogits: true, chunks: [{ request: 0, tokens: Int32Array.from(text), start: 0, blockTable: Int32Array.of(0), sample: true }] })
      const weights = Array.from(logits!, (l) => Math.exp(l / temperature))
      const sum = weights.reduce((a, b) => a + b)
      for (let x = 0; x < VOCAB; x++) await follow([...text, x], (p * weights[x]!) / sum)
    }
    await follow(prompt, 1)
    return out
  }

  test.each<SpeculateOptions>([
    { method: 'linear', k: 3 }, { method: 'lookup', k: 3 }, { method: 'tree', depth: 3, branch: 3, nodes: 9 },
  ])('lossless by $method: 1e5 texts are distributed as the target’s own', async (method) => {
    const prompt = [0, 1, 2, 0]
    const temperature = 2.5
    const p = await exact(prompt, temperature)
    const seen = new Map<string, number>()
    const draft = toy(0.5)
    for (let from = 0; from < DRAWS; from += 1000) {
      const requests = Array.from({ length: 1000 }, (_, i): Wanted => ({ prompt, maxTokens: LENGTH, sampling: { temperature, seed: 77_000 + from + i } }))
      const { outputs } = await serveAll(toy(), requests, { speculate: { ...method, runner: draft } })
      for (const ids of outputs) seen.set(ids.join(), (seen.get(ids.join()) ?? 0) + 1)
    }
    let chi2 = 0
    for (const [text, probability] of p) chi2 += ((seen.get(text) ?? 0) - DRAWS * probability) ** 2 / (DRAWS * probability)
    // 3^5 − 1 = 242 degrees of freedom: mean 242, standard deviation 22. The seeds are fixed.
    expect(Math.min(...p.values()) * DRAWS).toBeGreaterThan(5)
    expect(chi2).toBeLessThan(242 + 3.5 * 22)
    expect(chi2).toBeGreaterThan(242 - 3.5 * 22)
  })

  test('a draft model that is the target: everything is accepted', async () => {
    for (const method of [{ method: 'linear', k: 4 }, { method: 'tree', depth: 4, branch: 2, nodes: 30 }] as const) {
      for (const sampling of [undefined, { temperature: 1, seed: 5 }]) {
        const { trace } = await serveAll(toyRunner(), [{ prompt: [1, 2, 3], maxTokens: 41, sampling }], { speculate: { ...method, runner: toyRunner() } })
        const c = counts(trace)
        if (method.method === 'linear') expect(c.accepted).toBe(c.drafted)
        // The tree's depth follows the path's probability: each verification still accepts down to a leaf.
        const drafts = trace.events.filter((e) => e.kind === 'draft' || e.kind === 'verify')
        let parents: number[] = []
        for (const e of drafts) {
          if (e.kind === 'draft') parents.push(e.parent ?? parents.length - 1)
          else {
            const end = e.path ? e.path.at(-1)! : e.count! - 1
            expect(parents).not.toContain(end)
            parents = []
          }
        }
      }
    }
  })
})

describe('lookup', () => {
  test('what followed the longest ending where it came last', () => {
    expect([...lookup([1, 2, 3, 9, 1, 2, 3], 2).tokens]).toEqual([9, 1])
    expect([...lookup([5, 2, 8, 7, 2, 6, 4, 2], 3).tokens]).toEqual([6, 4, 2])
    expect([...lookup([1, 2, 3], 4).tokens]).toEqual([])
    expect([...lookup([4, 4], 4).tokens]).toEqual([4])
  })
})

describe('options', () => {
  test('as the command line writes them', () => {
    expect(parseSpeculate('linear:6')).toMatchObject({ method: 'linear', k: 6 })
    expect(complete(parseSpeculate('tree:6x2'))).toMatchObject({ method: 'tree', depth: 6, branch: 2 })
    expect(complete(parseSpeculate('dynamic')).k).toBe(4)
    for (const wrong of ['linear:0', 'linear:99', 'tree:6', 'tree:6x9', 'magic', 'lookup:', '']) expect(() => parseSpeculate(wrong), wrong).toThrow(RangeError)
  })
})
