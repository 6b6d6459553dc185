import { expect, test } from 'vitest'
import { cachedTokens, treeOf } from '$components/motif/prefix-tree'
import { partsOf, USERS } from '$slides/09_cached_prefix/experiment'
import { GAP_S, priceOf, promptsOf } from '$slides/09_cached_prefix/findings'
import type { Trace } from '$engine/trace/trace'
import { shipped } from './fixtures'

test('what users share stands first or last, and nothing is shared by chance', async () => {
  const { tokenizer, model } = await shipped('tales-5m')
  for (const order of ['static-first', 'user-first'] as const) for (const shared of [0, 80, 100]) {
    const texts = Array.from({ length: USERS }, (_, user) => partsOf({ shared, order, chunks: 20 }, user).map((p) => p.text).join(''))
    const ids = texts.map((text) => tokenizer.encode(text))
    for (const prompt of ids) expect(prompt.length + 4).toBeLessThanOrEqual(model.config.maxPositions)
    const common = (a: number[], b: number[]) => { let n = 0; while (n < a.length && a[n] === b[n]) n++; return n }
    for (let user = 1; user < USERS; user++) {
      const same = common(ids[0]!, ids[user]!)
      if (order === 'user-first' || shared === 0) expect(same).toBe(0)
      else expect(same / ids[user]!.length).toBeCloseTo(shared / 100, 0)
    }
  }
})

test('parts of a prompt in tokens: none lost, and the tree finds what is shared', () => {
  const served = [['one two ', 'a'], ['one two ', 'bb c']].map((texts) => ({
    parts: texts.map((text, i) => ({ key: i ? text : 's', label: text, text })),
    trace: { requests: [{ promptTexts: texts.flatMap((t) => t.split(/(?<= )/)) }] } as unknown as Trace,
  }))
  const prompts = promptsOf(served)
  expect(prompts.map((p) => p.segments.map((s) => s.tokens))).toEqual([[2, 1], [2, 2]])
  expect(cachedTokens(treeOf(prompts), prompts[1]!)).toBe(4)
})

test('the price of a prompt: writing for nothing at no time to live, a tenth of what is found at an endless one', () => {
  expect(priceOf(800, 1000, 1e-9).value).toBeCloseTo(120, 3)
  expect(priceOf(800, 1000, 1e9).value).toBeCloseTo(28, 6)
  expect(priceOf(0, 1000, 300).value).toBe(100)
  // One gap long: the next user comes in time with probability 1 − 1/e.
  expect(priceOf(1000, 1000, GAP_S).value).toBeCloseTo(100 * (0.1 * (1 - Math.exp(-1)) + 1.25 * Math.exp(-1)), 9)
})
