import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, inject } from 'vitest'
import { servePage } from '$engine/cli/page-server'
import { expect, slideReady, test } from './harness'

const COVER = '00_cover'
const MODEL_FILES = ['config.json', 'tokenizer.json', 'model.safetensors']
const closing: (() => Promise<unknown>)[] = []
afterAll(() => Promise.all(closing.map((close) => close())))

test('page and scripts are served cross-origin isolated', async ({ deck }) => {
  const page = await deck.open()
  expect(await page.evaluate(() => crossOriginIsolated)).toBe(true)
  const response = await fetch(deck.site)
  expect(Object.fromEntries(response.headers)).toMatchObject({
    'cross-origin-opener-policy': 'same-origin', 'cross-origin-embedder-policy': 'require-corp', 'cross-origin-resource-policy': 'cross-origin',
  })
})

test.each(MODEL_FILES)('%s of the default model is at its stable address, byte for byte', async (file) => {
  const response = await fetch(new URL(`assets/models/tales-5m/${file}`, inject('site')))
  expect(response.status).toBe(200)
  expect(Buffer.from(await response.arrayBuffer()).equals(readFileSync(`assets/models/tales-5m/${file}`))).toBe(true)
})

test('the first visit draws the cover, without an error and without asking any other server', async ({ deck }) => {
  const page = await deck.open('', { firstVisit: true })
  await slideReady(page, COVER, 180_000)
  expect(deck.trouble).toEqual({ errors: [], strangers: [] })
})

test('the built site works under any path, on a server that knows nothing of isolation', async ({ deck }) => {
  const inner = await servePage('dist', {})
  closing.push(() => inner.close())
  const outer = await underPath('/talks/2026/latency/', inner.url)
  const page = await deck.open(`${outer}?runner=wasm`)
  expect(await page.evaluate(() => crossOriginIsolated)).toBe(false)
  await slideReady(page, COVER, 180_000)
  expect(deck.trouble.errors).toEqual([])
})

/** The site at `origin`, under `path`, with the plainest of headers. */
async function underPath(path: string, origin: string): Promise<string> {
  const server: Server = createServer((request, response) => {
    void (async () => {
      if (!request.url?.startsWith(path)) return response.writeHead(404).end()
      const inner = await fetch(new URL(request.url.slice(path.length), origin))
      response.writeHead(inner.status, { 'Content-Type': inner.headers.get('content-type') ?? 'application/octet-stream' })
      return response.end(Buffer.from(await inner.arrayBuffer()))
    })()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closing.push(() => new Promise((resolve) => {
    server.closeAllConnections()
    server.close(resolve)
  }))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`
}
