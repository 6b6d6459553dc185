import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { extname, join } from 'node:path'
import type { Page } from 'playwright'
import { afterAll } from 'vitest'
import { deck as slides } from '$slides/deck'
import { expect, slideReady, test } from './harness'

const TYPES: Record<string, string> = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.json': 'application/json', '.wasm': 'application/wasm', '.svg': 'image/svg+xml', '.webmanifest': 'application/manifest+json' }
const closing: (() => unknown)[] = []
afterAll(async () => { for (const close of closing) await close() })

/** The plainest host there is, under a path, as GitHub Pages: no headers, no fallback. `cut` ends it. */
async function plainHost(folder: string): Promise<{ site: string; cut(): Promise<void> }> {
  const server: Server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url!, 'http://loopback').pathname)
    const file = join(folder, path.replace(/^\/talk\//, '').replace(/(^|\/)$/, '$1index.html'))
    if (!path.startsWith('/talk/') || !existsSync(file)) response.writeHead(404).end()
    else response.writeHead(200, { 'Content-Type': TYPES[extname(file)] ?? 'application/octet-stream' }).end(readFileSync(file))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const cut = () => new Promise<void>((resolve) => {
    server.closeAllConnections()
    server.close(() => resolve())
  })
  closing.push(() => server.listening && cut())
  return { site: `http://127.0.0.1:${(server.address() as AddressInfo).port}/talk/`, cut }
}

/** Until everything is stored and the page is served from the store. */
async function stored(page: Page): Promise<void> {
  await expect.poll(() => page.evaluate(async () => (await navigator.serviceWorker.getRegistration())?.active?.state), { timeout: 90_000 }).toBe('activated')
  await expect.poll(() => page.evaluate(() => navigator.serviceWorker.controller !== null)).toBe(true)
}

test('after one visit all slides are there with the server gone, and the engine runs with its model', async ({ deck }) => {
  const { site, cut } = await plainHost('dist')
  const page = await deck.open(`${site}?runner=recorded`, { firstVisit: true, serviceWorkers: 'allow' })
  await slideReady(page, '00_cover')
  await stored(page)
  await cut()
  const refused: string[] = []
  page.context().on('requestfailed', (request) => refused.push(request.url()))
  // Slides that were never fetched, in the window of the first visit.
  await page.evaluate(() => { location.hash = '/05_latency_components' })
  await slideReady(page, '05_latency_components')
  await page.reload()
  expect(await page.evaluate(() => crossOriginIsolated)).toBe(true)
  for (const { id, headline } of slides) {
    await page.evaluate((slide) => { location.hash = `/${slide}` }, id)
    if (existsSync(`assets/recorded/${id}.bin`)) await slideReady(page, id, 30_000)
    else await page.locator(`section[id="${id}"]`).getByText(headline).first().waitFor({ state: 'attached', timeout: 30_000 })
  }
  // Another window, the engine of this device, weights from the store.
  const live = await page.context().newPage()
  await live.goto(`${site}?runner=wasm&5.prompt=16&5.output=8#/05_latency_components`)
  await live.locator('section[id="05_latency_components"] [data-run="done"]').waitFor({ state: 'attached', timeout: 100_000 })
  expect(await live.locator('section[id="05_latency_components"] [data-metric="ttft"]').first().getAttribute('data-how')).toBe('measured')
  // Whether there is a newer version is all that is asked of the network.
  expect(refused.filter((url) => !url.endsWith('/sw.js'))).toEqual([])
  expect(deck.trouble.errors.filter((text) => !text.includes('ERR_CONNECTION_REFUSED'))).toEqual([])
})

test('a newer version waits until somebody asks for it', async ({ deck }) => {
  const folder = mkdtempSync(join(tmpdir(), 'expressway-site-'))
  closing.push(() => rmSync(folder, { recursive: true, force: true }))
  cpSync('dist', folder, { recursive: true })
  // A small deck to store: without the larger models.
  const slim = (text: string) => text.replace(/\{url:`assets\/models\/tales-(5m|moe|1m|1m-distilled)\/[^}]*\},?|\{"url":"assets\/models\/tales-(?:5m|moe|1m|1m-distilled)\/[^}]*\},?/g, '')
  const worker = readFileSync(join(folder, 'sw.js'), 'utf8')
  writeFileSync(join(folder, 'sw.js'), slim(worker))
  const { site } = await plainHost(folder)
  const page = await deck.open(`${site}?runner=recorded`, { firstVisit: true, serviceWorkers: 'allow' })
  await slideReady(page, '00_cover')
  await stored(page)
  expect(await page.title()).toBe('Token Expressway')

  const html = readFileSync(join(folder, 'index.html'), 'utf8').replace('<title>Token Expressway</title>', '<title>Token Expressway, next edition</title>')
  writeFileSync(join(folder, 'index.html'), html)
  const revision = /url:[`"]index\.html[`"],revision:[`"]([0-9a-f]+)[`"]/.exec(worker)?.[1] ?? /"url":"index\.html","revision":"([0-9a-f]+)"/.exec(worker)![1]!
  writeFileSync(join(folder, 'sw.js'), slim(worker).replace(revision, '0123456789abcdef'))
  await page.reload()
  await expect.poll(() => page.evaluate(async () => (await navigator.serviceWorker.getRegistration())?.waiting?.state), { timeout: 60_000 }).toBe('installed')
  // Stored, but nothing changes: not by going on, not by loading again.
  await page.reload()
  expect(await page.title()).toBe('Token Expressway')
  await page.getByRole('button', { name: 'Use it' }).click()
  await expect.poll(() => page.title(), { timeout: 30_000 }).toBe('Token Expressway, next edition')
})
