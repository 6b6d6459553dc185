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

  test('steps are timed once, fitted, and kept with the calibration', async () => {
    const client = start()
    await client.open({ runner: 'wasm', slow: 1 })
    const doing: string[] = []
    const machine = await client.machine('tales-5m', { onProgress: (p) => doing.push(p.doing) })
    expect(doing.length).toBeGreaterThan(10)
    expect(machine.provenance).toMatchObject({ how: 'measured', device: { model: 'tales-5m', runner: 'wasm' } })
    expect(machine.fit!.samples.filter((s) => s.held).length).toBeGreaterThan(3)
    expect(machine.steps).toMatchObject({ kind: 'affine' })
    // The next visitor of this device asks for nothing.
    const next = start()
    await next.open({ runner: 'wasm', slow: 1 })
    const again: string[] = []
    expect((await next.machine('tales-5m', { onProgress: (p) => again.push(p.doing) })).fit).toEqual(machine.fit)
    expect(again).toEqual([])
  })

  test('simulations do not wait behind a live run, and a machine in virtual time borrows the text of the live one', async () => {
    const client = start()
    await client.open({ runner: 'wasm', slow: 1 })
    const machine = await client.machine('tales-5m')
    await client.serve(story)
    let over = false
    const long = client.serve({ ...story, requests: [{ prompt: 'Once', maxTokens: 3000, ignoreEos: true }] }).finally(() => (over = true))
    const first = new AbortController()
    const points = await new Promise<number[]>((resolve, reject) => {
      client.curve({ scenario: { output: { mean: 16 }, input: { mean: 32 } }, machine, vary: 'load', values: [0.3, 0.6, 0.9] }, { signal: first.signal, onUpdate: (c) => resolve(c.points.map((p) => p.summary.ttft_ms!.p99)) }).catch(reject)
    })
    first.abort()
    expect(over).toBe(false)
    expect(points).toEqual([...points].sort((a, b) => a - b))
    const { summary, provenance } = await client.simulate({ scenario: { requests: 500, output: { mean: 16 } }, machine, load: 0.5 })
    expect(summary.completed).toBe(500)
    expect(provenance).toMatchObject({ how: 'simulated', costs: { how: 'measured' } })
    const virtual = await client.serve(story, { on: machine })
    expect(over).toBe(false)
    expect(virtual.events.filter((e) => e.kind === 'token').every((e) => e.text !== undefined)).toBe(true)
    await expect(client.simulate({ scenario: { requests: -1 }, machine })).rejects.toMatchObject({ code: 'scenario', message: expect.stringContaining('requests') as string })
    await long
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
