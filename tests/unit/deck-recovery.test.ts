import { describe, expect, test } from 'vitest'
import { EngineHost } from '$components/frame/engine.svelte'
import { EngineError, type Engine, type EngineInfo } from '$engine/worker/protocol'

const info = { device: { name: 'test', runner: 'wasm', model: 'tales-5m' } } as EngineInfo

const notAsked = () => Promise.reject(new Error('not asked here'))

/** Engines that open at once; counts how many were made and closed. */
function factory() {
  const made = { count: 0, closed: 0 }
  const create = (): Engine => {
    made.count++
    return { open: () => Promise.resolve(info), serve: notAsked, machine: notAsked, quality: notAsked, cascade: notAsked, simulate: notAsked, curve: notAsked, bring: notAsked, close: () => void made.closed++ }
  }
  return { made, create }
}

describe('what the slide says and does when the engine fails', () => {
  test.each([['device-lost', 'The graphics device was lost. The engine goes on with wasm; run it again.'], ['out-of-memory', 'This model needs 412 MB, the graphics card offers 256 MB.']] as const)(
    '%s: says what happened, keeps the engine that has already changed over, tries again', async (code, message) => {
      const { made, create } = factory()
      const host = new EngineHost(create, { runner: 'auto', slow: 1 })
      await host.open()
      expect(host.recover(new EngineError(message, code))).toBe(true)
      expect(host.recovery).toBe(`${message} This slide was measured anew.`)
      await host.open()
      expect(made).toEqual({ count: 1, closed: 0 })
      expect(host.phase).toBe('ready')
    })

  test('a crashed worker: a new engine is started, and both are said', async () => {
    const { made, create } = factory()
    const host = new EngineHost(create, { runner: 'auto', slow: 1 })
    await host.open()
    expect(host.recover(new EngineError('The engine stopped: out of luck. Start it again.', 'worker-crashed'))).toBe(true)
    expect(host.recovery).toContain('out of luck')
    await host.open()
    expect(made).toEqual({ count: 2, closed: 1 })
  })

  test('what would only come again is not tried again: a missing model, an empty prompt', async () => {
    const { made, create } = factory()
    const host = new EngineHost(create, { runner: 'auto', slow: 1 })
    await host.open()
    for (const code of ['model', 'prompt', 'no-runner'] as const) expect(host.recover(new EngineError('no', code))).toBe(false)
    expect(host.recover(new Error('something else'))).toBe(false)
    expect(host.recovery).toBeUndefined()
    expect(made).toEqual({ count: 1, closed: 0 })
  })
})
