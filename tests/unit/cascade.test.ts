import { describe, expect, test } from 'vitest'
import { materialize } from '$engine/model/synthetic'
import { createReferenceRunner } from '$engine/runner/reference'
import type { Runner } from '$engine/runner/runner'
import { cascade, certainty, escalationRate } from '$engine/speculate/cascade'

const config = { layers: 1, hidden: 32, heads: 2, kvHeads: 1, headDim: 16, ffn: 32, vocabSize: 40, rmsNormEps: 1e-5, ropeTheta: 1e4, maxPositions: 128, tied: true, eos: [] as number[] }
const runner = (seed: number, layers = 1): Runner => {
  const c = { ...config, layers }
  return createReferenceRunner({ name: `toy-${seed}`, config: c, source: { kind: 'tensors', weights: materialize(c, seed) }, trainedContext: 0 }, { blocks: 8, tokens: 8 })
}
const pair = { small: runner(1), large: runner(2, 2) }
const prompt = Int32Array.from({ length: 19 }, (_, i) => (i * 7 + 2) % 40)

/** Plain greedy decoding, the whole text anew for each token, and 1 − entropy / ln V before each. */
async function plain(r: Runner, count: number): Promise<{ tokens: number[]; certainties: number[] }> {
  const text = [...prompt]
  const certainties: number[] = []
  const fresh = createReferenceRunner({ name: 'plain', config: r.config, source: { kind: 'tensors', weights: materialize(r.config, r === pair.small ? 1 : 2) }, trainedContext: 0 }, { blocks: 8 })
  while (text.length < prompt.length + count) {
    const { logits } = await fresh.run({ wantLogits: true, chunks: [{ request: 0, tokens: Int32Array.from(text), start: 0, blockTable: Int32Array.of(0, 1, 2, 3, 4, 5), sample: true }] })
    const row = [...logits!]
    const sum = row.reduce((s, x) => s + Math.exp(x), 0)
    certainties.push(1 + row.map((x) => Math.exp(x) / sum).reduce((h, p) => h + p * Math.log(p), 0) / Math.log(row.length))
    text.push(row.indexOf(Math.max(...row)))
  }
  return { tokens: text.slice(prompt.length), certainties }
}

describe('cascade', () => {
  test('sure enough: the small model’s own text; not sure: the large one’s, and both are paid for', async () => {
    const { tokens, certainties } = await plain(pair.small, 24)
    const confidence = certainties.slice(0, 16).reduce((s, c) => s + c, 0) / 16
    let t = 0
    const clock = { now: () => t++ }
    const stays = await cascade(prompt, pair, { threshold: confidence * 0.999, maxTokens: 24, clock })
    expect(stays).toMatchObject({ tokens, escalated: false, steps: { small: 24, large: 0 }, time: { small: 1, large: 0 } })
    expect(stays.confidence).toBeCloseTo(confidence, 5)
    const escalates = await cascade(prompt, pair, { threshold: confidence * 1.001, maxTokens: 24, clock })
    expect(escalates).toMatchObject({ tokens: (await plain(pair.large, 24)).tokens, escalated: true, steps: { small: 16, large: 24 }, time: { small: 1, large: 1 } })
    expect(escalates.confidence).toBe(stays.confidence)
  })

  test('0 never escalates, above 1 always; the probe is what is judged', async () => {
    expect((await cascade(prompt, pair, { threshold: 0, maxTokens: 6 })).escalated).toBe(false)
    const always = await cascade(prompt, pair, { threshold: 1.1, maxTokens: 6, probe: 2 })
    expect(always.steps).toEqual({ small: 2, large: 6 })
    const { certainties } = await plain(pair.small, 2)
    expect(always.confidence).toBeCloseTo((certainties[0]! + certainties[1]!) / 2, 5)
  })

  test('an answer ends where the text ends', async () => {
    const { tokens } = await plain(pair.small, 12)
    const end = tokens.findIndex((id, i) => i >= 2 && !tokens.slice(0, i).includes(id))
    const small = { ...pair.small, config: { ...config, eos: [tokens[end]!] } }
    const answer = await cascade(prompt, { ...pair, small }, { threshold: 0, maxTokens: 12 })
    expect(answer.tokens).toEqual(tokens.slice(0, end + 1))
  })

  test('what does not fit is refused in words', async () => {
    await expect(cascade(prompt, pair, { threshold: 0, maxTokens: 110 })).rejects.toThrow('do not fit toy-1')
  })

  test('certainty: 1 for one token with everything, 0 where all are alike, and half where the square root of all of them are', () => {
    expect(certainty(Float32Array.of(1000, 0, 0, 0))).toBeCloseTo(1, 9)
    expect(certainty(new Float32Array(16).fill(-3))).toBeCloseTo(0, 6)
    expect(certainty(Float32Array.from({ length: 16 }, (_, i) => (i < 4 ? 5 : -1000)))).toBeCloseTo(0.5, 6)
  })

  test('the share that a threshold escalates', () => {
    expect([0, 0.3, 0.5, 2].map((t) => escalationRate([0.2, 0.4, 0.6, 0.8], t))).toEqual([0, 0.25, 0.5, 1])
  })
})
