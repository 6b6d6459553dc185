import { describe, expect, test } from 'vitest'
import { timingParameters } from '$engine/measure/calibrate'
import { cacheEdge, measureRoofs, timePerCall } from '$engine/measure/rates'
import { VirtualClock } from '$engine/serving/clock'

const MB = 2 ** 20
/** 64 GB/s up to 32 MB, 20 GB/s beyond. */
const curve = [1, 8, 32, 64, 256].map((mb) => ({ bytes: mb * MB, bytesPerSecond: mb <= 32 ? 64e9 : 20e9 }))

describe('calibration', () => {
  test('times a call by spans of at least 20 ms, by the given clock, first call left out', async () => {
    const clock = new VirtualClock()
    let calls = 0
    const ms = await timePerCall(clock, () => clock.advance(++calls === 1 ? 1000 : 3), 3)
    expect(ms).toBe(3)
    expect(calls).toBe(1 + 3 * 7) // seven calls of 3 ms make the first 21 ms
  })

  test('roofs follow from a device of known speed', async () => {
    const clock = new VirtualClock()
    let size = 0
    let products = 0
    const roofs = await measureRoofs({
      sizes: curve.map((p) => p.bytes),
      prepare: (bytes) => void (size = bytes),
      readPass: () => clock.advance((size / curve.find((p) => p.bytes === size)!.bytesPerSecond) * 1000),
      matmulPass: () => {
        clock.advance(++products < 35 ? 2 : 0.5) // something else runs at first: a roof is the best, not the usual
        return 20e6
      },
      dispose() {},
    }, clock, () => {})
    expect(roofs.flopsPerSecond).toBeCloseTo(40e9, -3)
    for (const [i, p] of roofs.read.entries()) expect(p.bytesPerSecond / curve[i]!.bytesPerSecond).toBeCloseTo(1, 9)
  })

  test('the cache ends where reading slows down; a flat curve has no edge', () => {
    expect(cacheEdge(curve)).toBe(32 * MB)
    expect(cacheEdge(curve.map((p) => ({ ...p, bytesPerSecond: 1e9 })))).toBe(0)
  })

  test('the timing model is four caches large, a quarter of memory and 60 ms a token at most', () => {
    const roofs = { flopsPerSecond: 50e9, read: curve, overheadMs: 0.05 }
    expect(timingParameters('wasm', roofs, 8 * 2 ** 30) * 4).toBe(128 * MB)
    expect(timingParameters('wasm', roofs, 256 * MB) * 4).toBe(64 * MB)
    const slow = { ...roofs, read: curve.map((p) => ({ ...p, bytesPerSecond: 1e9 })) }
    expect(timingParameters('wasm', slow, 8 * 2 ** 30) * 4).toBe(60e6)
    // A GPU: reading the weights takes four times an empty step.
    const gpu = { flopsPerSecond: 20e12, read: [{ bytes: 256 * MB, bytesPerSecond: 400e9 }], overheadMs: 0.5 }
    expect(timingParameters('webgpu', gpu, 8 * 2 ** 30) * 4).toBeCloseTo(800e6, 0)
  })
})
