import { expect, test } from 'vitest'
import { timingModel } from '$engine/model/synthetic'
import { createWebGpuRunner, probeWebGpu } from '$engine/runner/webgpu'
import { openDevice } from '$engine/runner/webgpu/device'
import { wayFor } from '$engine/runner/webgpu/plan'
import { tune } from '$engine/runner/webgpu/tune'
import { tunedPlan, type Tuning } from '$engine/runner/webgpu/tuning'
import { matrixFormat } from '$engine/runner/webgpu/kernels/weights'

const int4 = { format: 'int4', group: 32 } as const

test('every way is tried and timed, and a plan chosen from what was the fastest', async () => {
  const ways = /^(row4?|cooperative1-workgroup-32)$/
  const tuning = await tune([{ pairs: 24, columns: 64, weights: int4 }], { now: () => performance.now(), budgetMs: 1e9, ways })
  expect(Object.keys(tuning.matmuls)).toEqual(['48x64 int4/32'])
  const { plan, tried } = tuning.matmuls['48x64 int4/32']!
  expect(tried.filter((t) => t.tokens === 1).map((t) => t.way).sort()).toEqual(['cooperative1-workgroup-32', 'row'])
  expect(tried.every((t) => t.ms! > 0 && !t.wrong)).toBe(true)
  for (const tokens of [1, 8, 64]) {
    const fastest = tried.filter((t) => t.tokens === tokens).sort((a, b) => a.ms! - b.ms!)[0]!
    expect(wayFor(plan, tokens)).toBe(fastest.way)
  }
  expect(JSON.parse(JSON.stringify(tuning)), 'it can be kept').toEqual(tuning)
})

test('a driver that computes something wrong is not believed', async () => {
  // row4 of this device is given a matrix of zeros to read.
  const found = await probeWebGpu()
  if ('reason' in found) throw new Error(found.reason)
  const real = await found.adapter.requestDevice()
  const broken = new Proxy(real, {
    get(target, key) {
      const value = Reflect.get(target, key, target) as unknown
      if (key === 'createShaderModule') {
        return (descriptor: GPUShaderModuleDescriptor) => target.createShaderModule({
          ...descriptor, code: descriptor.label === 'residual/row4' ? descriptor.code.replace('return w[row * UNITS + i];', 'return vec4f();') : descriptor.code,
        })
      }
      return typeof value === 'function' ? (value as (...a: unknown[]) => unknown).bind(target) : value
    },
  })
  const tuning = await tune([{ pairs: 8, columns: 32, weights: { format: 'f32' } }], { now: () => performance.now(), budgetMs: 1e9, ways: /^row4?$/, device: broken })
  const { plan, tried } = tuning.matmuls['16x32 f32']!
  expect(tried.filter((t) => t.way === 'row4').every((t) => t.wrong)).toBe(true)
  expect(plan).toEqual([{ upTo: Number.MAX_SAFE_INTEGER, way: 'row' }])
  real.destroy()
})

test('a runner goes by a tuning of its own device, and by no other', async () => {
  const { device, key } = await openDevice()
  const model = timingModel(1e6)
  const plan = [{ upTo: 2, way: 'cooperative2-subgroup-32' }, { upTo: Number.MAX_SAFE_INTEGER, way: 'row4' }]
  const tuning = (of: string): Tuning => ({ version: 1, device: of, matmuls: { '1536x256 f32': { plan, tried: [] } } })
  expect(tunedPlan(tuning(key), key, { pairs: 100, columns: 64 }, matrixFormat())).toBe(plan)
  expect(tunedPlan(tuning(key), key, { pairs: 100, columns: 64 }, matrixFormat(int4)), 'nothing is known of another format').toBeUndefined()
  expect(tunedPlan(tuning('another'), key, { pairs: 100, columns: 64 }, matrixFormat())).toBeUndefined()
  const runner = await createWebGpuRunner({ ...model, config: { ...model.config, layers: 1, hidden: 64, heads: 2, kvHeads: 1, headDim: 32, ffn: 96 } }, { blocks: 8, tokens: 32, profile: true, device, tuning: tuning(key) })
  await runner.run({ chunks: [{ request: 1, tokens: Int32Array.of(1), start: 0, blockTable: Int32Array.of(0), sample: true }] })
  expect(runner.profile.filter((k) => k.name.startsWith('qkv')).map((k) => k.name)).toEqual(['qkv/cooperative2-subgroup-32'])
  runner.dispose()
  device.destroy()
})
