import { afterEach, describe, expect, test } from 'vitest'
import { perRequest } from '$engine/trace/metrics'
import { createEngine, type ClientOptions } from '$engine/worker/client'
import type { Engine, Workload } from '$engine/worker/protocol'

const story: Workload = { model: 'tales-5m', requests: [{ prompt: 'Once upon a time', maxTokens: 24, ignoreEos: true }] }
const there = (await fetch('/assets/models/tales-5m/config.json')).headers.get('content-type')?.includes('json')
if (!there) console.warn('SKIPPED: assets/models/tales-5m is not there, the tests of the engine in its worker do not run')

let engine: Engine | undefined
const start = (options: ClientOptions = {}) => (engine = createEngine({ base: new URL('/', location.href).href, ...options }))
const workerOf = (source: string) => () => new Worker(URL.createObjectURL(new Blob([source], { type: 'text/javascript' })))
afterEach(() => engine?.close())

describe.skipIf(!there)('the engine in its worker', () => {
  test('calibrates with progress, serves, streams the Trace as it grows', async () => {
    const progress: number[] = []
    const client = start()
    const info = await client.open({ runner: 'wasm', slow: 1, recalibrate: true }, (p) => progress.push(p.done))
    expect(info.device.runner).toBe('wasm')
    expect(info.calibration.isolated).toBe(true)
    expect(progress.at(-1)).toBe(1)
    expect(progress.length).toBeGreaterThan(5)
    const lengths: number[] = []
    const trace = await client.serve({ ...story, requests: [{ prompt: 'Once upon a time', maxTokens: 400, ignoreEos: true }] }, { onUpdate: (_, soFar) => lengths.push(soFar.events.length) })
    expect(perRequest(trace)[0]!.outputTokens).toBe(400)
    expect(lengths.at(-1)).toBe(trace.events.length)
    expect(lengths.length).toBeGreaterThan(2)
    // A second visit finds the calibration where the first one left it.
    const again = await start().open({ runner: 'wasm', slow: 1 })
    expect(again.calibration.at).toBe(info.calibration.at)
  })

  test('an abort ends the run at the next step and leaves the engine usable', async () => {
    const client = start()
    await client.open({ runner: 'wasm', slow: 1 })
    const controller = new AbortController()
    const long = client.serve({ ...story, requests: [{ prompt: 'Once', maxTokens: 7000, ignoreEos: true }] }, { signal: controller.signal, onUpdate: () => controller.abort() })
    await expect(long).rejects.toMatchObject({ name: 'AbortError' })
    expect(perRequest(await client.serve(story)).length).toBe(1)
  })

  test('errors keep their code and their words across the wall', async () => {
    const client = start()
    await client.open({ runner: 'wasm', slow: 1 })
    await expect(client.serve({ ...story, model: 'tales-9t' })).rejects.toMatchObject({ code: 'model', message: expect.stringContaining('tales-9t/') as string })
    await expect(client.serve({ ...story, requests: [{ prompt: '', maxTokens: 3 }] })).rejects.toMatchObject({ code: 'prompt' })
    expect(perRequest(await client.serve(story)).length).toBe(1)
  })

  test('a run asked for before opening is refused in words', async () => {
    await expect(start().serve(story)).rejects.toMatchObject({ code: 'internal', message: expect.stringContaining('before it was opened') as string })
  })
})

describe('a worker that fails', () => {
  test('one that throws: its runs reject, and a fresh start is possible', async () => {
    const client = start({ startWorker: workerOf('onmessage = () => { throw new Error("out of luck") }') })
    await expect(client.open({ runner: 'wasm', slow: 1 })).rejects.toMatchObject({ code: 'worker-crashed', message: expect.stringContaining('out of luck') as string })
    await expect(client.serve(story)).rejects.toMatchObject({ code: 'worker-crashed', message: expect.stringContaining('out of luck') as string })
  })
  test('one that falls silent is noticed', async () => {
    const client = start({ startWorker: workerOf('onmessage = () => {}'), silenceMs: 300 })
    await expect(client.open({ runner: 'wasm', slow: 1 })).rejects.toMatchObject({ code: 'worker-crashed', message: 'The engine has not answered for 0.3 s. Start it again.' })
  })
})
