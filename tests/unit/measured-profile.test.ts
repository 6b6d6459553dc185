import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { machineCost, machineWork, recordedMachine, type RecordedProfile } from '$engine/cost/machine'
import { findLargest } from '$engine/measure/largest'
import { measureMachine } from '$engine/measure/machine'
import { profileLines } from '$engine/measure/profile-text'
import { parameterCount } from '$engine/model/config'
import { materialize, timingModel } from '$engine/model/synthetic'
import type { Model } from '$engine/model/weights'
import { createReferenceRunner } from '$engine/runner/reference'
import { createReferenceProbe } from '$engine/runner/reference/roofs'
import { RunnerError, type Runner } from '$engine/runner/runner'
import { WallClock } from '$engine/serving/clock'

test('the largest model is found by trying, and what was tried is given back', async () => {
  const room = 740e6 // bytes of weights in f16
  let open = 0
  const tried: number[] = []
  const create = async ({ config }: Model): Promise<Runner> => {
    const parameters = parameterCount(config)
    tried.push(parameters)
    if (2 * parameters > room) throw new RunnerError('no room', 'out-of-memory')
    open++
    return { run: () => ({ tokens: Int32Array.of(0) }), dispose: () => void open-- } as unknown as Runner
  }
  for (const kind of ['dense', 'mixture'] as const) {
    tried.length = 0
    const found = await findLargest(create, kind, { format: 'f16' })
    expect(2 * found.parameters).toBeLessThanOrEqual(room)
    expect(2 * found.refused!).toBeGreaterThan(room)
    expect(found.why).toBe('no room')
    // Nothing that could have been asked for lies between: the next width is the one that was refused, or close to it.
    expect(found.refused! / found.parameters).toBeLessThan(kind === 'dense' ? 1.5 : 1.8)
    expect(open, 'every runner was given back').toBe(0)
    expect(tried.length).toBeLessThan(12)
  }
  await expect(findLargest(async () => { throw new RunnerError('none at all', 'out-of-memory') }, 'dense', { format: 'f32' })).rejects.toThrow('none at all')
  await expect(findLargest(async () => { throw new TypeError('a defect') }, 'dense', { format: 'f32' })).rejects.toThrow('a defect')
})

test('a machine is measured into a profile that the recorded lens reads', async () => {
  const small: Model = { name: 'small', config: { ...timingModel(1e6).config, layers: 1, hidden: 32, heads: 1, kvHeads: 1, headDim: 32, ffn: 32, vocabSize: 64, maxPositions: 600 }, source: { kind: 'synthetic', seed: 1 }, trainedContext: 0 }
  small.source = { kind: 'tensors', weights: materialize(small.config, 1) }
  const measured = await measureMachine({
    createRunner: async (_, options) => createReferenceRunner(small, options),
    createProbe: async () => ({ ...createReferenceProbe(), sizes: [2 ** 20] }),
    load: async () => small,
    clock: new WallClock(),
    memoryBytes: 2 ** 30,
    onProgress: () => {},
  }, { runner: 'wasm', models: [{ name: 'small' }] })
  const kept = JSON.parse(JSON.stringify(measured.profile)) as typeof measured.profile
  const [model] = kept.models
  expect(model!.batches.map((b) => b.sequences)).toEqual([1, 2, 4, 8, 16, 32, 64])
  for (const { sequences, stepMs, tokensPerSecond } of model!.batches) expect(tokensPerSecond).toBeCloseTo((1000 * sequences) / stepMs, 6)
  for (const { mbu, mfu } of model!.phases) expect(Math.min(mbu, mfu) > 0 && Math.max(mbu, mfu) <= 1).toBe(true)
  const machine = recordedMachine(kept as RecordedProfile)
  expect(machine.provenance).toMatchObject({ how: 'recorded', at: kept.at })
  expect(machine.roofs).toEqual(kept.roofs)
  expect(machineCost(machine)).toBeDefined()
  expect(profileLines(measured).join('\n')).toContain('small')
})

const shipped = existsSync('assets/profiles') ? readdirSync('assets/profiles') : []
for (const file of shipped) {
  test(`assets/profiles/${file} is a recorded machine`, () => {
    const text = readFileSync(`assets/profiles/${file}`, 'utf8')
    expect(text.length).toBeLessThan(300_000)
    const machine = recordedMachine(JSON.parse(text) as RecordedProfile)
    expect(machine.roofs.flopsPerSecond).toBeGreaterThan(1e9)
    const one = machineWork(machine.model)([{ tokens: 1, context: 64, sampledRows: 1 }])
    expect(one.bytes, 'a decode reads the weights').toBeGreaterThan(1e6)
  })
}
