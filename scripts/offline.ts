import { createHash } from 'node:crypto'
import { cpSync, readdirSync, readFileSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { build, type Plugin } from 'vite'

/** Not part of the talk: pictures for link previews, the components' page, what other sites ask for. */
const LEFT_OUT = [/^assets\/cards\//, /^gallery\//, /^embed\.js$/, /^embed\/.*\.json$/, /^sw\.js$/, /^_headers$/, /\.map$/]

const NAMED_BY_CONTENT = /^assets\/[^/]+-[\w-]{8}\.\w+$/

const MANIFEST = {
  name: 'Token Expressway', short_name: 'Expressway', description: 'Where do the milliseconds go? LLM latency, measured while you watch.',
  start_url: './', scope: './', display: 'standalone', background_color: '#0b1220', theme_color: '#0b1220',
  icons: [{ src: 'assets/icon.svg', sizes: 'any', type: 'image/svg+xml' }, { src: 'assets/icon-512.png', sizes: '512x512', type: 'image/png', purpose: 'any' }],
}

/** Netlify and Cloudflare Pages read it. */
const HEADERS = `/*
  Cross-Origin-Opener-Policy: same-origin
  Cross-Origin-Embedder-Policy: require-corp
  Cross-Origin-Resource-Policy: cross-origin
  Access-Control-Allow-Origin: *
`

/** SITE/sw.js, which stores the deck on the first visit (components/offline), and what makes it an app that can be installed. */
export function offlineDeck(root: string): Plugin {
  let outDir = ''
  return {
    name: 'expressway:offline',
    apply: (_config, { command, isSsrBuild }) => command === 'build' && !isSsrBuild,
    configResolved: (config) => void (outDir = resolve(config.root, config.build.outDir)),
    transformIndexHtml: {
      order: 'post',
      handler: (_html, { path }) => (path === '/index.html' ? [
        { tag: 'link', attrs: { rel: 'manifest', href: './manifest.webmanifest' }, injectTo: 'head' },
        { tag: 'meta', attrs: { name: 'theme-color', content: MANIFEST.theme_color }, injectTo: 'head' },
      ] : []),
    },
    generateBundle() {
      this.emitFile({ type: 'asset', fileName: 'manifest.webmanifest', source: `${JSON.stringify(MANIFEST, null, 2)}\n` })
      this.emitFile({ type: 'asset', fileName: '_headers', source: HEADERS })
    },
    // After the files that others write into dist.
    closeBundle: {
      order: 'post',
      sequential: true,
      async handler() {
        for (const icon of ['icon.svg', 'icon-512.png']) cpSync(join(root, 'assets', icon), join(outDir, 'assets', icon))
        await build({
          configFile: false, root, logLevel: 'warn', publicDir: false,
          define: { PRECACHE: JSON.stringify(precache(outDir)), 'process.env.NODE_ENV': '"production"' },
          build: {
            outDir, emptyOutDir: false, target: 'es2022', reportCompressedSize: false,
            rolldownOptions: { input: join(root, 'components/offline/worker.ts'), output: { entryFileNames: 'sw.js', format: 'iife' } },
          },
        })
      },
    },
  }
}

/** Every file of the talk, in the order of their names. */
function precache(folder: string): { url: string; revision: string | null }[] {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((e) => e.isFile()).map((e) => relative(folder, join(e.parentPath, e.name)).replaceAll('\\', '/')).sort()
  return files.filter((url) => !LEFT_OUT.some((pattern) => pattern.test(url))).map((url) => ({
    url,
    revision: NAMED_BY_CONTENT.test(url) ? null : createHash('sha256').update(readFileSync(join(folder, url))).digest('hex').slice(0, 16),
  }))
}
