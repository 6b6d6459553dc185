import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { chromium } from 'playwright'
import { preview } from 'vite'
import type { TestProject } from 'vitest/node'
import { chromiumArgs, findChromium } from '../../scripts/chromium.mjs'

declare module 'vitest' {
  interface ProvidedContext {
    /** Address of the built deck, ending in a slash. */
    site: string
    /** File with the storage of a visitor who has been here before; '' when there is none. */
    visitor: string
  }
}

/** Runners that tests ask for: each is measured once, by the visitor of all tests. */
const MEASURED = ['', '?runner=wasm', '?runner=webgpu']

/** Serves dist, as `npm start` does, while the end-to-end tests run. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const { root } = project.config
  if (!existsSync(join(root, 'dist/index.html'))) throw new Error('dist/index.html is missing: npm run build makes it, npm test -- e2e does both')
  const server = await preview({ root, configFile: join(root, 'vite.config.ts'), logLevel: 'warn', preview: { port: 4320, strictPort: false } })
  const site = server.resolvedUrls!.local[0]!
  project.provide('site', site)
  project.provide('visitor', await visit(site, join(root, 'tests/e2e/results')).catch((error: unknown) => {
    console.warn(`The first visit failed, so every test measures the device for itself: ${error instanceof Error ? error.message : error}`)
    return ''
  }))
  return () => server.close()
}

/** Measures this device as any first visit does, and keeps what the visit stored. */
async function visit(site: string, results: string): Promise<string> {
  const browser = await chromium.launch({ executablePath: findChromium(), args: chromiumArgs(), timeout: 120_000 })
  try {
    const context = await browser.newContext()
    for (const query of MEASURED) {
      const page = await context.newPage()
      await page.goto(new URL(query, site).href)
      await page.locator('section[id="00_cover"][data-ready="true"]').waitFor({ state: 'attached', timeout: 180_000 })
      await page.close()
    }
    mkdirSync(results, { recursive: true })
    const path = join(results, 'visitor.json')
    await context.storageState({ path, indexedDB: true })
    return path
  } finally {
    await browser.close()
  }
}
