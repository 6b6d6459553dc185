// node scripts/run.mjs tests/bench/webgpu-kernels.ts [tales-5m | 24e6] …
//
// Where the webgpu runner's time goes, kernel by kernel, in a headless Chromium on the best adapter it offers.

import { join } from 'node:path'
import { withPage } from '$engine/cli/chromium'
import { ROOT } from '$engine/cli/place'
import { findChromium } from '../../scripts/chromium.mjs'
import type { WebGpuBenchPage } from './webgpu-page/main'

declare const webgpuBench: WebGpuBenchPage

const models = process.argv.slice(2)
if (models.length === 0) models.push('tales-5m')
const executablePath = findChromium()
if (!executablePath) throw new Error('no Chrome or Chromium was found; CHROME_PATH may name one')
const folders = Object.fromEntries(models.filter((m) => !(Number(m) > 0)).map((m) => [m, join(ROOT, 'assets/models', m)]))

await withPage({ source: join(ROOT, 'tests/bench/webgpu-page'), models: folders, executablePath }, async (page) => {
  for (const model of models) {
    const { device, rows } = await page.evaluate((m) => webgpuBench.run(m), model)
    console.log(`\n${model} on ${device}`)
    const cell = (x: number | undefined) => (x === undefined ? '' : x.toPrecision(3)).padStart(10)
    console.log(['step'.padEnd(16), 'what'.padEnd(34), 'dispatches', '        ms', '   GFLOP/s', '      GB/s'].join('  '))
    for (const r of rows) console.log([r.step.padEnd(16), r.what.padEnd(34), String(r.dispatches).padStart(10), cell(r.ms), cell(r.gflops), cell(r.gbps)].join('  '))
  }
})
