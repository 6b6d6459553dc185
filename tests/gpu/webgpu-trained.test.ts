import { expect, test } from 'vitest'
import { loadModel, type LoadedModel } from '$engine/model/load'
import { BLOCK_SIZE, type SequenceChunk } from '$engine/runner/runner'
import { createWebGpuRunner } from '$engine/runner/webgpu'
import { largestDifference } from './webgpu-harness'

/** What PyTorch said of the shipped weights (engine/training/dump.py). */
interface Greedy { prompt: string; prompt_ids: number[]; tokens: number[] }
interface Logits { prompt_ids: number[]; logits: string }

/** A file of the repository, or undefined (with a word on the console) where it is absent. */
async function file(path: string): Promise<ArrayBuffer | undefined> {
  const response = await fetch(`/${path}`)
  // The development server answers a path it does not know with a web page.
  if (response.ok && !response.headers.get('content-type')?.startsWith('text/html')) return response.arrayBuffer()
  console.warn(`SKIPPED: ${path} is not there; what it would have checked is not checked`)
  return undefined
}

async function fixture<T>(name: string): Promise<T | undefined> {
  const bytes = await file(`tests/fixtures/models/${name}`)
  return bytes && (JSON.parse(new TextDecoder().decode(bytes)) as T)
}

function shipped(name: string): Promise<LoadedModel> {
  return loadModel(name, async (path) => {
    const bytes = await file(`assets/models/${name}/${path}`)
    if (!bytes) throw new Error('absent')
    return bytes
  })
}

const floats = (base64: string): Float32Array => new Float32Array(Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)).buffer)

const greedy = await fixture<Record<string, Greedy[]>>('greedy.json')
const logits = await fixture<Record<string, Logits[]>>('logits.json')

/** Prompts checked for each model: a software adapter needs about 0.1 s for each of the small one's, 1 s for the large one's. */
const CHECKED: Record<string, number> = { 'tales-0.3m': Infinity, 'tales-1m': Infinity, 'tales-1m-distilled': 20, 'tales-moe': 20, 'tales-5m': 20 }

for (const [name, count] of Object.entries(CHECKED)) {
  const words = count === Infinity ? 'all prompts' : `the first ${count} prompts`
  test.skipIf(!greedy?.[name])(`${name}: greedy tokens equal PyTorch’s on ${words}, several at a time`, async () => {
    const { model } = await shipped(name)
    const runner = await createWebGpuRunner(model, { blocks: 256 })
    const cases = greedy![name]!.slice(0, count)
    expect(cases.length).toBeGreaterThanOrEqual(Math.min(count, 20))
    for (let from = 0; from < cases.length; from += 8) {
      const group = cases.slice(from, from + 8)
      const needed = Math.ceil(Math.max(...group.map((c) => c.prompt_ids.length + c.tokens.length)) / BLOCK_SIZE)
      const chunks = group.map((c, i): SequenceChunk => ({
        request: from + i,
        tokens: Int32Array.from(c.prompt_ids),
        start: 0,
        blockTable: Int32Array.from({ length: needed }, (_, b) => ((i * needed + b) * 101) % 256),
        sample: true,
      }))
      const out = group.map((): number[] => [])
      const first = await runner.run({ chunks })
      first.tokens.forEach((id, i) => out[i]!.push(id))
      const most = Math.max(...group.map((c) => c.tokens.length))
      while (out[0]!.length < most) {
        const steps = Math.min(runner.limits.chain, most - out[0]!.length)
        const next = chunks.map((c, i) => ({ ...c, tokens: Int32Array.of(-1), start: c.tokens.length + out[i]!.length - 1 }))
        const { tokens } = await runner.run({ chunks: next, steps })
        tokens.forEach((id, i) => out[i % group.length]!.push(id))
      }
      for (const [i, c] of group.entries()) expect(out[i]!.slice(0, c.tokens.length), `${name}: ${c.prompt}`).toEqual(c.tokens)
    }
    runner.dispose()
  })

  test.skipIf(!logits?.[name])(`${name}: logits are within 1e-3 of PyTorch’s`, async () => {
    const { model } = await shipped(name)
    const runner = await createWebGpuRunner(model, { blocks: 64 })
    for (const c of logits![name]!) {
      const blockTable = Int32Array.from({ length: Math.ceil(c.prompt_ids.length / BLOCK_SIZE) }, (_, i) => 63 - i)
      const result = await runner.run({ wantLogits: true, chunks: [{ request: 0, tokens: Int32Array.from(c.prompt_ids), start: 0, blockTable, sample: true }] })
      expect(largestDifference(result.logits!, floats(c.logits))).toBeLessThan(1e-3)
    }
    runner.dispose()
  })
}
