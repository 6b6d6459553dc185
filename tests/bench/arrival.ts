// Time from arriving at a slide to its first reading, live and recorded, in the built deck (`npm run build`):
//
//     node scripts/run.mjs tests/bench/arrival.ts [live|recorded]
//
// The device has been measured before, as on any visit but the first; each slide is an address opened anew.

import { readdirSync, existsSync } from 'node:fs'
import { chromium } from 'playwright'
import { servePage } from '$engine/cli/page-server'
import { chromiumArgs, findChromium } from '../../scripts/chromium.mjs'

/** What a reader waits for at most, ms. */
const GOALS = { live: 4000, recorded: 2000 }

const asked = process.argv[2]
const modes = (Object.keys(GOALS) as (keyof typeof GOALS)[]).filter((mode) => asked === undefined || asked === mode)
if (modes.length === 0) throw new Error(`arrival: "${asked}" is neither live nor recorded`)

const server = await servePage('dist', {})
const browser = await chromium.launch({ executablePath: findChromium(), args: chromiumArgs() })
const context = await browser.newContext({ viewport: { width: 1600, height: 900 } })
const slides = readdirSync('slides').filter((id) => existsSync(`slides/${id}/experiment.ts`))

/** From the address to the first reading, ms; undefined: none within half a minute. */
async function arrive(query: string, id: string): Promise<number | undefined> {
  const page = await context.newPage()
  const start = performance.now()
  await page.goto(`${server.url}${query}#/${id}`)
  const there = await page.locator(`section[id="${id}"][data-ready="true"]`).waitFor({ state: 'attached', timeout: 30_000 }).then(() => performance.now() - start, () => undefined)
  await page.close()
  return there
}

await arrive('', '00_cover')
for (const mode of modes) {
  const rows: { slide: string; seconds: string; kept: string }[] = []
  for (const id of slides) {
    const ms = await arrive(mode === 'recorded' ? '?runner=recorded' : '', id)
    rows.push({ slide: id, seconds: ms === undefined ? 'none in 30' : (ms / 1000).toFixed(2), kept: ms !== undefined && ms <= GOALS[mode] ? 'yes' : 'no' })
  }
  console.log(`\nArrival to first reading, ${mode}; goal ${GOALS[mode] / 1000} s: ${rows.filter((r) => r.kept === 'yes').length} of ${rows.length} kept it`)
  console.table(rows)
}
await browser.close()
await server.close()
