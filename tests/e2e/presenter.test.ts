import type { Page } from 'playwright'
import { expect, slideReady, test } from './harness'

/** What a window shows of the talk, stage or speaker alike. A replay that runs is at another moment in each glance. */
const shown = (page: Page) => page.evaluate(() => {
  const section = document.querySelector('.slides > section.present, .speaker .now section')!
  const bar = section.querySelector<HTMLInputElement>('.playhead input')
  const playing = section.querySelector('.playhead .play')?.getAttribute('aria-label') === 'Pause'
  return {
    slide: section.id,
    values: [...section.querySelectorAll<HTMLInputElement>('input[data-param-value]')].map((i) => `${i.name}=${i.dataset['paramValue']}`),
    lens: section.querySelector<HTMLElement>('[data-lens]')?.dataset['lens'],
    dark: document.querySelector('.speaker') ? document.querySelector('.acts button[aria-pressed]')!.getAttribute('aria-pressed') === 'true' : document.querySelector('[data-blackout]') !== null,
    replay: bar && !playing ? bar.value : undefined,
  }
})

/** Opens the speaker's window by its key, as a presenter does. */
async function withSpeaker(stage: Page): Promise<Page> {
  const [speaker] = await Promise.all([stage.context().waitForEvent('page'), stage.keyboard.press('s')])
  await speaker.locator('[data-connected=true]').waitFor({ timeout: 30_000 })
  return speaker
}

const sameIn = (stage: Page, speaker: Page, deed: string) => expect.poll(async () => {
  const [a, b] = [await shown(stage), await shown(speaker)]
  if (a.replay === undefined || b.replay === undefined) a.replay = b.replay = undefined
  return JSON.stringify(a) === JSON.stringify(b) ? 'same' : `${JSON.stringify(a)} and ${JSON.stringify(b)}`
}, { message: deed, timeout: 30_000 }).toBe('same')

/** The same sequence every time (Park and Miller 1988). */
function random(seed: number): (below: number) => number {
  return (below) => (seed = (seed * 48271) % 2147483647) % below
}

test('two windows end in the same state after each of 50 random actions, done in either', async ({ deck }) => {
  const stage = await deck.open('?5.prompt=16&5.output=8&2.requests=20#/05_latency_components')
  await slideReady(stage, '05_latency_components')
  const speaker = await withSpeaker(stage)
  const draw = random(2026)
  /** A slider's or an option's next value by keyboard, on the slide or in the speaker's panel. */
  const move = async (page: Page) => {
    const inputs = page.locator(page === stage ? '.slides > section.present input[data-param-value]:not(:disabled)' : '.speaker .set input[data-param-value]:not(:disabled)')
    const count = await inputs.count()
    if (!count) return
    await inputs.nth(draw(count)).press(draw(2) ? 'ArrowRight' : 'ArrowLeft')
    await page.evaluate(() => (document.activeElement as HTMLElement).blur())
  }
  const key = (name: string) => (page: Page) => page.keyboard.press(name)
  const jump = async (page: Page) => {
    await page.keyboard.press('g')
    await page.locator('dialog[data-sheet=jump] input').fill(String(4 + draw(4)))
    await page.keyboard.press('Enter')
  }
  const deeds: [string, (page: Page) => Promise<unknown>][] = [
    ['moves a control', move], ['moves a control', move], ['moves a control', move],
    ['clicker on', key('PageDown')], ['clicker on', key('PageDown')], ['clicker back', key('PageUp')],
    ['arrow on', key('ArrowRight')], ['arrow back', key('ArrowLeft')],
    ['replay on by one', key(';')], ['replay back by one', key(',')], ['plays or pauses', key('x')],
    ['dark', key('b')], ['jumps', jump],
  ]
  const seen = new Set<string>()
  for (let i = 0; i < 50; i++) {
    const [name, deed] = deeds[draw(deeds.length)]!
    const page = draw(2) ? stage : speaker
    seen.add(`${name} ${page === stage}`)
    await deed(page)
    await sameIn(stage, speaker, `${i}: ${name} in the ${page === stage ? 'stage' : 'speaker'}’s window`)
  }
  // The sequence is worth its name: nearly everything was done in both.
  expect(seen.size).toBeGreaterThan(15)
  // One engine: the speaker's window has no worker.
  expect(speaker.workers()).toHaveLength(0)
  expect(deck.trouble.errors).toEqual([])
}, 600_000)

