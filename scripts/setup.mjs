import { spawnSync } from 'node:child_process'
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('..', import.meta.url))

/** Ends the process with a sentence when this Node is too old for what is installed below. */
export function requireNode() {
  const wanted = /** @type {string} */ (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).engines.node).replace('>=', '')
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  const [needMajor = 0, needMinor = 0] = wanted.split('.').map(Number)
  if (major > needMajor || (major === needMajor && minor >= needMinor)) return
  console.error(`Token Expressway needs Node.js ${wanted} or newer; this is ${process.versions.node}. Get one from https://nodejs.org and run this again.`)
  process.exit(1)
}

/** Installs the packages when node_modules is absent or older than the lock file. Ends the process when that fails. */
export function installPackages() {
  const modified = (/** @type {string} */ file) => statSync(join(root, file), { throwIfNoEntry: false })?.mtimeMs
  const installed = modified('node_modules/.package-lock.json')
  if (installed !== undefined && installed >= (modified('package-lock.json') ?? 0)) return
  console.log(installed === undefined ? 'Installing packages (once) …' : 'Packages have changed: installing …')
  const { status } = npm(['ci', '--no-audit', '--no-fund', '--loglevel=error'])
  if (status === 0) return
  console.error('The packages could not be installed: npm says why above. The first run needs a network connection; later ones do not.')
  process.exit(1)
}

/** Runs a Node program of this repository. @param {string[]} args */
export function node(args, env = {}) {
  return spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit', env: { ...process.env, ...env } })
}

/** @param {string[]} args */
function npm(args) {
  // Under "npm start" npm names itself; that one works on Windows too, where npm is a script.
  const self = process.env['npm_execpath']
  if (self?.endsWith('.js')) return node([self, ...args])
  return spawnSync('npm', args, { cwd: root, stdio: 'inherit', shell: process.platform === 'win32' })
}
