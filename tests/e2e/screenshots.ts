// npm run screenshots
//
// Pictures of the live slides, wide and on a phone, in tests/e2e/results, and the README's in assets.
// They show what the engine did while they were taken, on whatever machine took them.

import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { chromium, type Page } from 'playwright'
import { preview } from 'vite'
import { chromiumArgs, findChromium } from '../../scripts/chromium.mjs'

const ROOT = process.env['EXPRESSWAY_ROOT'] ?? process.cwd()
const RESULTS = join(ROOT, 'tests/e2e/results')
const README_PICTURE = { file: join(ROOT, 'assets/screenshot.png'), slide: '05_latency_components', size: 'wide' }

/** Slides, and where in its replay each looks best, 0 … 1. */
const SLIDES = { '00_cover': 0.2, '02_latency_metrics': 1, '05_latency_components': 0.8, '10_batch_size_tradeoff': 0.5, '11_highway_congestion': 0.6 }
const SIZES = { wide: { width: 1600, height: 900 }, phone: { width: 390, height: 844 } }

/** The first visit measures the device before it draws. */
const READY_TIMEOUT_MS = 180_000
const RUN_TIMEOUT_MS = 60_000
/** The camera and the pills come to rest. */
const SETTLE_MS = 2_000

if (!existsSync(join(ROOT, 'dist/index.html'))) throw new Error('dist/index.html is missing: npm run build makes it')
mkdirSync(RESULTS, { recursive: true })
const server = await preview({ root: ROOT, configFile: join(ROOT, 'vite.config.ts'), logLevel: 'warn', preview: { port: 4320, strictPort: false } })
const site = server.resolvedUrls!.local[0]!
const browser = await chromium.launch({ executablePath: findChromium(), args: chromiumArgs() })
try {
  for (const [size, viewport] of Object.entries(SIZES)) {
    // One visitor for all slides of a size: the device is measured once.
    const context = await browser.newContext({ viewport, deviceScaleFactor: size === 'phone' ? 2 : 1 })
    for (const [slide, moment] of Object.entries(SLIDES)) {
      const page = await context.newPage()
      await open(page, slide)
      await seek(page, slide, moment)
      const file = join(RESULTS, `${slide}-${viewport.width}x${viewport.height}.png`)
      await page.screenshot({ path: file })
      console.log(file)
      if (README_PICTURE.slide === slide && README_PICTURE.size === size) {
        await page.screenshot({ path: README_PICTURE.file })
        console.log(README_PICTURE.file)
      }
      await page.close()
    }
    await context.close()
  }
} finally {
  await browser.close()
  await server.close()
}

async function open(page: Page, slide: string): Promise<void> {
  page.on('pageerror', (error) => console.error(`${slide}: ${error.message}`))
  await page.goto(new URL(`#/${slide}`, site).href)
  const section = page.locator(`section[id="${slide}"]`)
  await section.scrollIntoViewIfNeeded()
  await page.locator(`section[id="${slide}"][data-ready="true"]`).waitFor({ state: 'attached', timeout: READY_TIMEOUT_MS })
  await page.locator(`section[id="${slide}"] [data-run="done"]`).waitFor({ state: 'attached', timeout: RUN_TIMEOUT_MS })
}

/** Holds the replay at a moment, 0 … 1. A slide without a replay is left as it is. */
async function seek(page: Page, slide: string, moment: number): Promise<void> {
  const section = page.locator(`section[id="${slide}"]`)
  const replay = section.getByRole('group', { name: 'Replay' })
  if ((await replay.count()) > 0) {
    const pause = replay.getByRole('button', { name: 'Pause', exact: true })
    if ((await pause.count()) > 0) await pause.click()
    await replay.locator('input[type=range]').fill(String(Math.round(moment * 1000)))
    await section.evaluate((element) => element.scrollIntoView())
  }
  await page.waitForTimeout(SETTLE_MS)
}
