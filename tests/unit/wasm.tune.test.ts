import { expect, test } from 'vitest'
import { timingModel } from '$engine/model/synthetic'
import { createWasmRunner } from '$engine/runner/wasm'
import { SWITCH_DEFAULTS, switchPoint, tunedSwitchOver, tuningKey } from '$engine/runner/wasm/switch-over'
import { tuneWasm } from '$engine/runner/wasm/tune'
import { WallClock } from '$engine/serving/clock'

test('tiles are taken from where they never lose again', () => {
  const tried = (...tiled: number[]) => tiled.map((t, i) => ({ tokens: i + 2, singly: 10, tiled: t }))
  expect(switchPoint(tried(9, 8, 7))).toBe(2)
  expect(switchPoint(tried(12, 11, 9, 8))).toBe(4)
  expect(switchPoint(tried(9, 11, 9))).toBe(4) // one lucky reading below does not count
  expect(switchPoint(tried(11, 11, 11))).toBe(5)
})

test('tuning tries every format and is kept for the kernels it was made with', async () => {
  const tuning = await tuneWasm(new WallClock())
  expect(Object.keys(tuning.switchOver!)).toEqual(Object.keys(SWITCH_DEFAULTS))
  for (const at of Object.values(tuning.switchOver!)) {
    expect(at).toBeGreaterThanOrEqual(2)
    expect(at).toBeLessThanOrEqual(9)
  }
  const odd = { ...tuning, switchOver: { 0: 7 } }
  const variant = tuning.device === tuningKey('relaxed') ? 'relaxed' : 'simd'
  expect(tunedSwitchOver(odd, variant)).toEqual({ ...SWITCH_DEFAULTS, 0: 7 })
  expect(tunedSwitchOver({ ...odd, device: 'some graphics card' }, variant)).toEqual(SWITCH_DEFAULTS)
  expect(tunedSwitchOver(undefined, variant)).toEqual(SWITCH_DEFAULTS)

  const small = { ...timingModel(1e6), config: { ...timingModel(1e6).config, layers: 1 } }
  const batch = { wantLogits: true, chunks: [{ request: 0, tokens: Int32Array.from({ length: 6 }, (_, i) => i), start: 0, blockTable: Int32Array.of(0), sample: true }] }
  const logits = async (options: object) => (await (await createWasmRunner(small, { blocks: 1, threads: 1, ...options })).run(batch)).logits
  expect(await logits({ tuning })).toEqual(await logits({})) // only time depends on it
})
