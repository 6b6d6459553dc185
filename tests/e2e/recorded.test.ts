import { existsSync } from 'node:fs'
import { deck as slides } from '$slides/deck'
import { expect, slideReady, test } from './harness'

const recorded = slides.map((s) => s.id).filter((id) => existsSync(`assets/recorded/${id}.bin`))
/** Built since the recordings were last made. */
const missing = slides.map((s) => s.id).filter((id) => existsSync(`slides/${id}/experiment.ts`) && !recorded.includes(id))

test.skipIf(missing.length === 0)(`recorded anew by npm run record: ${missing.join(', ')}`, ({ skip }) => skip())

test('?runner=recorded shows every slide that was recorded, with no engine, no model and no error; every number says so', async ({ deck }) => {
  const page = await deck.open('?runner=recorded')
  const fetched: string[] = []
  page.on('request', (request) => fetched.push(new URL(request.url()).pathname))
  await page.reload()
  for (const id of recorded) {
    await page.evaluate((slide) => { location.hash = `/${slide}` }, id)
    await slideReady(page, id, 30_000)
    const section = page.locator(`section[id="${id}"]`)
    await section.locator('[data-run="done"]').waitFor({ state: 'attached', timeout: 30_000 })
    const hows = await section.locator('[data-value]').evaluateAll((all) => (all as HTMLElement[]).map((e) => e.dataset['how']))
    expect(hows.length, id).toBeGreaterThan(0)
    expect(hows, id).not.toContain('measured')
    expect(await section.locator('[data-notice]').allInnerTexts(), id).toEqual([])
  }
  expect(fetched.filter((path) => /assets\/models|worker/.test(path))).toEqual([])
  expect(deck.trouble).toEqual({ errors: [], strangers: [] })
})

test('settings that nobody recorded run in virtual time on a recorded machine, and the slide says so', async ({ deck }) => {
  const page = await deck.open('?runner=recorded&5.prompt=1024#/05_latency_components')
  const section = page.locator('section[id="05_latency_components"]')
  await section.locator('[data-run="done"]').waitFor({ state: 'attached', timeout: 60_000 })
  expect(await section.locator('[data-notice]').allInnerTexts()).toEqual([expect.stringContaining('Nothing was recorded at these settings')])
  expect(await section.locator('[data-metric="ttft"]').first().getAttribute('data-how')).toBe('recorded')
  expect(deck.trouble).toEqual({ errors: [], strangers: [] })
})

test('a slide that was recorded at its own settings only says so at others', async ({ deck }) => {
  const page = await deck.open('?runner=recorded&17.k=8#/17_proxy_models')
  const notice = page.locator('section[id="17_proxy_models"] [data-notice]')
  await expect.poll(() => notice.allInnerTexts(), { timeout: 30_000 }).toEqual([expect.stringMatching(/^This slide was recorded at its own settings only/)])
  expect(deck.trouble.errors).toEqual([])
})
