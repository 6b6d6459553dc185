import type { BrowserContext } from 'playwright'

/** The engine's own worker as the build names it; its helpers for threads are other files. */
const WORKER = '**/assets/worker-*.js'

/** Lets `before` run in the engine's worker ahead of everything that measures. */
export async function inWorker(context: BrowserContext, before: () => void): Promise<void> {
  await context.route(WORKER, async (route) => {
    const response = await route.fetch()
    await route.fulfill({ response, body: `(${String(before)})();\n${await response.text()}` })
  })
}

/**
 * A clock that counts work: time stands still but for two milliseconds at each call into the
 * WebAssembly kernels and for what timers wait. The same run then takes the same time to the last bit on
 * any machine, however busy, and an engine of half the speed takes exactly twice as long.
 */
export function clockwork(): void {
  const PER_CALL_MS = 2
  let now = 0
  performance.now = () => now

  const { instantiate } = WebAssembly
  type Instance = { exports: Record<string, unknown> }
  const counted = ({ exports }: Instance): Instance => {
    const wrapped: Record<string, unknown> = { ...exports }
    for (const [name, value] of Object.entries(exports)) {
      if (typeof value !== 'function') continue
      wrapped[name] = (...args: unknown[]): unknown => {
        now += PER_CALL_MS
        return (value as (...args: unknown[]) => unknown)(...args)
      }
    }
    return { exports: wrapped }
  }
  Object.assign(WebAssembly, {
    async instantiate(source: never, imports: never) {
      const result = (await instantiate(source, imports)) as unknown as Instance | { instance: Instance; module: unknown }
      return 'instance' in result ? { ...result, instance: counted(result.instance) } : counted(result)
    },
  })

  // A pause of no length would leave a waiter where it was.
  const { setTimeout } = globalThis
  const later = (call: () => void, ms = 0): number => {
    const due = now + Math.max(ms, 1e-6)
    return setTimeout(() => {
      now = Math.max(now, due)
      call()
    }) as unknown as number
  }
  Object.assign(globalThis, { setTimeout: later })
}
