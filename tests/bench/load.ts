import { existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { cpus } from 'node:os'
import { dirname, extname, join, resolve } from 'node:path'
import { gzipSync } from 'node:zlib'
import { chromium } from 'playwright'
import { chromiumArgs, findChromium } from '../../scripts/chromium.mjs'

// npm run build && node scripts/run.mjs tests/bench/load.ts [--json]
//
// How soon a first visit sees something, with a cold cache and no network to speak of: the first slide's headline drawn (goal
// 1.5 s), a slide whose controls answer (goal 2.5 s), an embed with its recording; and what must be fetched for it, gzip.

const ROUNDS = 5
const root = process.env['EXPRESSWAY_ROOT'] ?? process.cwd()
const dist = join(root, 'dist')
if (!existsSync(join(dist, 'index.html'))) throw new Error('dist/index.html is missing: npm run build makes it')

const TYPES: Record<string, string> = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.json': 'application/json', '.wasm': 'application/wasm' }
const server = createServer((request, response) => {
  const file = join(dist, decodeURIComponent(new URL(request.url!, 'http://loopback').pathname).replace(/\/$/, '/index.html'))
  if (!existsSync(file)) response.writeHead(404).end()
  else response.writeHead(200, { 'Content-Type': TYPES[extname(file)] ?? 'application/octet-stream', 'Cache-Control': 'no-store' }).end(readFileSync(file))
})
await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
const site = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`

/** Pages, and what on them is waited for. */
const WAITS = [
  ['first slide drawn', '', '.present h1, section.present h1'],
  ['slide 05 interactive', '#/05_latency_components', 'section[id="05_latency_components"] input[name=batch]'],
  ['embed interactive', 'embed/05_latency_components/', 'input[name=batch]'],
  ['embed shows its recording', 'embed/05_latency_components/', 'section[data-ready="true"]'],
] as const

const browser = await chromium.launch({ executablePath: findChromium(), args: chromiumArgs() })
const times: { what: string; median_ms: number; worst_ms: number }[] = []
for (const [what, path, selector] of WAITS) {
  const all: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const context = await browser.newContext({ viewport: { width: 1600, height: 900 }, serviceWorkers: 'block' })
    const page = await context.newPage()
    const began = performance.now()
    await page.goto(site + path, { waitUntil: 'commit' })
    await page.locator(selector).first().waitFor({ timeout: 60_000 })
    all.push(performance.now() - began)
    await context.close()
  }
  all.sort((a, b) => a - b)
  times.push({ what, median_ms: Math.round(all[Math.floor(ROUNDS / 2)]!), worst_ms: Math.round(all.at(-1)!) })
}
await browser.close()
server.close()

/** Scripts that a page loads before anything is on it, KB gzip. */
function scriptsOf(page: string): number {
  const seen = new Set<string>()
  const add = (file: string) => {
    if (seen.has(file)) return
    seen.add(file)
    for (const [, path] of readFileSync(file, 'utf8').matchAll(/(?:import|from)\s*["'](\.[^"']+\.js)["']/g)) add(resolve(dirname(file), path!))
  }
  for (const [, src] of readFileSync(join(dist, page), 'utf8').matchAll(/<script[^>]* src="([^"]+)"/g)) add(resolve(dirname(join(dist, page)), src!))
  return Math.round([...seen].reduce((sum, file) => sum + gzipSync(readFileSync(file), { level: 9 }).length, 0) / 102.4) / 10
}
const scripts = { deck_kb: scriptsOf('index.html'), embed_kb: scriptsOf('embed/05_latency_components/index.html'), embed_js_kb: Math.round(gzipSync(readFileSync(join(dist, 'embed.js'))).length / 102.4) / 10 }

if (process.argv.includes('--json')) console.log(JSON.stringify({ cpu: cpus()[0]?.model, cores: cpus().length, times, scripts }, null, 2))
else {
  console.log(`${cpus()[0]?.model.trim()}, ${cpus().length} cores, cold cache, ${ROUNDS} visits each\n`)
  for (const t of times) console.log(`${t.what.padEnd(28)}median ${String(t.median_ms).padStart(6)} ms   worst ${String(t.worst_ms).padStart(6)} ms`)
  console.log(`\nfirst scripts, gzip: deck ${scripts.deck_kb} KB, embed ${scripts.embed_kb} KB (goal 120), embed.js ${scripts.embed_js_kb} KB`)
}
