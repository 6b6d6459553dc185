import { describe, expect, test } from 'vitest'
import { timingModel } from '$engine/model/synthetic'
import { createReferenceRunner } from '$engine/runner/reference'
import { createWasmRunner } from '$engine/runner/wasm'
import { difference } from '../support/plain-kernels'
import { logitsOf, PROBLEM } from '../support/wasm-problem'

describe('the wasm runner in a browser', () => {
  test('relaxed SIMD is there, and the logits are the reference runner’s', async () => {
    const model = timingModel(PROBLEM.parameters)
    const runner = await createWasmRunner(model, { threads: 1, blocks: 8 })
    expect(runner.device.name).toMatch(/^\d+-core CPU, WebAssembly relaxed SIMD, 1 thread$/)
    const ours = await logitsOf(runner)
    expect(difference(ours, await logitsOf(createReferenceRunner(model, { blocks: 8 })))).toBeLessThan(1e-4)
    runner.dispose()
  })

  test('threads give the very bits of one, from the page and from a worker', async () => {
    const one = await createWasmRunner(timingModel(PROBLEM.parameters), { threads: 1, blocks: 8 })
    const expected = await logitsOf(one)
    const two = await createWasmRunner(timingModel(PROBLEM.parameters), { threads: 2, blocks: 8 })
    expect(await logitsOf(two)).toEqual(expected)
    two.dispose()
    const worker = new Worker(new URL('../support/wasm-worker.ts', import.meta.url), { type: 'module' })
    const answer = await new Promise<unknown>((resolve) => {
      worker.onmessage = ({ data }) => resolve(data)
      worker.onerror = (event) => resolve(event.message)
    })
    worker.terminate()
    expect(answer).toEqual({ threads: 2, logits: expected })
  })
})
