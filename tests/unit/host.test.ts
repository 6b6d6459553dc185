import { existsSync, readFileSync } from 'node:fs'
import { beforeEach, describe, expect, test } from 'vitest'
import { timingModel } from '$engine/model/synthetic'
import type { Model } from '$engine/model/weights'
import type { EngineRunner } from '$engine/runner/create'
import { createReferenceRunner } from '$engine/runner/reference'
import { createReferenceProbe } from '$engine/runner/reference/roofs'
import { RunnerError, type Runner, type RunnerOptions } from '$engine/runner/runner'
import { percentile, perRequest } from '$engine/trace/metrics'
import type { Trace } from '$engine/trace/trace'
import { append } from '$engine/trace/phases'
import { EngineHost, type HostEnvironment } from '$engine/worker/host'
import type { Calibration, EngineInfo, OpenOptions, Workload } from '$engine/worker/protocol'

const trained = existsSync('assets/models/tales-0.3m/model.safetensors')
if (!trained) console.warn('SKIPPED: assets/models/tales-0.3m is not there, the tests of the engine host do not run')

/** Everything runs on the reference runner; the names are for the host's decisions. */
class Machine implements HostEnvironment {
  created: string[] = []
  broken = new Map<EngineRunner, () => Error>()
  /** Runners that say they are software. */
  software = new Set<EngineRunner>()
  onCreate: (kind: EngineRunner) => void = () => {}
  /** Called at every step; may throw. */
  onStep: (kind: EngineRunner) => void = () => {}
  kept = new Map<string, Calibration>()
  missing = new Set<string>()
  cores = 2
  isolated = true
  memoryBytes = 2 ** 30

  model(name: string) {
    return async (file: string): Promise<ArrayBuffer> => {
      if (this.missing.has(file)) throw new Error('the server answered 404 Not Found')
      // The small model stands in for the default one: this is about decisions, not about speed.
      return new Uint8Array(readFileSync(`assets/models/${name === 'tales-5m' ? 'tales-0.3m' : name}/${file}`)).buffer
    }
  }
  passage = async () => 'There was once a mill beside a brook. '
  store = { get: async (key: string) => this.kept.get(key), set: async (key: string, value: Calibration) => void this.kept.set(key, value) }
  yieldThread = () => new Promise<void>((resolve) => setImmediate(resolve))
  createProbe = async () => ({ ...createReferenceProbe(), sizes: [2 ** 20] })
  createRunner = async (kind: EngineRunner, model: Model, asked: RunnerOptions = {}): Promise<Runner> => {
    const error = this.broken.get(kind)?.()
    if (error) throw error
    this.created.push(`${kind} ${model.name}`)
    this.onCreate(kind)
    const runner = createReferenceRunner(model, { ...asked, blocks: 64 })
    return { ...runner, device: { ...runner.device, runner: kind, name: `test ${kind}`, software: this.software.has(kind) || undefined }, run: (batch) => {
      this.onStep(kind)
      return runner.run(batch)
    } }
  }
}

let machine: Machine
let host: EngineHost
beforeEach(() => {
  machine = new Machine()
  machine.broken.set('webgpu', () => new RunnerError('This browser offers no WebGPU adapter.', 'unsupported'))
  host = new EngineHost(machine)
})

const options: OpenOptions = { runner: 'auto', slow: 1 }
const story: Workload = { model: 'tales-5m', requests: [{ prompt: 'Once upon a time', maxTokens: 6, ignoreEos: true }] }

async function run(workload: Workload, signal?: AbortSignal): Promise<Trace> {
  let trace: Trace | undefined
  await host.run(workload, { signal, onStart: (header) => (trace = { ...header, requests: [], events: [], steps: [] }), onUpdate: (u) => append(trace!, u) })
  return trace!
}

