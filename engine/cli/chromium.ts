import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Page } from 'playwright'
import { chromiumArgs } from '../../scripts/chromium.mjs'
import type { Job, JobResult } from './job'
import type { JobFolders } from './run-job'
import type { PageApi } from './page/main'
import { ROOT } from './place'
import { servePage, type ModelFolders } from './page-server'

declare const expressway: PageApi

/** A busy machine may take its time over a browser. */
const LAUNCH_TIMEOUT_MS = 120_000

/** Does a job in a headless Chromium on the models in `folders`. Rejects with the page's own words. */
export async function executeInChromium<J extends Job>(job: J, { target, draft }: JobFolders, executablePath: string): Promise<JobResult<J>> {
  return withPage({ source: join(ROOT, 'engine/cli/page'), models: draft === undefined ? { target } : { target, draft }, executablePath }, async (page) => {
    const answer = await page.evaluate((j) => expressway.execute(j), job as Job)
    if ('error' in answer) throw new Error(answer.error)
    return answer.result as JobResult<J>
  })
}

export interface PageOptions {
  /** Folder with the page's index.html. */
  source: string
  models: ModelFolders
  executablePath: string
}

/**
 * Builds a page, serves it with models and opens it in a headless Chromium that has a WebGPU adapter: the
 * graphics card's where there is one, else Chromium's software adapter. All of it is gone afterwards.
 * Rejects when no adapter answers.
 */
export async function withPage<T>({ source, models, executablePath }: PageOptions, use: (page: Page) => Promise<T>): Promise<T> {
  const built = await buildPage(source)
  const server = await servePage(built, models)
  try {
    const { chromium } = await import('playwright')
    for (const gpu of hasGraphicsCard() ? (['hardware', 'software'] as const) : (['software'] as const)) {
      const browser = await chromium.launch({ executablePath, args: chromiumArgs(gpu), timeout: LAUNCH_TIMEOUT_MS })
      try {
        const page = await browser.newPage()
        await page.goto(server.url)
        if (await page.evaluate(async () => !!(await navigator.gpu?.requestAdapter()))) return await use(page)
      } finally {
        await browser.close()
      }
    }
    throw new Error('Chromium offers no WebGPU adapter on this machine, not even its software one; use --runner wasm')
  } finally {
    await server.close()
    rmSync(built, { recursive: true, force: true })
  }
}

/** Linux says so in /dev; other systems nearly always have one, and starting the browser twice is harmless. */
function hasGraphicsCard(): boolean {
  if (process.platform !== 'linux') return true
  const names = existsSync('/dev') ? readdirSync('/dev') : []
  return names.some((name) => /^nvidia\d/.test(name)) || (existsSync('/dev/dri') && readdirSync('/dev/dri').some((name) => name.startsWith('renderD')))
}

/** The page with the engine in it, built into a folder of its own. */
async function buildPage(source: string): Promise<string> {
  const { build } = await import('vite')
  const cache = join(ROOT, 'node_modules/.cache/expressway')
  mkdirSync(cache, { recursive: true })
  const outDir = mkdtempSync(join(cache, 'page-'))
  await build({
    root: source,
    configFile: false,
    logLevel: 'error',
    base: './',
    resolve: { alias: { $engine: join(ROOT, 'engine') } },
    assetsInclude: ['**/*.wasm'],
    worker: { format: 'es' },
    build: { outDir, emptyOutDir: false, target: 'esnext', reportCompressedSize: false },
  })
  return outDir
}
