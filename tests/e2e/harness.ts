import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright'
import { afterAll, inject, test as base } from 'vitest'
import { chromiumArgs, findChromium } from '../../scripts/chromium.mjs'

export { expect } from 'vitest'

/** Wide stage and phone, as the deck is looked at. */
export const WIDE = { width: 1600, height: 900 }
export const PHONE = { width: 390, height: 844 }

let launched: Promise<Browser> | undefined

/** One browser for a test file. */
export function browser(): Promise<Browser> {
  return (launched ??= chromium.launch({ executablePath: findChromium(), args: chromiumArgs(), timeout: 120_000 }))
}

afterAll(async () => {
  await (await launched)?.close()
  launched = undefined
})

/** What went wrong in a page behind the test's back. */
export interface Trouble {
  /** Uncaught errors and console.error lines. */
  errors: string[]
  /** Requests to anywhere but the deck's own server. */
  strangers: string[]
}

export interface VisitOptions extends BrowserContextOptions {
  /** Come as somebody who has never been here, whose device is yet to be measured. */
  firstVisit?: boolean
}

export interface Deck {
  /** Opens an address relative to the site: '?runner=wasm#/05_latency_components'. */
  open(path?: string, options?: VisitOptions): Promise<Page>
  /** Trouble of all pages opened by this test so far. */
  trouble: Trouble
  site: string
}

/** `test` with a deck to open pages of; each call of `open` is a visitor of its own, gone after the test. */
export const test = base.extend<{ deck: Deck }>({
  // Vitest reads the fixtures used from the pattern; this one uses none.
  // eslint-disable-next-line no-empty-pattern
  deck: async ({}, use) => {
    const site = inject('site')
    const trouble: Trouble = { errors: [], strangers: [] }
    const contexts: { close(): Promise<void> }[] = []
    await use({
      site,
      trouble,
      async open(path = '', { firstVisit = false, ...options } = {}) {
        const visitor = inject('visitor')
        const storageState = firstVisit || !visitor ? undefined : visitor
        const context = await (await browser()).newContext({ viewport: WIDE, storageState, serviceWorkers: 'block', ...options })
        contexts.push(context)
        const page = await context.newPage()
        page.on('pageerror', (error) => trouble.errors.push(error.message))
        page.on('console', (message) => message.type() === 'error' && trouble.errors.push(message.text()))
        page.on('request', (request) => /^(data|blob):/.test(request.url()) || request.url().startsWith(site) || trouble.strangers.push(request.url()))
        await page.goto(new URL(path, site).href)
        return page
      },
    })
    for (const context of contexts) await context.close()
  },
})

/** Waits until a slide has drawn its first reading (`data-ready`). Rejects after `timeout` ms. */
export async function slideReady(page: Page, id: string, timeout = 60_000): Promise<void> {
  await page.locator(`section[id="${id}"][data-ready="true"]`).waitFor({ state: 'attached', timeout })
}
