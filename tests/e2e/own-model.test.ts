import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Page } from 'playwright'
import { afterAll, beforeAll } from 'vitest'
import { writeModelFolder } from '../support/model-folder'
import { expect, slideReady, test } from './harness'

let root = ''
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'own-model-'))
  writeModelFolder(join(root, 'tiny'), { dtype: 'BF16', shards: 2 })
  writeModelFolder(join(root, 'other'))
  writeFileSync(join(root, 'other/config.json'), '{"model_type":"gpt2","architectures":["GPT2LMHeadModel"]}')
})
afterAll(() => rmSync(root, { recursive: true, force: true }))

const SMALL = '?runner=wasm&5.prompt=16&5.output=8#/05_latency_components'

/** A folder from the desktop, let go over the middle of the page. */
async function drop(page: Page, folder: string): Promise<void> {
  const session = await page.context().newCDPSession(page)
  const data = { items: [], files: [folder], dragOperationsMask: 1 }
  for (const type of ['dragEnter', 'dragOver', 'drop'] as const) await session.send('Input.dispatchDragEvent', { type, x: 500, y: 400, data })
}

/** What stands behind the cover's first number. */
async function measuredWith(page: Page): Promise<string> {
  await slideReady(page, '00_cover', 90_000)
  const number = page.locator('section[id="00_cover"] [data-metric="ttft"][data-value]').first()
  await number.press('Enter', { timeout: 60_000 })
  const words = await page.locator('[popover]:popover-open').innerText()
  await number.press('Escape')
  return words
}

test('a model folder dropped on the deck is what the slides run on, until it is put aside', async ({ deck }) => {
  const page = await deck.open(SMALL)
  await slideReady(page, '05_latency_components', 90_000)
  await drop(page, join(root, 'tiny'))
  const panel = page.locator('[data-own-model=loaded]')
  await panel.waitFor({ timeout: 60_000 })
  expect(await panel.innerText()).toMatch(/tiny \(own\), 0\.1\d+ million parameters/)
  await page.goto(page.url().replace('05_latency_components', '00_cover'))
  expect(await measuredWith(page)).toContain('tiny (own)')
  await panel.getByRole('button', { name: 'Back to tales-5m' }).click()
  await panel.waitFor({ state: 'detached', timeout: 60_000 })
  await expect.poll(() => measuredWith(page), { timeout: 90_000, interval: 1000 }).toContain('tales-')
  expect(deck.trouble).toEqual({ errors: [], strangers: [] })
})

test('a folder that is no model of the family says why, and the deck goes on; the chooser takes folders too', async ({ deck }) => {
  const page = await deck.open(SMALL)
  await slideReady(page, '05_latency_components', 90_000)
  await drop(page, join(root, 'other'))
  const refused = page.locator('[data-own-model=refused]')
  await refused.waitFor({ timeout: 60_000 })
  expect(await refused.innerText()).toContain('model_type is "gpt2"')
  await page.locator('input[name=model-folder]').setInputFiles(join(root, 'tiny'))
  await page.locator('[data-own-model=loaded]').waitFor({ timeout: 60_000 })
  expect(deck.trouble).toEqual({ errors: [], strangers: [] })
})
