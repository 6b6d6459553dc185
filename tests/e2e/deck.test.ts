import AxeBuilder from '@axe-core/playwright'
import type { Page } from 'playwright'
import { expect, PHONE, slideReady, test } from './harness'

/** Ids as addresses, with the headline and the tags that stand on each. */
const SLIDES = [
  ['00_cover', 'Where do the milliseconds go?'], ['01_what_makes_slow', 'Time goes to five places'], ['02_latency_metrics', 'Averages hide the tail'],
  ['03_latency_budget', 'A budget is spent'], ['04_tradeoffs', 'pick two'], ['05_latency_components', 'Prefill is compute, decode is memory'],
  ['06_model_size', 'More weights'], ['07_output_dominates', 'one token out'], ['08_context_length_kv_growth', 'The trailer grows'],
  ['09_cached_prefix', 'skips the on-ramp'], ['10_batch_size_tradeoff', 'Bigger batches'], ['11_highway_congestion', 'The last tenth'],
  ['12_global_routing_vs_queue', 'Drive farther'], ['13_long_requests_cost', 'One truck'], ['14_speedups', 'Know the bottleneck'],
  ['15_smaller_models', 'A smaller model'], ['16_moe_sparsity', 'own eight'], ['17_proxy_models', 'Draft cheap'], ['18_quantization', 'Fewer bits'],
  ['19_kv_cache', 'Memory you manage'], ['20_add_capacity', 'Replicas'], ['21_new_hardware', 'Bandwidth for decode'], ['22_playbook', 'symptom'],
] as const

/** The section on the stage. */
const present = (page: Page) => page.locator('.slides > section.present')

const hash = (page: Page) => page.evaluate(() => location.hash)

test('each slide is reached by its address and carries headline, tags and notes', async ({ deck }) => {
  const page = await deck.open('#/03_latency_budget')
  for (const [id, headline] of SLIDES) {
    await page.evaluate((to) => { location.hash = `#/${to}` }, id)
    await page.waitForFunction((to) => document.querySelector('.slides > section.present')?.id === to, id)
    const section = present(page)
    expect(await section.locator('h1').innerText(), id).toContain(headline)
    expect((await section.getAttribute('data-tags'))!.split(' ').length, id).toBeGreaterThan(0)
    expect((await section.locator('aside.notes').textContent())!.length, id).toBeGreaterThan(100)
  }
  expect(await page.locator('.slides > section').count()).toBe(SLIDES.length)
})

test('the page works as one page: no role that takes the reading keys away, no scroll view on a narrow stage', async ({ deck }) => {
  const page = await deck.open('#/03_latency_budget')
  await slideReady(page, '03_latency_budget')
  expect(await page.locator('[role=application]').count()).toBe(0)
  await page.setViewportSize({ width: 720, height: 900 })
  expect(await page.locator('.reveal-scroll').count()).toBe(0)
  expect(await present(page).getAttribute('id')).toBe('03_latency_budget')
})

test('clicker keys turn the page from a focused slider; arrows and space belong to the control', async ({ deck }) => {
  const page = await deck.open('?5.prompt=16&5.output=8#/05_latency_components')
  await slideReady(page, '05_latency_components')
  const slider = present(page).locator('input[name=batch]')
  await slider.focus()
  await page.keyboard.press('ArrowRight')
  expect(await slider.getAttribute('data-param-value')).toBe('2')
  await page.keyboard.press('Space')
  expect(await hash(page)).toBe('#/05_latency_components')
  await page.keyboard.press('PageDown')
  await page.waitForFunction(() => document.querySelector('.slides > section.present')?.id === '06_model_size')
  await page.keyboard.press('PageUp')
  await page.waitForFunction(() => document.querySelector('.slides > section.present')?.id === '05_latency_components')
  // The range did not move with the page.
  expect(await slider.getAttribute('data-param-value')).toBe('2')
})

test('space presses the focused button; after a click the focus is the deck’s again', async ({ deck }) => {
  const page = await deck.open('?5.prompt=16&5.output=8#/05_latency_components')
  await slideReady(page, '05_latency_components')
  const number = present(page).locator('[data-metric=prefill_ms]')
  await number.focus()
  await page.keyboard.press('Space')
  await page.locator('[popover]:popover-open').waitFor()
  expect(await hash(page)).toBe('#/05_latency_components')
  await page.keyboard.press('Escape')
  expect(await page.locator('[popover]:popover-open').count()).toBe(0)

  await present(page).locator('.playhead .pace').first().click()
  await page.waitForFunction(() => document.activeElement === document.body)
  await page.keyboard.press('Space')
  await page.waitForFunction(() => document.querySelector('.slides > section.present')?.id === '06_model_size')
})

