import { describe } from 'vitest'
import type { Page } from 'playwright'
import { expect, slideReady, test } from './harness'

// Through the datacentre's lens: virtual time, the same on every machine.
const LENS = 'lens=h100-sxm/llama-3.1-8b'

const number = (page: Page, slide: string, metric: string) => async () => Number(await page.locator(`section[id="${slide}"] .callout [data-metric="${metric}"]`).first().getAttribute('data-value'))
const move = (page: Page, slide: string, name: string, position: string) => page.locator(`section[id="${slide}"] input[name="${name}"]`).fill(position)

describe('11: congestion', () => {
  const slide = '11_highway_congestion'

  test('load raises the p99 and its distance from the median, ever faster; bursts raise it too', async ({ deck }) => {
    const page = await deck.open(`?${LENS}#/${slide}`)
    await slideReady(page, slide)
    const tail = number(page, slide, 'p99_ttft')
    const values: number[] = []
    for (const load of ['0.5', '0.65', '0.8', '0.95']) {
      await move(page, slide, 'load', load)
      await expect.poll(async () => page.locator(`section[id="${slide}"] .callout`).first().innerText()).toContain(`${Math.round(100 * Number(load))}`)
      values.push(await tail())
    }
    const [a, b, c, d] = values as [number, number, number, number]
    expect(b).toBeGreaterThan(a)
    expect(d - c).toBeGreaterThan(c - b)
    expect(await page.locator(`section[id="${slide}"] .callout [data-metric="p99_ttft"]`).first().getAttribute('data-how')).toBe('simulated')
    const bursty = await deck.open(`?${LENS}&11.cv=3&11.load=0.95#/${slide}`)
    await slideReady(bursty, slide)
    expect(await number(bursty, slide, 'p99_ttft')()).toBeGreaterThan(d)
    expect(deck.trouble).toEqual({ errors: [], strangers: [] })
  })
})

describe('10: batches', () => {
  const slide = '10_batch_size_tradeoff'

  test('a larger batch: more tokens for all, each of them later; static batching gives fewer', async ({ deck }) => {
    const page = await deck.open(`?${LENS}&10.batch=1#/${slide}`)
    await slideReady(page, slide)
    const throughput = number(page, slide, 'throughput')
    const tpot = async () => Number(await page.locator(`section[id="${slide}"] .callout [data-metric="p50_tpot"]`).first().getAttribute('data-value'))
    const [alone, aloneTpot] = [await throughput(), await tpot()]
    await move(page, slide, 'batch', '5')
    await expect.poll(throughput, { timeout: 30_000 }).toBeGreaterThan(5 * alone)
    expect(await tpot()).toBeGreaterThan(aloneTpot)
    const many = await throughput()
    await page.locator(`section[id="${slide}"] input[name="policy"][value="static"]`).click()
    await expect.poll(throughput, { timeout: 30_000 }).toBeLessThan(0.95 * many)
    await expect.poll(number(page, slide, 'continuous_over_static'), { timeout: 30_000 }).toBeGreaterThan(1.1)
    expect(deck.trouble).toEqual({ errors: [], strangers: [] })
  })
})
