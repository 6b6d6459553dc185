import type { BrowserContext } from 'playwright'
import { afterAll, describe, inject } from 'vitest'
import { clockwork, inWorker } from './clockwork'
import { browser, expect, test, WIDE } from './harness'

/** Slides with measured numbers, with settings that keep the run short. */
const SLIDES = [
  ['00_cover', ''],
  ['02_latency_metrics', '2.requests=20'],
  ['03_latency_budget', '3.prompt=16&3.output=8'],
  ['05_latency_components', '5.prompt=16&5.output=8'],
] as const

interface Shown {
  metric: string
  value: number
  unit: string
}

/** Two visitors, one with `slow`; the first slide each sees measures the device, by the same clock. */
const visitors = new Map<number, Promise<BrowserContext>>()

function visitor(slow: number): Promise<BrowserContext> {
  const known = visitors.get(slow)
  if (known) return known
  const come = async () => {
    const context = await (await browser()).newContext({ viewport: WIDE })
    await inWorker(context, clockwork)
    return context
  }
  const coming = come()
  visitors.set(slow, coming)
  return coming
}

afterAll(async () => {
  for (const context of visitors.values()) await (await context).close()
})

/** The measured numbers of a slide in the order they stand in. WebAssembly alone is counted by the clock. */
async function measured(slow: number, id: string, query: string): Promise<Shown[]> {
  const page = await (await visitor(slow)).newPage()
  await page.goto(new URL(`?runner=wasm&slow=${slow}&${query}#/${id}`, inject('site')).href)
  await page.locator(`section[id="${id}"] [data-run="done"]`).waitFor({ state: 'attached', timeout: 110_000 })
  const shown = await page.locator(`section[id="${id}"] [data-how="measured"][data-value]`).evaluateAll((all) =>
    (all as HTMLElement[]).map((e) => ({ metric: e.dataset['metric']!, value: Number(e.dataset['value']), unit: e.dataset['unit']! })))
  await page.close()
  return shown
}

/** What becomes of a duration or a rate when everything takes twice as long; undefined for what is neither. */
function factor({ unit, metric }: Shown): number | undefined {
  // Limits in milliseconds do not stretch with the engine: fewer requests meet them.
  if (metric === 'goodput') return undefined
  if (/^(ms|s)(\/|$)/.test(unit)) return 2
  return /\/s$/.test(unit) ? 1 / 2 : undefined
}

/*
 * How this can fail: a figure that was typed in, or timed by a clock of its own, stays where it is when
 * the engine takes twice as long. The clock counts calls into the kernels, so both runs are the same run
 * and the factor is exact, whatever else the machine does.
 */
describe('?slow=2 doubles every measured duration on screen', () => {
  test.for(SLIDES)('%s', async ([id, query]) => {
    const [plain, slowed] = await Promise.all([measured(1, id, query), measured(2, id, query)])
    expect(slowed.map((n) => `${n.metric} ${n.unit}`)).toEqual(plain.map((n) => `${n.metric} ${n.unit}`))
    expect(plain.filter((n) => factor(n) === 2).length).toBeGreaterThan(0)
    for (const [i, before] of plain.entries()) {
      // The tokenizer is no kernel: by this clock it takes no time, however fast the clock runs.
      if (before.value === 0) {
        expect(slowed[i]!.value, before.metric).toBe(0)
        continue
      }
      const wanted = factor(before)
      if (wanted !== undefined) expect(slowed[i]!.value / before.value, `${before.metric}: ${before.value} ${before.unit}, slowed ${slowed[i]!.value}`).toBeCloseTo(wanted, 3)
    }
  })
})
