import { expect, test } from 'vitest'

test('the page is cross-origin isolated: threads and the fine clock are there', () => {
  expect(crossOriginIsolated).toBe(true)
  expect(new SharedArrayBuffer(8).byteLength).toBe(8)
})

test('a WebGPU adapter answers', async () => {
  const adapter = await navigator.gpu.requestAdapter()
  expect(adapter).not.toBeNull()
  const device = await adapter!.requestDevice()
  expect(device.limits.maxComputeWorkgroupSizeX).toBeGreaterThanOrEqual(64)
  device.destroy()
})
