import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Browser, Page } from 'playwright'
import { chromiumArgs } from '../../scripts/chromium.mjs'
import type { Job, JobResult } from './job'
import type { PageApi } from './page/main'
import { ROOT } from './place'
import { servePage } from './page-server'

declare const expressway: PageApi

/**
 * Does a job in a headless Chromium on the model in `folder`: on the graphics card where there is one,
 * else on Chromium's software adapter. Rejects with the page's own words.
 */
export async function executeInChromium<J extends Job>(job: J, folder: string, executablePath: string): Promise<JobResult<J>> {
  const built = await buildPage()
  const server = await servePage(built, folder)
  try {
    return await withAdapter(executablePath, server.url, async (page) => {
      const answer = await page.evaluate((j) => expressway.execute(j), job as Job)
      if ('error' in answer) throw new Error(answer.error)
      return answer.result as JobResult<J>
    })
  } finally {
    await server.close()
    rmSync(built, { recursive: true, force: true })
  }
}


/** Opens the page with the first adapter that answers, hardware before software. */
async function withAdapter<T>(executablePath: string, url: string, use: (page: Page) => Promise<T>): Promise<T> {
  const { chromium } = await import('playwright')
  for (const gpu of hasGraphicsCard() ? (['hardware', 'software'] as const) : (['software'] as const)) {
    const browser: Browser = await chromium.launch({ executablePath, args: chromiumArgs(gpu) })
    try {
      const page = await browser.newPage()
      await page.goto(url)
      if (await page.evaluate(() => expressway.hasAdapter())) return await use(page)
    } finally {
      await browser.close()
    }
  }
  throw new Error('Chromium offers no WebGPU adapter on this machine, not even its software one; use --runner wasm')
}

/** Linux says so in /dev; other systems nearly always have one, and starting the browser twice is harmless. */
function hasGraphicsCard(): boolean {
  if (process.platform !== 'linux') return true
  const names = existsSync('/dev') ? readdirSync('/dev') : []
  return names.some((name) => /^nvidia\d/.test(name)) || (existsSync('/dev/dri') && readdirSync('/dev/dri').some((name) => name.startsWith('renderD')))
}

/** The page with the engine in it, built into a folder of its own. */
async function buildPage(): Promise<string> {
  const { build } = await import('vite')
  const outDir = mkdtempSync(join(ROOT, 'node_modules/.cache/expressway/page-'))
  await build({
    root: join(ROOT, 'engine/cli/page'),
    configFile: false,
    logLevel: 'error',
    base: './',
    resolve: { alias: { $engine: join(ROOT, 'engine') } },
    worker: { format: 'es' },
    build: { outDir, emptyOutDir: false, target: 'esnext', reportCompressedSize: false },
  })
  return outDir
}
