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
