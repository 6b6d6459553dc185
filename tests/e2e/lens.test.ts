import { describe } from 'vitest'
import { expect, slideReady, test } from './harness'

const SLIDE = '05_latency_components'
const section = `section[id="${SLIDE}"]`

describe('the lens', () => {
  test('another machine by the address: the same slide, in virtual time, saying so; and back to this device', async ({ deck }) => {
    const page = await deck.open(`?runner=wasm&lens=h100-sxm/llama-3.1-8b#/${SLIDE}`)
    await slideReady(page, SLIDE)
    const tpot = page.locator(`${section} [data-metric="tpot"]`).first()
    expect(await tpot.getAttribute('data-how')).toBe('modelled')
    // 15 GB of weights at less than 3.35 TB/s.
    const ms = Number(await tpot.getAttribute('data-value'))
    expect(ms).toBeGreaterThan(15e9 / 3.35e9)
    expect(ms).toBeLessThan(2 * (15e9 / 3.35e9))
    await page.locator(`${section} [data-lens] label`).first().click()
    await expect.poll(() => tpot.getAttribute('data-how'), { timeout: 60_000 }).toBe('measured')
    expect(page.url()).not.toContain('lens=')
    expect(deck.trouble).toEqual({ errors: [], strangers: [] })
  })

  test('the recorded server is there; one that is not is named', async ({ deck }) => {
    const page = await deck.open(`?lens=recorded:rtx-4090-llama-3.1-8b#/${SLIDE}`)
    await slideReady(page, SLIDE)
    expect(await page.locator(`${section} [data-metric="tpot"]`).first().getAttribute('data-how')).toBe('recorded')
    const other = await deck.open(`?lens=recorded:abacus#/${SLIDE}`)
    await expect.poll(() => other.locator(section).innerText(), { timeout: 30_000 }).toContain('no recorded machine "abacus"')
    const wrong = await deck.open(`?lens=moon#/${SLIDE}`)
    await expect.poll(() => wrong.locator(section).innerText(), { timeout: 60_000 }).toContain('not "moon"')
  })
})
