import { readFileSync } from 'node:fs'
import type { Page } from 'playwright'
import { describe } from 'vitest'
import { expect, slideReady, test } from './harness'

const ID = '22_playbook'
const LENS = 'lens=h100-sxm/llama-3.1-8b'
const section = (page: Page) => page.locator(`section[id="${ID}"]`)
const done = (page: Page) => section(page).locator('[data-run="done"]').waitFor({ state: 'attached', timeout: 90_000 })
const drop = (page: Page, name: string, text: string) => section(page).locator('input[name=file]').setInputFiles({ name, mimeType: 'application/json', buffer: Buffer.from(text) })

/** A log of 80 requests to a server of four places: each takes 100 ms to its first token and 20 ms for each of 50, and they come twice as fast as that. */
function log(): string {
  const free = [0, 0, 0, 0]
  return Array.from({ length: 80 }, (_, i) => {
    const queued = 10 + i * 0.14
    const place = free.indexOf(Math.min(...free))
    const scheduled = Math.max(queued, free[place]!)
    free[place] = scheduled + 1.1
    return JSON.stringify({ request_id: `r${i}`, input_toks: 300 + ((i * 37) % 200), output_toks: 51, queued_ts: queued, scheduled_ts: scheduled, first_token_ts: scheduled + 0.1, last_token_ts: scheduled + 1.1 })
  }).join('\n')
}

describe('22: from symptom to bottleneck to lever', () => {
  test('thirty symptoms to choose from; the chosen one lights its bottleneck, ranks by what it moves, and cites its source', async ({ deck }) => {
    const page = await deck.open(`?${LENS}#/${ID}`)
    await slideReady(page, ID, 90_000)
    await done(page)
    expect(await section(page).locator('input[name=symptom]').count()).toBe(30)
    expect(await section(page).locator('[data-lever]').count()).toBe(13)
    for (const how of await section(page).locator('[data-value]').evaluateAll((all) => (all as HTMLElement[]).map((e) => e.dataset['how']))) expect(how).toMatch(/^(simulated|modelled|published)$/)
    await section(page).locator('input[name=symptom][value=buffered]').check({ force: true })
    await expect.poll(() => section(page).locator('[data-lit]').evaluateAll((all) => (all as HTMLElement[]).map((e) => e.dataset['lit']))).toEqual(['network'])
    expect(await section(page).getByRole('link', { name: 'c8s#140' }).getAttribute('href')).toBe('https://github.com/confidential-dot-ai/c8s/issues/140')
    expect(await section(page).getByRole('columnheader', { name: 'TTFT' }).count()).toBe(1)
    await section(page).locator('input[name=symptom][value=long-context]').check({ force: true })
    await expect.poll(() => section(page).getByRole('columnheader', { name: 'TPOT' }).count()).toBe(1)
    await expect.poll(() => page.evaluate(() => location.search)).toContain('22.symptom=long-context')
    expect(deck.trouble).toEqual({ errors: [], strangers: [] })
  })

  test('a dropped log is diagnosed here, its levers are ranked, and the simulation’s error stands beside them', async ({ deck }) => {
    const page = await deck.open(`?${LENS}#/${ID}`)
    await slideReady(page, ID, 90_000)
    await drop(page, 'server.requests.jsonl', log())
    await section(page).locator('[data-file=loaded]').waitFor({ timeout: 90_000 })
    await done(page)
    await expect.poll(() => section(page).locator('.callout').first().innerText(), { timeout: 60_000 }).toContain('server.requests.jsonl: Queue')
    await section(page).locator('.callout [data-metric=fit_error][data-value]').waitFor({ timeout: 60_000 })
    const gain = async (lever: string) => Number(await section(page).locator(`[data-lever=${lever}] .gain [data-value]`).getAttribute('data-value'))
    expect(await gain('capacity')).toBeLessThan(-50)
    expect(await section(page).locator('[data-notice]').allInnerTexts()).toEqual([expect.stringContaining('how many KV blocks')])
    expect(deck.trouble).toEqual({ errors: [], strangers: [] })
  })

  test('what is no log ends in words, and the slide goes on with the workload', async ({ deck }) => {
    const page = await deck.open(`?${LENS}#/${ID}`)
    await slideReady(page, ID, 90_000)
    for (const [name, text, words] of [
      ['noise.json', 'not a file of ours', 'neither a CSV header'],
      ['half.jsonl', log().slice(0, 900), 'half.jsonl:'],
      ['trace.json', readFileSync('tests/fixtures/traces/burst.json', 'utf8').replace('"arrival":4', '"arrival":"soon"'), 'arrival is "soon"'],
    ] as const) {
      await drop(page, name, text)
      await section(page).locator('[data-file=refused] [role=alert]').filter({ hasText: words }).waitFor({ timeout: 60_000 })
      await done(page)
      expect(await section(page).locator('.callout').first().innerText()).toContain('Chat')
    }
    await drop(page, 'burst.json', readFileSync('tests/fixtures/traces/burst.json', 'utf8'))
    await section(page).locator('[data-file=loaded]').waitFor({ timeout: 60_000 })
    await done(page)
    expect(await section(page).locator('.callout').first().innerText()).toContain('burst.json')
    expect(deck.trouble).toEqual({ errors: [], strangers: [] })
  })
})
