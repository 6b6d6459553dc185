import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import prompts from '$assets/models/prompts.json'
import { createWasmRunner } from '$engine/runner/wasm'
import { fixture, shipped } from './fixtures'

/** Kept as hashes: the words themselves are nothing a repository should hold. */
const slurs = fixture<{ sha256: string[] }>('slur-hashes.json')
const known = new Set(slurs?.sha256)
/** The longest output that a slide asks for by default (the cover's). */
const OUTPUT = 64

/** Words of a text that are on the list; plurals count as their singular. */
function found(text: string): string[] {
  const words = text.toLowerCase().match(/[a-z]+/g) ?? []
  return words.filter((w) => [w, w.replace(/s$/, ''), w.replace(/es$/, '')].some((form) => known.has(createHash('sha256').update(form).digest('hex'))))
}

describe.skipIf(!slurs)('stage safety', () => {
  test('the list is a list of hashes, and the search finds what is on it', () => {
    expect(known.size).toBeGreaterThan(150)
    const word = 'lanternfish'
    known.add(createHash('sha256').update(word).digest('hex'))
    expect(found('Two LANTERNFISHES, and a lantern.')).toEqual(['lanternfishes'])
    known.delete(createHash('sha256').update(word).digest('hex'))
    expect(found('Two LANTERNFISHES, and a lantern.')).toEqual([])
  })

  test('no whole word of the tokenizer is a slur', async () => {
    const { tokenizer, model } = await shipped('tales-5m')
    for (let id = 0; id < model.config.vocabSize; id++) expect(found(tokenizer.decode([id]))).toEqual([])
  })

  test.each(['tales-0.3m', 'tales-1m', 'tales-1m-distilled', 'tales-moe', 'tales-5m'])('%s says none after any shown prompt', async (name) => {
    const { model, tokenizer } = await shipped(name)
    const runner = await createWasmRunner(model, { blocks: 32, threads: 1 })
    const blockTable = Int32Array.from({ length: 16 }, (_, i) => i)
    for (const { text } of prompts) {
      const ids = tokenizer.encode(text)
      const first = await runner.run({ chunks: [{ request: 0, tokens: Int32Array.from(ids), start: 0, blockTable, sample: true }] })
      const out = [first.tokens[0]!]
      while (out.length < OUTPUT) {
        const next = await runner.run({ chunks: [{ request: 0, tokens: Int32Array.of(-1), start: ids.length + out.length - 1, blockTable, sample: true }] })
        out.push(next.tokens[0]!)
      }
      expect(found(text + tokenizer.decode(out)), text).toEqual([])
    }
    runner.dispose()
  })
})

describe('tokenizer', () => {
  const cases = fixture<{ text: string; ids: number[] }[]>('tokenizer.json')
  test.skipIf(!cases)('gives the ids of the one that the models were trained with, on hundreds of strings', async () => {
    const { tokenizer } = await shipped('tales-5m')
    expect(cases!.length).toBeGreaterThan(200)
    for (const { text, ids } of cases!) {
      expect(tokenizer.encode(text), JSON.stringify(text)).toEqual(ids)
      expect(tokenizer.decode(ids)).toBe(text)
    }
  })
})