test('parameters go into the address when they differ from their default, and come back from it', async ({ deck }) => {
  const page = await deck.open('?5.prompt=32&5.output=8#/05_latency_components')
  const slider = (name: string) => page.locator(`section[id="05_latency_components"] input[name=${name}]`)
  expect(await slider('prompt').getAttribute('data-param-value')).toBe('32')
  expect(await slider('output').getAttribute('data-param-value')).toBe('8')
  expect(await slider('batch').getAttribute('data-param-value')).toBe('1')

  await slider('prompt').focus()
  await page.keyboard.press('ArrowRight')
  await page.waitForFunction(() => new URLSearchParams(location.search).get('5.prompt') === '64')
  expect(await hash(page)).toBe('#/05_latency_components')
  await page.reload()
  expect(await slider('prompt').getAttribute('data-param-value')).toBe('64')
  await slider('output').focus()
  for (let i = 0; i < 3; i++) await page.keyboard.press('ArrowRight')
  // 64 is the default: it leaves the address.
  await page.waitForFunction(() => location.search === '?5.prompt=64')
})

test('a parameter that makes no sense takes its default and the slide says so', async ({ deck }) => {
  const page = await deck.open('?5.prompt=lots&5.output=8&5.batch=99#/05_latency_components')
  const section = page.locator('section[id="05_latency_components"]')
  expect(await section.locator('input[name=prompt]').getAttribute('data-param-value')).toBe('512')
  expect(await section.locator('input[name=batch]').getAttribute('data-param-value')).toBe('16')
  expect(await section.locator('[data-notice]').allInnerTexts()).toEqual([expect.stringContaining('"lots" is not a number')])
})

test('the speaker’s window boots without an engine and says where to find the stage', async ({ deck }) => {
  const page = await deck.open('?speaker=ab12#/05_latency_components')
  const preview = page.locator('section[id="05_latency_components"]')
  await preview.locator('[data-notice]').waitFor()
  expect(await preview.locator('[data-notice]').innerText()).toContain('does not run the engine')
  expect(page.workers()).toHaveLength(0)
})

test('reduced motion: no transition, and the road stands at the end of the run', async ({ deck }) => {
  const page = await deck.open('?5.prompt=16&5.output=8#/05_latency_components', { reducedMotion: 'reduce' })
  await slideReady(page, '05_latency_components')
  expect(await page.locator('.reveal.fade').count()).toBe(0)
  const bar = present(page).locator('.playhead input')
  await page.waitForFunction((el) => (el as HTMLInputElement).value === (el as HTMLInputElement).max, await bar.elementHandle())
  expect(await present(page).locator('.playhead .play').getAttribute('aria-label')).toBe('Play again')
})

test.for(['00_cover', '02_latency_metrics', '05_latency_components', '14_speedups'])('%s: nothing serious for those who cannot see or point', async (id, { deck }) => {
  const page = await deck.open(`?5.prompt=16&5.output=8&2.requests=20#/${id}`)
  await slideReady(page, id)
  const { violations } = await new AxeBuilder({ page }).include('.slides > section.present').analyze()
  const serious = violations.filter((v) => v.impact === 'serious' || v.impact === 'critical')
  expect(serious.map((v) => `${v.id}: ${v.nodes.map((n) => n.html.slice(0, 160)).join(' | ')}`)).toEqual([])
})

test('on a phone all slides stand in one column, nothing is wider than the screen, and the address follows', async ({ deck }) => {
  const page = await deck.open('?5.prompt=16&5.output=8&2.requests=20#/05_latency_components', { viewport: PHONE })
  await slideReady(page, '05_latency_components')
  expect(await page.locator('.reveal').count()).toBe(0)
  const widest = () => page.evaluate(() => Math.max(document.documentElement.scrollWidth, ...[...document.querySelectorAll('main *')].map((e) => (e.closest('svg, .strip, .formula, .visually-hidden, [popover]') ? 0 : e.getBoundingClientRect().right))))
  expect(await widest()).toBeLessThanOrEqual(PHONE.width + 1)
  for (const id of ['02_latency_metrics', '00_cover', '22_playbook']) {
    await page.evaluate((to) => { location.hash = `#/${to}` }, id)
    await slideReady(page, id)
    expect(await hash(page)).toBe(`#/${id}`)
    expect(await widest(), id).toBeLessThanOrEqual(PHONE.width + 1)
  }
  // Far from what is read, slides are not built.
  expect(await page.locator('section[id="05_latency_components"] input').count()).toBe(0)
  expect(deck.trouble.errors).toEqual([])
})