describe.skipIf(!trained)('engine host', () => {
  test('takes what works, says why the rest does not, and serves', async () => {
    const info = await host.open(options)
    expect(info.device.runner).toBe('wasm')
    expect(info.notice).toBeUndefined()
    expect(info.calibration.unavailable).toEqual({ webgpu: 'This browser offers no WebGPU adapter.' })
    expect(info.calibration.runners[0]!.roofs!.flopsPerSecond).toBeGreaterThan(0)
    const trace = await run(story)
    expect(perRequest(trace)[0]).toMatchObject({ outputTokens: 6 })
    expect(trace.requests[0]!.promptTexts!.join('')).toBe('Once upon a time')
    expect(trace.events.filter((e) => e.kind === 'token').map((e) => e.text).join('')).toMatch(/^[ ,a-zA-Z"'.;-]+/)
    expect(trace.provenance).toMatchObject({ how: 'measured', device: { runner: 'wasm' } })
    expect(trace.roofs!.read.length).toBe(1)
  })

  test('remembers a calibration by device and clock, and measures anew when asked', async () => {
    await host.open(options)
    const before = machine.created.length
    expect((await host.open(options)).calibration.at).toBe([...machine.kept.values()][0]!.at)
    expect(machine.created.length).toBe(before)
    await host.open({ ...options, slow: 2 })
    expect(machine.created.length).toBeGreaterThan(before)
    expect(machine.kept.size).toBe(2)
  })

  test('a forced runner that does not work: says so and goes on with another', async () => {
    const info = await host.open({ runner: 'webgpu', slow: 1 })
    expect(info.device.runner).toBe('wasm')
    expect(info.notice).toBe('This browser offers no WebGPU adapter. Running on wasm instead.')
  })

  test('a software adapter that wins in a busy moment has to win again', async () => {
    machine.broken.delete('webgpu')
    machine.software.add('webgpu')
    // The first wasm runner meets a busy moment, later ones do not; the adapter takes 3 ms a run.
    let wasmRunners = 0
    machine.onCreate = (kind) => void (wasmRunners += kind === 'wasm' ? 1 : 0)
    machine.onStep = (kind) => {
      const until = performance.now() + (kind === 'webgpu' ? 3 : wasmRunners === 1 ? 8 : 0)
      while (performance.now() < until);
    }
    const info = await host.open(options)
    expect(info.device.runner).toBe('wasm')
    expect(info.calibration.runners.map((r) => r.device.runner)).toEqual(['wasm', 'webgpu'])
    // One that really is faster is used.
    machine.onStep = (kind) => {
      const until = performance.now() + (kind === 'webgpu' ? 0 : 8)
      while (performance.now() < until);
    }
    expect((await host.open({ ...options, recalibrate: true })).device.runner).toBe('webgpu')
  })

  test('no runner at all is an error that lists the reasons', async () => {
    for (const kind of ['wasm', 'reference'] as const) machine.broken.set(kind, () => new RunnerError(`${kind} is broken.`, 'unsupported'))
    await expect(host.open(options)).rejects.toMatchObject({ code: 'no-runner', message: expect.stringContaining('wasm is broken.') as string })
  })

  test('a device lost in mid-generation: an error in words, then another runner, measured before use', async () => {
    machine.broken.delete('webgpu')
    const changes: EngineInfo[] = []
    await host.open(options, undefined, (info) => changes.push(info))
    const first = host.info().device.runner
    const other = first === 'webgpu' ? 'wasm' : 'webgpu'
    let steps = 0
    machine.onStep = (kind) => {
      if (kind === first && ++steps === 3) throw new RunnerError('The graphics device was lost.', 'device-lost')
    }
    const longer = { ...story, requests: [{ prompt: 'Once upon a time', maxTokens: 40, ignoreEos: true }] }
    await expect(run(longer)).rejects.toMatchObject({ code: 'device-lost', message: `The graphics device was lost. The engine goes on with ${other}; run it again.` })
    expect(changes.map((c) => c.device.runner)).toEqual([other])
    expect(changes[0]!.notice).toContain('The graphics device was lost.')
    const trace = await run(story)
    expect(trace.provenance).toMatchObject({ device: { runner: other } })
    expect(trace.roofs).toBeDefined()
    expect(perRequest(trace).length).toBe(1)
  })

  test('a size that is too large is an error of its own: the runner stays, the next size runs', async () => {
    await host.open(options)
    const kind = host.info().device.runner
    const [fits, large] = [20e6, 92e6].map((parameters) => timingModel(parameters, { experts: 4 }).name)
    const sizes: string[] = []
    const create = machine.createRunner
    machine.createRunner = async (k, model) => {
      sizes.push(model.name)
      if (model.name === large) throw new RunnerError('It needs 368 MB, which this device did not give.', 'out-of-memory')
      return create(k, { ...model, config: { ...model.config, layers: 1, hidden: 64, heads: 1, kvHeads: 1, ffn: 64, experts: 4, expertsPerToken: 2 } })
    }
    const try_ = (parameters: number) => run({ model: 'timing', parameters, experts: 4, requests: [{ prompt: 8, maxTokens: 2 }] })
    await try_(20e6)
    await expect(try_(92e6)).rejects.toMatchObject({ code: 'out-of-memory', message: 'It needs 368 MB, which this device did not give. Ask for fewer parameters.' })
    await try_(20e6)
    expect(host.info()).toMatchObject({ device: { runner: kind } })
    expect(host.info().notice).toBeUndefined()
    expect(sizes).toEqual([fits, large, fits])
    await expect(run({ model: 'timing', experts: 1, requests: [{ prompt: 8, maxTokens: 2 }] })).rejects.toMatchObject({ code: 'model' })
  })

  test('a model file that is missing: names it, and works once it is back', async () => {
    await host.open(options)
    const again = new EngineHost(machine)
    await again.open(options)
    host = again
    machine.missing.add('model.safetensors')
    await expect(run({ ...story, model: 'tales-1m' })).rejects.toMatchObject({ code: 'model', message: 'tales-1m/model.safetensors could not be read: the server answered 404 Not Found' })
    machine.missing.clear()
    expect(perRequest(await run({ ...story, model: 'tales-1m' })).length).toBe(1)
  })

  test('a step budget beyond what runners have by themselves is made room for: the prompt is one step', async () => {
    await host.open(options)
    const steps = async (maxBatchedTokens?: number) => (await run({ model: 'tales-0.3m', maxBatchedTokens, requests: [{ prompt: 600, maxTokens: 1 }] })).steps.map((step) => step.batch[0]!.tokens)
    expect(await steps()).toEqual([512, 88])
    expect(await steps(1024)).toEqual([600])
    expect(await steps(256)).toEqual([256, 256, 88])
  })

  test('an empty prompt and one past the context are refused in words', async () => {
    await host.open(options)
    await expect(run({ ...story, requests: [{ prompt: '', maxTokens: 4 }] })).rejects.toMatchObject({ code: 'prompt', message: 'The prompt is empty: type a word or two.' })
    await expect(run({ ...story, requests: [{ prompt: 'mill '.repeat(9000), maxTokens: 4 }] })).rejects.toMatchObject({ code: 'prompt', message: expect.stringContaining('shorten it') as string })
    expect(perRequest(await run(story)).length).toBe(1)
  })

  test('a prompt given as a length has that length; beyond the trained context it is for timing only', async () => {
    await host.open(options)
    const trace = await run({ model: 'tales-5m', requests: [{ prompt: 40, maxTokens: 2, ignoreEos: true }, { prompt: 1024, maxTokens: 2, ignoreEos: true }] })
    expect(trace.requests.map((r) => [r.promptTokens, r.timingOnly])).toEqual([[40, undefined], [1024, true]])
    expect(trace.steps.map((s) => s.batch.reduce((n, b) => n + b.tokens, 0))[0]).toBeLessThanOrEqual(512)
  })

  test('a cascade answers the passage piece by piece: as long as it is told of each, with both models’ answers and bits', async () => {
    machine.passage = async () => 'There was once a mill beside a brook, and the miller had three sons. The eldest went out into the world to seek his fortune. '.repeat(9)
    await host.open({ runner: 'reference', slow: 1 })
    const told: number[] = []
    const found = await host.cascade({ small: 'tales-0.3m', large: 'tales-1m' }, { onUpdate: (soFar) => told.push(soFar.cases.length) })
    expect(told).toEqual(found.cases.map((_, i) => i + 1))
    expect(found).toMatchObject({ small: 'tales-0.3m', large: 'tales-1m', complete: true, provenance: { how: 'measured' } })
    expect(found.cases.length).toBeGreaterThan(1)
    for (const c of found.cases) {
      expect(c.small.texts).toHaveLength(found.answerTokens)
      expect(c.large.texts).toHaveLength(found.answerTokens)
      for (const confidence of [c.router.confidence, c.small.confidence]) expect(confidence > 0 && confidence < 1).toBe(true)
      // Judged before it is over, and what is judged is a part of it.
      expect(c.small.judged).toBeLessThan(found.answerTokens)
      expect(Math.min(c.router.ms, c.small.judgedMs, c.small.ms, c.large.ms)).toBeGreaterThan(0)
    }
    // What the small one writes is what it writes when nobody watches.
    const trace = await run({ model: 'tales-0.3m', requests: [{ prompt: found.cases[0]!.prompt, maxTokens: found.answerTokens, ignoreEos: true }] })
    expect(trace.events.flatMap((e) => (e.kind === 'token' ? [e.text] : []))).toEqual(found.cases[0]!.small.texts)
    await expect(host.cascade({ small: 'tales-0.3m', large: 'timing' })).rejects.toThrow('writes no text')
  })

  test('quality: f32 against itself is no different, int8 is within a hundredth, int4 further off, and the histograms count every weight', async () => {
    await host.open(options)
    const [f32, int8, int4] = [await host.quality({ model: 'tales-0.3m' }), await host.quality({ model: 'tales-0.3m', weights: { format: 'int8' } }), await host.quality({ model: 'tales-0.3m', weights: { format: 'int4' } })]
    expect(f32.divergence).toEqual({ kl: 0, agreement: 1 })
    expect(int8.divergence.kl).toBeGreaterThan(0)
    expect(int4.divergence.kl).toBeGreaterThan(10 * int8.divergence.kl)
    expect(Math.abs(int8.bitsPerByte / f32.bitsPerByte - 1)).toBeLessThan(0.01)
    // (ffn, d) of a middle layer of tales-0.3m.
    for (const { weights } of [f32, int8, int4]) for (const side of [weights.before, weights.after]) expect(side.reduce((a, b) => a + b, 0)).toBe(192 * 64)
    // Codes are whole numbers: fifteen of them.
    expect(int4.weights.after.filter((n) => n > 0)).toHaveLength(15)
    expect(int4.weights.before.filter((n) => n > 0).length).toBeGreaterThan(60)
    await expect(host.quality({ model: 'timing' })).rejects.toThrow('has read nothing')
  })

  test('runs take turns, and an abort ends only its own', async () => {
    await host.open(options)
    const controller = new AbortController()
    const long = run({ model: 'tales-5m', requests: [{ prompt: 'Once', maxTokens: 900, ignoreEos: true }] }, controller.signal)
    const short = run(story)
    setTimeout(() => controller.abort(), 5)
    await expect(long).rejects.toThrow('abort')
    expect(perRequest(await short).length).toBe(1)
  })

  test('?slow=2 doubles what is measured: the clock is the only source of time', async () => {
    // A machine of known speed: each run of the runner takes 10 ms more, real; same model, same work, turn about.
    machine.onStep = () => {
      const until = performance.now() + 10
      while (performance.now() < until);
    }
    const measured = async (slow: number) => {
      host = new EngineHost(machine)
      await host.open({ runner: 'auto', slow })
      return perRequest(await run({ ...story, requests: [{ prompt: 'Once upon a time', maxTokens: 24, ignoreEos: true }] }))[0]!
    }
    await measured(1)
    const runs = []
    for (let i = 0; i < 3; i++) runs.push({ one: await measured(1), eight: await measured(8) })
    for (const duration of ['tpot', 'ttft', 'e2e'] as const) {
      const ratio = percentile(runs.map((r) => r.eight[duration]! / r.one[duration]!), 50)
      expect(ratio, duration).toBeGreaterThan(8 / 1.7)
      expect(ratio, duration).toBeLessThan(8 * 1.7)
    }
  })
})
