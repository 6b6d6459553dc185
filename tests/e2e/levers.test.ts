import type { Page } from 'playwright'
import { describe } from 'vitest'
import { expect, slideReady, test } from './harness'

/** A number on a slide. */
async function value(page: Page, id: string, metric: string): Promise<number> {
  return Number(await page.locator(`section[id="${id}"] [data-metric="${metric}"][data-value]`).first().getAttribute('data-value'))
}

async function done(page: Page, id: string): Promise<void> {
  await slideReady(page, id, 90_000)
  await page.locator(`section[id="${id}"] [data-run="done"]`).waitFor({ state: 'attached', timeout: 120_000 })
}

describe('17: draft cheap, verify once', () => {
  const id = '17_proxy_models'

  test('the text is the plain one, in fewer steps of the target; accepted and rejected drafts are pills', async ({ deck }) => {
    for (const query of ['', '?17.method=tree']) {
      const page = await deck.open(`${query}#/${id}`)
      await done(page, id)
      const section = page.locator(`section[id="${id}"]`)
      await section.getByText(/^Plain decoding takes .* The text is the same, token for token\.$/).waitFor()
      expect(await value(page, id, 'target_steps'), query).toBeLessThan(0.75 * (await value(page, id, 'plain_steps')))
      expect(await value(page, id, 'tokens_per_step'), query).toBeGreaterThan(4 / 3)
      await section.getByRole('group', { name: 'Replay' }).locator('input[type=range]').fill('700')
      for (const pill of ['accepted', 'rejected']) expect(await section.locator(`[data-pill="${pill}"]`).count(), pill).toBeGreaterThan(0)
      await page.close()
    }
    expect(deck.trouble).toEqual({ errors: [], strangers: [] })
  })
})

describe('09: a cached prefix skips the on-ramp', () => {
  const id = '09_cached_prefix'

  test('who comes later finds the shared documents and waits less; with the user’s words first nothing is found', async ({ deck }) => {
    const page = await deck.open(`#/${id}`)
    await done(page, id)
    expect(await value(page, id, 'warm_ttft')).toBeLessThan(await value(page, id, 'cold_ttft'))
    expect(await value(page, id, 'cached_tokens')).toBeGreaterThan(300)
    expect(await page.locator(`section[id="${id}"] [data-pill="cached"]`).count()).toBeGreaterThan(0)
    expect(await value(page, id, 'prompt_price')).toBeLessThan(100)
    await page.close()

    const other = await deck.open(`?9.order=user-first#/${id}`)
    await done(other, id)
    await other.locator(`section[id="${id}"]`).getByText('Nothing is found: the first tokens differ').waitFor()
    expect(await other.locator(`section[id="${id}"] [data-pill="cached"]`).count()).toBe(0)
    expect(deck.trouble).toEqual({ errors: [], strangers: [] })
  })
})

describe('15: a smaller model that passes', () => {
  const id = '15_smaller_models'

  test('the threshold moves what is passed on, within what was answered already', async ({ deck }) => {
    const page = await deck.open(`#/${id}`)
    await done(page, id)
    const section = page.locator(`section[id="${id}"]`)
    const slider = section.locator('input[name=threshold]')
    const shares: number[] = []
    for (const threshold of ['0', '0.5', '0.55', '1']) {
      await slider.fill(threshold)
      shares.push(await value(page, id, 'escalation_rate'))
      expect(await section.locator('[data-run]').getAttribute('data-run')).toBe('done')
    }
    expect(shares[0]).toBe(0)
    expect(shares[3]).toBe(100)
    expect(shares[2]).toBeGreaterThan(shares[1]!)
    expect(shares[1]).toBeGreaterThan(0)
    // Nothing kept: the small model's first words stand there struck out, and the large one's after them.
    expect(await section.locator('[data-escalated="true"] [data-pill="rejected"]').count()).toBeGreaterThan(1)
    await section.getByText('Paid twice').waitFor()
    expect(await value(page, id, 'answer_ms')).toBeGreaterThan(await value(page, id, 'large_alone_ms'))
    expect(deck.trouble).toEqual({ errors: [], strangers: [] })
  })
})

describe('14: know the bottleneck, then pull the lever', () => {
  const id = '14_speedups'
  const tiles = (page: Page, which = '') => page.locator(`section[id="${id}"] [data-lever]${which}`).evaluateAll((all) => (all as HTMLElement[]).map((e) => e.dataset['lever']!))

  test('on an H100 a chat lights what acts on memory, an agent what acts on the queue; every effect says how it is known', async ({ deck }) => {
    const page = await deck.open(`?lens=h100-sxm/llama-3.1-8b#/${id}`)
    await done(page, id)
    expect(await tiles(page)).toHaveLength(8)
    expect(await page.locator(`section[id="${id}"] [data-bottleneck]`).getAttribute('data-bottleneck')).toBe('memory')
    expect(await tiles(page, '[data-lit]')).toEqual(['Smaller model', 'Mixture of experts', 'Speculation', 'Quantization', 'Hardware'])
    const cached = () => page.locator(`section[id="${id}"] [data-lever="KV and prefix cache"] [data-metric="ttft_change"]`).getAttribute('data-value')
    const before = Number(await cached())
    expect(before).toBeLessThan(0)
    await page.locator(`section[id="${id}"] label`).filter({ hasText: 'Agent' }).click()
    await expect.poll(() => page.locator(`section[id="${id}"] [data-bottleneck]`).getAttribute('data-bottleneck')).toBe('queue')
    await done(page, id)
    expect(await tiles(page, '[data-lit]')).toEqual(['KV and prefix cache', 'Batching, scheduling', 'Capacity'])
    // Most of an agent's prompt is known already, little of a chat's.
    expect(Number(await cached())).toBeLessThan(before)
    for (const how of await page.locator(`section[id="${id}"] [data-value]`).evaluateAll((all) => (all as HTMLElement[]).map((e) => e.dataset['how']))) expect(how).toMatch(/^(measured|simulated|published)$/)
    expect(deck.trouble).toEqual({ errors: [], strangers: [] })
  })

  test('on this device other models and precisions are measured, and read', async ({ deck }) => {
    const page = await deck.open(`#/${id}`)
    await done(page, id)
    for (const [lever, metric] of [['Smaller model', 'bits_per_byte_change'], ['Mixture of experts', 'bits_per_byte_change'], ['Quantization', 'bits_per_byte_change'], ['Speculation', 'tpot_change'], ['Capacity', 'cost_change']] as const)
      expect(await page.locator(`section[id="${id}"] [data-lever="${lever}"] [data-metric="${metric}"][data-value]`).count(), lever).toBe(1)
    expect(Number(await page.locator(`section[id="${id}"] [data-lever="Smaller model"] [data-metric="bits_per_byte_change"]`).getAttribute('data-value'))).toBeGreaterThan(1)
    expect(deck.trouble).toEqual({ errors: [], strangers: [] })
  })
})
