import AxeBuilder from '@axe-core/playwright'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { expect, PHONE, test, WIDE } from './harness'

const dist = (path: string) => readFileSync(join('dist', path))

/** A page's own scripts and all that they import before anything is drawn, as files under dist. */
function initialScripts(page: string): string[] {
  const found = new Set<string>()
  const add = (file: string) => {
    if (found.has(file)) return
    found.add(file)
    const text = dist(file).toString()
    // Static imports alone: import("…") comes later.
    for (const [, from] of text.matchAll(/(?:^|[;}\s])(?:import|export)\s*(?:[\w*{}\s,$]+from\s*)?["'](\.[^"']+\.js)["']/g)) add(join(file, '..', from!))
  }
  for (const [, src] of dist(page).toString().matchAll(/<script[^>]*\ssrc="([^"]+)"/g)) add(join(page, '..', src!))
  return [...found]
}

test('the deck starts with at most 200 KB of script; three.js and KaTeX come when they are needed', () => {
  const files = initialScripts('index.html')
  expect(files.length).toBeGreaterThan(0)
  const bytes = files.reduce((sum, f) => sum + gzipSync(dist(f)).length, 0)
  expect(bytes / 1000, files.join(', ')).toBeLessThanOrEqual(200)
  const text = files.map((f) => dist(f).toString()).join('\n')
  expect(text).not.toMatch(/WebGLRenderer/)
  expect(text).not.toMatch(/KaTeX parse error/)
})

test.for([
  ['light', WIDE],
  ['dark', PHONE],
] as const)('the gallery is a page of the site, every component drawn, without a serious accessibility fault: %s', async ([theme, viewport], { deck }) => {
  const page = await deck.open(`gallery/?theme=${theme}`, { viewport })
  await page.locator('main h1').waitFor()
  await page.locator('math').first().waitFor({ state: 'attached' })
  expect(await page.locator('html').getAttribute('data-theme')).toBe(theme)
  expect(await page.locator('figure.chart').count()).toBeGreaterThan(20)
  const { violations } = await new AxeBuilder({ page }).analyze()
  const serious = violations.filter((v) => v.impact === 'serious' || v.impact === 'critical')
  expect(serious.map((v) => `${v.id}: ${v.nodes.map((n) => n.html.slice(0, 160)).join(' | ')}`)).toEqual([])
  expect(deck.trouble).toEqual({ errors: [], strangers: [] })
})

// The stage is laid out at 1600 × 900 and scaled as a whole; nothing may stick out of it, whatever the screen.
test.for([[1280, 720], [1920, 1080], [3840, 2160]] as const)('a slide fits a screen of %d × %d', async ([width, height], { deck }) => {
  const page = await deck.open('#/14_speedups', { viewport: { width, height } })
  await page.locator('section[id="14_speedups"] .frame').waitFor()
  await page.evaluate(() => document.fonts.ready)
  const frame = (await page.locator('section[id="14_speedups"] .frame').boundingBox())!
  expect(frame.width).toBeCloseTo(width, -1)
  expect(frame.height).toBeCloseTo(height, -1)
  expect(await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.scrollHeight])).toEqual([width, height])
})