test('the speaker’s window draws the stage’s reading, moves its sliders, and says when the stage is gone', async ({ deck }) => {
  const stage = await deck.open('?5.prompt=16&5.output=8#/05_latency_components')
  await slideReady(stage, '05_latency_components')
  const speaker = await withSpeaker(stage)
  await slideReady(speaker, '05_latency_components')
  const number = (page: Page) => page.locator('section[id="05_latency_components"] [data-metric=prefill_ms]').first().getAttribute('data-value')
  await stage.locator('section[id="05_latency_components"] [data-run=done]').waitFor({ state: 'attached' })
  await expect.poll(async () => (await number(speaker)) === (await number(stage))).toBe(true)
  expect(await speaker.locator('.notes').innerText()).toContain('One request, two stages.')

  await speaker.locator('[data-live=batch] input').press('ArrowRight')
  await expect.poll(() => stage.locator('section[id="05_latency_components"] input[name=batch]').getAttribute('data-param-value')).toBe('2')
  // The stage's address holds it.
  await stage.waitForFunction(() => new URLSearchParams(location.search).get('5.batch') === '2')

  await stage.close()
  await speaker.locator('[data-connected=false]').waitFor({ timeout: 20_000 })
})

test('in a talk the clicker plays stage directions, then turns the page; back undoes them', async ({ deck }) => {
  const page = await deck.open('?talk&5.prompt=16&5.output=8#/05_latency_components')
  await slideReady(page, '05_latency_components')
  const value = (name: string) => page.locator(`section[id="05_latency_components"] input[name=${name}]`).getAttribute('data-param-value')
  await page.keyboard.press('PageDown')
  await expect.poll(() => value('prompt')).toBe('512')
  await page.keyboard.press('PageDown')
  await expect.poll(() => value('output')).toBe('128')
  await page.keyboard.press('PageUp')
  await expect.poll(() => value('output')).toBe('8')
  for (let i = 0; i < 2; i++) await page.keyboard.press('PageDown')
  await expect.poll(() => value('batch')).toBe('8')
  await page.keyboard.press('PageDown')
  await page.waitForFunction(() => document.querySelector('.slides > section.present')?.id === '06_model_size')
  await page.keyboard.press('PageUp')
  await page.waitForFunction(() => document.querySelector('.slides > section.present')?.id === '05_latency_components')
  expect(await value('batch')).toBe('8')
})

test('clicker keys act in every focus state', async ({ deck }) => {
  const page = await deck.open('?5.prompt=16&5.output=8#/05_latency_components')
  await slideReady(page, '05_latency_components')
  const here = () => page.evaluate(() => document.querySelector('.slides > section.present')?.id)
  const FOCUSABLE = 'button:not(:disabled), a[href], input:not(:disabled), select, textarea, summary, [tabindex="0"]'
  const on = page.locator('.slides > section.present').locator(FOCUSABLE)
  const count = await on.count()
  expect(count).toBeGreaterThan(10)
  for (let i = 0; i < count; i++) {
    const before = await page.evaluate(() => [...document.querySelectorAll<HTMLInputElement>('section[id="05_latency_components"] input[data-param-value]')].map((x) => x.dataset['paramValue']))
    await on.nth(i).focus()
    const focused = await page.evaluate(() => document.activeElement?.outerHTML.slice(0, 80))
    await page.keyboard.press('PageDown')
    await expect.poll(here, { message: focused }).toBe('06_model_size')
    await page.keyboard.press('PageUp')
    await expect.poll(here, { message: focused }).toBe('05_latency_components')
    expect(await page.evaluate(() => [...document.querySelectorAll<HTMLInputElement>('section[id="05_latency_components"] input[data-param-value]')].map((x) => x.dataset['paramValue'])), focused).toEqual(before)
  }
  // In a sheet, in a field that is typed into, with a card open: the sheet closes and the page turns.
  for (const open of ['o', '/', 'g', '?', 'c']) {
    await page.keyboard.press(open)
    await page.locator('dialog[open]').waitFor()
    await page.keyboard.press('PageDown')
    await expect.poll(here, { message: open }).toBe('06_model_size')
    await page.locator('dialog[open]').waitFor({ state: 'detached' })
    await page.keyboard.press('PageUp')
    await expect.poll(here, { message: open }).toBe('05_latency_components')
  }
  await page.locator('.slides > section.present [data-metric=prefill_ms]').first().click()
  await page.locator('[popover]:popover-open').waitFor()
  await page.keyboard.press('PageDown')
  await expect.poll(here).toBe('06_model_size')
  expect(await page.locator('[popover]:popover-open').count()).toBe(0)
  // Dark: the first press brings the light back, the next turns.
  await page.keyboard.press('b')
  await page.locator('[data-blackout]').waitFor()
  await page.keyboard.press('PageUp')
  await page.locator('[data-blackout]').waitFor({ state: 'detached' })
  expect(await here()).toBe('06_model_size')
})

