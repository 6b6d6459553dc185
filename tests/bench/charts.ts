// node scripts/run.mjs tests/bench/charts.ts [--json]
//
// Milliseconds to redraw a chart of 2,000 points, all of them new, at the size of a hero (1080 × 520): script,
// style and layout in a headless Chromium. Held to 8 ms, half a frame.

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { ROOT } from '$engine/cli/place'
import { servePage } from '$engine/cli/page-server'
import { percentile } from '$engine/trace/metrics'
import { chromiumArgs, findChromium } from '../../scripts/chromium.mjs'
import type { ChartsBench } from './charts-page/main'

declare const chartsBench: ChartsBench

const { values: flags } = parseArgs({ options: { json: { type: 'boolean' } } })
const POINTS = 2000
const ROUNDS = 100

const { build } = await import('vite')
const { svelte } = await import('@sveltejs/vite-plugin-svelte')
const { chromium } = await import('playwright')
const cache = join(ROOT, 'node_modules/.cache/expressway')
mkdirSync(cache, { recursive: true })
const outDir = mkdtempSync(join(cache, 'page-'))
await build({
  root: join(ROOT, 'tests/bench/charts-page'),
  configFile: false,
  logLevel: 'error',
  base: './',
  plugins: [svelte({ configFile: join(ROOT, 'svelte.config.js') })],
  resolve: { alias: Object.fromEntries(['assets', 'components', 'engine', 'theme'].map((name) => [`$${name}`, join(ROOT, name)])) },
  build: { outDir, emptyOutDir: false, target: 'esnext', reportCompressedSize: false },
})
const server = await servePage(outDir, {})
const browser = await chromium.launch({ executablePath: findChromium(), args: chromiumArgs(), timeout: 120_000 })
try {
  const page = await browser.newPage({ viewport: { width: 1600, height: 900 } })
  await page.goto(server.url)
  const rows = []
  for (const kind of ['line', 'dots', 'histogram'] as const) {
    const times = await page.evaluate(([k, n, rounds]) => chartsBench.redraws(k, n, rounds), [kind, POINTS, ROUNDS] as const)
    const round = (p: number) => Math.round(percentile(times, p) * 100) / 100
    rows.push({ chart: kind === 'line' ? 'line with band' : kind, points: POINTS, redraw_ms: round(50), redraw_p90_ms: round(90) })
  }
  if (flags.json) console.log(JSON.stringify({ rows }, null, 2))
  else console.table(rows)
} finally {
  await browser.close()
  await server.close()
  rmSync(outDir, { recursive: true, force: true })
}
