import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { chromium, type Browser } from 'playwright'
import { createServer } from 'vite'
import { chromiumArgs, findChromium } from './chromium.mjs'

// npm run record [-- --cards] [SLIDE …]      SLIDE: 5, 05 or 05_latency_components; none: every slide that has an experiment
//                                            --cards: take the pictures anew and leave what was recorded
//
// Runs the slides' experiments in Chromium at their own settings and keeps what they read in assets/recorded, for
// embeds before their engine has started, for ?runner=recorded, and as each slide's picture in assets/cards. On a
// machine that does nothing else: these are the numbers that others see first.

interface Recorder {
  slides: string[]
  opened: Promise<unknown>
  record(slide: string): Promise<string>
}

const root = process.env['EXPRESSWAY_ROOT'] ?? process.cwd()
/** An Open Graph card: three quarters of the stage. */
const CARD = { viewport: { width: 1600, height: 900 }, deviceScaleFactor: 0.75 }

const server = await createServer({ root, configFile: join(root, 'vite.config.ts'), logLevel: 'warn', server: { port: 0, hmr: false, watch: null } })
await server.listen()
const site = server.resolvedUrls!.local[0]!
// A graphics card where there is one: the software adapter that tests use would be the slower engine.
const browser = await chromium.launch({ executablePath: findChromium(), args: chromiumArgs('hardware') })
try {
  const asked = process.argv.slice(2).filter((word) => word !== '--cards')
  const slides = await recordings(browser, asked, !process.argv.includes('--cards'))
  await cards(browser, slides)
} finally {
  await browser.close()
  await server.close()
}

async function recordings(browser: Browser, asked: readonly string[], anew: boolean): Promise<string[]> {
  const page = await browser.newPage()
  page.on('pageerror', (error) => console.error(error.message))
  await page.goto(new URL('scripts/record-page/', site).href)
  await page.waitForFunction(() => 'recorder' in window, undefined, { timeout: 120_000 })
  const all = await page.evaluate(() => (window as unknown as { recorder: Recorder }).recorder.slides)
  const slides = asked.length === 0 ? all : asked.map((name) => {
    const slide = all.find((id) => id === name || Number.parseInt(id, 10) === Number(name))
    if (!slide) throw new Error(`There is no experiment of slide ${name}; there are ${all.join(', ')}.`)
    return slide
  })
  if (!anew) return slides
  await page.evaluate(() => (window as unknown as { recorder: Recorder }).recorder.opened)
  mkdirSync(join(root, 'assets/recorded'), { recursive: true })
  for (const slide of slides) {
    const began = performance.now()
    const text = await page.evaluate((id) => (window as unknown as { recorder: Recorder }).recorder.record(id), slide).catch((error: unknown) => {
      console.error(`${slide} could not be recorded: ${(error as Error).message.split('\n', 1)[0]}`)
      process.exitCode = 1
    })
    if (text === undefined) continue
    const bytes = Buffer.from(text, 'base64')
    writeFileSync(join(root, 'assets/recorded', `${slide}.bin`), bytes)
    console.log(`${slide.padEnd(30)} ${(bytes.length / 1024).toFixed(0).padStart(6)} KB ${((performance.now() - began) / 1000).toFixed(1).padStart(7)} s`)
  }
  await page.close()
  return slides
}

async function cards(browser: Browser, slides: readonly string[]): Promise<void> {
  mkdirSync(join(root, 'assets/cards'), { recursive: true })
  for (const slide of slides) {
    const page = await browser.newPage({ ...CARD, reducedMotion: 'reduce' })
    await page.goto(`${site}?runner=recorded#/${slide}`)
    // One that was never recorded has no picture yet: the cover's stands for it.
    const drawn = await page.locator(`section[id="${slide}"][data-ready="true"]`).waitFor({ state: 'attached', timeout: 30_000 }).then(() => true, () => false)
    if (!drawn) {
      console.error(`${slide} drew nothing: no picture`)
      await page.close()
      continue
    }
    await page.evaluate(() => document.fonts.ready)
    await page.waitForTimeout(1500)
    await page.screenshot({ path: join(root, 'assets/cards', `${slide}.jpg`), type: 'jpeg', quality: 82 })
    await page.close()
  }
}