test('messages of no shape, from a page of the same address, leave both windows standing', async ({ deck }) => {
  const stage = await deck.open('#/03_latency_budget')
  await slideReady(stage, '03_latency_budget')
  const speaker = await withSpeaker(stage)
  await stage.evaluate(() => {
    const channel = new BroadcastChannel(`token-expressway:${sessionStorage.getItem('expressway:talk')}`)
    const set = (key: unknown, value: unknown, count: unknown = 1e6) => ({ v: 1, kind: 'set', from: 'stranger', entries: [[key, { value, stamp: [count, 'stranger'] }]] })
    for (const m of [
      null, 'hello', 7, [], { v: 1 }, { v: 1, kind: 'set', from: 'x', entries: 'all' }, set('slide', 5), set('slide', '../../etc'), set('black', 'yes'),
      set('black', true, 2 ** 53), set('nothing', true), set('lens', 'moon'), set('playhead:03_latency_budget:0', { at: -1 }), { v: 1, kind: 'told', from: 'x', told: { slide: '03_latency_budget' } },
      { v: 1, kind: 'told', from: 'x', told: { slide: '03_latency_budget', part: 'main', phase: 'done', runs: 1, values: '', reading: { complete: true, trace: { events: 3 } } } },
      { v: 1, kind: 'engine', from: 'x', info: { device: {} } }, set('value:05_latency_components:prompt', 'x'.repeat(1e5)),
    ]) channel.postMessage(m)
    channel.close()
  })
  await stage.keyboard.press('ArrowRight')
  await sameIn(stage, speaker, 'after the strangers')
  expect((await shown(speaker)).slide).toBe('04_tradeoffs')
  expect(await stage.locator('[data-blackout]').count()).toBe(0)
  expect(deck.trouble.errors).toEqual([])
})

test('frozen: what was measured in the talk is shown again as recorded, and nothing runs', async ({ deck }) => {
  const page = await deck.open('?talk&5.prompt=16&5.output=8#/05_latency_components')
  await slideReady(page, '05_latency_components')
  const section = page.locator('section[id="05_latency_components"]')
  await section.locator('[data-run=done]').waitFor({ state: 'attached' })
  const number = section.locator('[data-metric=prefill_ms]').first()
  const measured = await number.getAttribute('data-value')
  await page.keyboard.press('z')
  await expect.poll(() => number.getAttribute('data-how')).toBe('recorded')
  expect(Number(await number.getAttribute('data-value')) / Number(measured)).toBeCloseTo(1, 3)
  // A setting that nobody measured here: Nothing was recorded at these settings's recording, which says so.
  await section.locator('input[name=batch]').press('ArrowRight')
  await section.locator('[data-run=done]').waitFor({ state: 'attached' })
  expect(await section.locator('[data-notice]').allInnerTexts()).toEqual([expect.stringContaining('Nothing was recorded at these settings')])
  expect(await section.locator('footer .source').innerText()).toContain('recorded')
})

test('the sheets: keys, all slides by keyboard, search', async ({ deck }) => {
  const page = await deck.open('#/03_latency_budget')
  await slideReady(page, '03_latency_budget')
  const here = () => page.evaluate(() => document.querySelector('.slides > section.present')?.id)
  await page.keyboard.press('?')
  expect(await page.locator('dialog').innerText()).toContain('speaker’s window')
  await page.keyboard.press('Escape')
  await page.keyboard.press('o')
  await page.locator('dialog[data-sheet=contents] button[data-to]').first().waitFor()
  expect(await page.locator('dialog button[data-to]').count()).toBe(23)
  await page.keyboard.press('ArrowRight')
  await page.keyboard.press('Enter')
  await expect.poll(here).toBe('04_tradeoffs')
  await page.keyboard.press('/')
  await page.locator('dialog input').fill('experts')
  await page.keyboard.press('Enter')
  await expect.poll(here).toBe('16_moe_sparsity')
  expect(await page.locator('dialog').count()).toBe(0)
})
