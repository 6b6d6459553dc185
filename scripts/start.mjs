// npm start [-- --no-open] [-- --port N]
//
// From a fresh clone to the running deck: installs, builds, serves, opens a browser.

import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { installPackages, node, requireNode, root } from './setup.mjs'

/** What the built deck is made of. */
const SOURCES = ['index.html', 'vite.config.ts', 'svelte.config.js', 'package-lock.json', 'assets', 'components', 'engine', 'slides', 'theme', 'scripts/wasm.mjs']
const STAMP = join(root, 'node_modules/.cache/expressway/built')
const DEFAULT_PORT = 4173

const { open, port } = options(process.argv.slice(2))
requireNode()
installPackages()
buildIfStale()
await serve()

/** @param {string[]} args */
function options(args) {
  let open = true
  let port = DEFAULT_PORT
  for (let i = 0; i < args.length; i++) {
    if (args[i] === '--no-open') open = false
    else if (args[i] === '--port' && Number(args[i + 1]) > 0 && Number(args[i + 1]) < 65536) port = Number(args[++i])
    else {
      console.error(`npm start: ${args[i]} is not understood; there are --no-open and --port N`)
      process.exit(2)
    }
  }
  return { open, port }
}

function buildIfStale() {
  const now = fingerprint()
  const built = existsSync(join(root, 'dist/index.html')) && existsSync(STAMP) ? readFileSync(STAMP, 'utf8') : undefined
  if (built === now) return
  console.log('Building the deck …')
  for (const step of [['scripts/wasm.mjs'], ['node_modules/vite/bin/vite.js', 'build', '--logLevel', 'warn']]) {
    if (node(step).status === 0) continue
    console.error(`The deck could not be built: node ${step.join(' ')} failed, its message is above.`)
    process.exit(1)
  }
  mkdirSync(dirname(STAMP), { recursive: true })
  writeFileSync(STAMP, now)
}

/** Changes whenever a source is added, edited or taken away. */
function fingerprint() {
  const hash = createHash('sha256')
  const made = new Set(['engine/runner/wasm/build']) // from sources that are counted already
  const visit = (/** @type {string} */ path) => {
    const info = statSync(join(root, path), { throwIfNoEntry: false })
    if (!info || made.has(path)) return
    if (info.isDirectory()) for (const name of readdirSync(join(root, path)).sort()) visit(`${path}/${name}`)
    else hash.update(`${path}\0${info.size}\0${info.mtimeMs}\n`)
  }
  for (const source of SOURCES) visit(source)
  return hash.digest('hex')
}

async function serve() {
  const { preview } = await import('vite')
  // Cross-origin isolation headers come with vite.config.ts. A taken port moves on to the next free one.
  const server = await preview({ root, configFile: join(root, 'vite.config.ts'), logLevel: 'warn', preview: { port, strictPort: false } })
  const url = server.resolvedUrls?.local[0] ?? `http://localhost:${port}/`
  console.log(`\n  Token Expressway   ${url}\n\n  Ctrl+C stops it.`)
  if (open && !process.env['CI']) openBrowser(url)
}

/** Opens the page where there is a desktop to open it on. @param {string} url */
function openBrowser(url) {
  const { platform, env } = process
  if (platform === 'linux' && !env['DISPLAY'] && !env['WAYLAND_DISPLAY']) return
  const [command, ...args] = platform === 'darwin' ? ['open', url] : platform === 'win32' ? ['cmd', '/c', 'start', '', url] : ['xdg-open', url]
  // The address is on the terminal already: a desktop without an opener is no error.
  spawn(/** @type {string} */ (command), args, { stdio: 'ignore', detached: true }).on('error', () => {}).unref()
}
