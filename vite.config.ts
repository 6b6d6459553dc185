import { svelte } from '@sveltejs/vite-plugin-svelte'
import { playwright } from '@vitest/browser-playwright'
import { cpSync, existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Connect, Plugin } from 'vite'
import { defineConfig } from 'vitest/config'
import { chromiumArgs, findChromium } from './scripts/chromium.mjs'
import { embedInputs, embedPages } from './scripts/embed-pages.ts'
import { offlineDeck } from './scripts/offline.ts'
import { relaxedSimdSwitches } from './scripts/relaxed-simd.mjs'
import { buildWasm } from './scripts/wasm.mjs'

const root = fileURLToPath(new URL('.', import.meta.url))

/**
 * Cross-origin isolation (threads, a clock of 5 µs instead of 100) on every answer of every server
 * that Vite starts: dev, preview and the one behind the browser tests.
 */
function isolated(): Plugin {
  const headers: Connect.NextHandleFunction = (_request, response, next) => {
    response.setHeader('Cross-Origin-Opener-Policy', 'same-origin')
    response.setHeader('Cross-Origin-Embedder-Policy', 'require-corp')
    response.setHeader('Cross-Origin-Resource-Policy', 'cross-origin')
    next()
  }
  return {
    name: 'expressway:isolated',
    enforce: 'pre',
    configureServer: (server) => void server.middlewares.use(headers),
    configurePreviewServer: (server) => void server.middlewares.use(headers),
  }
}

/** The WebAssembly kernels are imported as files: they are compiled before anybody looks for them. */
function kernels(): Plugin {
  return {
    name: 'expressway:kernels',
    async buildStart() {
      await buildWasm()
    },
  }
}

/** Models, recorded machines and cards keep their names: SITE/assets/models/NAME/FILE, in dev (straight from the tree) and in dist alike. */
function models(): Plugin {
  let outDir: string | undefined
  return {
    name: 'expressway:models',
    apply: (_config, { command, isSsrBuild }) => command === 'build' && !isSsrBuild,
    configResolved: (config) => void (outDir = resolve(config.root, config.build.outDir)),
    writeBundle() {
      for (const folder of ['assets/models', 'assets/profiles', 'assets/cards']) {
        const from = join(root, folder)
        if (outDir && existsSync(from)) cpSync(from, join(outDir, folder), { recursive: true })
      }
    },
  }
}

export default defineConfig({
  root,
  // Relative addresses: the built site works under any path.
  base: './',
  // What is not there is a 404, not the deck's page under another name.
  appType: 'mpa',
  plugins: [isolated(), kernels(), svelte(), models(), embedPages(root), offlineDeck(root)],
  resolve: {
    alias: Object.fromEntries(['assets', 'components', 'engine', 'slides', 'theme'].map((name) => [`$${name}`, join(root, name)])),
  },
  assetsInclude: ['**/*.wasm'],
  worker: { format: 'es', rolldownOptions: { checks: { bundlerTimings: false } } },
  server: { watch: { ignored: ['**/dist/**', '**/.cache/**', '**/tests/e2e/results/**', '**/*.py', '**/*.pt'] } },
  // Anybody's page may load embed.js, and a sandboxed frame the rest of it: what is served is the same for everyone.
  preview: { cors: { origin: '*' } },
  build: {
    target: 'esnext',
    rolldownOptions: { input: { index: join(root, 'index.html'), gallery: join(root, 'gallery/index.html'), ...embedInputs(root) }, checks: { bundlerTimings: false } },
  },
  test: {
    projects: [
      {
        extends: true,
        test: {
          name: 'node',
          setupFiles: ['tests/support/fast-check.ts'],
          include: ['tests/unit/**/*.test.ts'],
          environment: 'node',
          pool: 'forks',
          execArgv: relaxedSimdSwitches(),
          // Generous: a busy machine is no fault of the code, and a real hang still ends.
          testTimeout: 180_000,
        },
      },
      {
        extends: true,
        // Known beforehand: a dependency found half-way reloads the page under the tests.
        optimizeDeps: { include: ['axe-core', 'comlink', 'katex', 'lucide', 'three', 'three/examples/jsm/utils/BufferGeometryUtils.js'] },
        test: {
          name: 'gpu',
          include: ['tests/gpu/**/*.test.ts'],
          testTimeout: 120_000,
          // Files take turns: a software adapter's threads are the same cores that other files would measure on.
          fileParallelism: false,
          browser: {
            enabled: true,
            headless: true,
            screenshotFailures: false,
            // Pictures that are compared are the same on every machine: they carry no machine's name.
            expect: { toMatchScreenshot: { resolveScreenshotPath: ({ arg, ext, testFileName }) => join(root, 'tests/fixtures/pictures', testFileName.replace(/\.test\.ts$/, ''), `${arg}${ext}`) } },
            provider: playwright({ launchOptions: { executablePath: process.env['VITEST'] ? findChromium() : undefined, args: chromiumArgs() } }),
            instances: [{ browser: 'chromium' }],
          },
        },
      },
      {
        extends: true,
        test: {
          name: 'e2e',
          include: ['tests/e2e/**/*.test.ts'],
          environment: 'node',
          globalSetup: ['tests/e2e/serve.ts'],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          expect: { poll: { timeout: 15_000 } },
          fileParallelism: false,
        },
      },
    ],
  },
})
