import { expect, test, vi } from 'vitest'
import type { Model } from '$engine/model/weights'
import { createWasmRunner } from '$engine/runner/wasm'
import { collectGarbage } from '../support/collect'

// The long form, 200 loads and 10,000 steps: node scripts/run.mjs tests/bench/stress.ts

const model: Model = {
  name: 'small', trainedContext: 0, source: { kind: 'synthetic', seed: 1 },
  config: { layers: 2, hidden: 48, heads: 4, kvHeads: 2, headDim: 12, ffn: 100, vocabSize: 2048, rmsNormEps: 1e-5, ropeTheta: 1e4, maxPositions: 64, tied: true, eos: [] },
}

test.each([1, 2])('a runner that is let go leaves no memory behind, %i threads', async (threads) => {
  const { Memory } = WebAssembly
  const memories: WeakRef<WebAssembly.Memory>[] = []
  const made = vi.spyOn(WebAssembly, 'Memory').mockImplementation(function (descriptor: WebAssembly.MemoryDescriptor) {
    const memory = new Memory(descriptor)
    memories.push(new WeakRef(memory))
    return memory
  } as unknown as typeof WebAssembly.Memory)
  const kept = await openAndUse(threads)
  for (let i = 0; i < 4; i++) (await openAndUse(threads)).dispose()
  made.mockRestore()
  await vi.waitUntil(async () => {
    await collectGarbage()
    return memories.filter((m) => m.deref() !== undefined).length === 1
  }, { timeout: 20_000 })
  expect(memories.length).toBe(5)
  expect(kept.run({ chunks: [chunk(3)] })).toBeDefined() // the one still open
  kept.dispose()
})

test('steps leave nothing behind: requests come and go, the heap stays', async () => {
  const runner = await createWasmRunner(model, { blocks: 8, threads: 1 })
  const steps = async (from: number, count: number) => {
    for (let i = from; i < from + count; i++) {
      await runner.run({ chunks: [{ ...chunk(5), request: i }], copies: [{ from: 3, to: 40 }] })
      await runner.run({ steps: 4, chunks: [{ ...chunk(1), request: i, start: 5, tokens: Int32Array.of(-1) }] })
      runner.release!(i)
    }
    await collectGarbage()
    return process.memoryUsage().heapUsed
  }
  await steps(0, 100)
  const before = await steps(100, 100)
  const after = await steps(200, 400)
  expect(after - before).toBeLessThan(400 * 512) // a row of logits kept by each request would be 8 KB
})

async function openAndUse(threads: number) {
  const runner = await createWasmRunner(model, { blocks: 8, threads })
  await runner.run({ chunks: [chunk(3)] })
  return runner
}

function chunk(tokens: number) {
  return { request: 1, tokens: Int32Array.from({ length: tokens }, (_, i) => i + 1), start: 0, blockTable: Int32Array.of(0, 1), sample: true }
}
