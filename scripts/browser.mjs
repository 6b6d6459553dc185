import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { chromiumArgs, chromiums } from './chromium.mjs'
import { root } from './setup.mjs'

/**
 * A browser that starts: an installed one, else Playwright's (downloaded now if need be), else the
 * distribution's package where it may be installed. Undefined when all of that fails; `say` has then
 * been told why.
 *
 * @param {(line: string) => void} say
 * @returns {Promise<{ path: string, from: string, version: string } | undefined>}
 */
export async function provideBrowser(say) {
  const ways = [
    { make: () => true, from: undefined },
    { make: downloadFromPlaywright, from: 'downloaded by Playwright' },
    { make: installPackage, from: "the distribution's package" },
  ]
  for (const { make, from } of ways) {
    if (!make(say)) continue
    for (const candidate of chromiums()) {
      const version = await versionOf(candidate.path, say)
      if (version) return { path: candidate.path, from: from ?? candidate.from, version }
    }
  }
  say('No browser: install Chrome or Chromium, or set CHROME_PATH to one.')
  return undefined
}

/**
 * Starts it and asks. @param {string} executablePath @param {(line: string) => void} say
 * @returns {Promise<string | undefined>}
 */
async function versionOf(executablePath, say) {
  const { chromium } = await import('playwright')
  try {
    const browser = await chromium.launch({ executablePath, args: chromiumArgs(), timeout: 120_000 })
    const version = browser.version()
    await browser.close()
    return version
  } catch (error) {
    say(`${executablePath} does not start: ${String(error instanceof Error ? error.message : error).split('\n')[0]}`)
    return undefined
  }
}

/** @param {(line: string) => void} say */
function downloadFromPlaywright(say) {
  say('No installed Chrome or Chromium: downloading the one of Playwright …')
  const cli = join(root, 'node_modules/playwright/cli.js')
  const run = (/** @type {string[]} */ args) => spawnSync(process.execPath, [cli, ...args], {
    encoding: 'utf8', timeout: 5 * 60_000, env: { ...process.env, PLAYWRIGHT_DOWNLOAD_CONNECTION_TIMEOUT: '15000' },
  })
  const { status, stdout, stderr } = run(['install', '--no-shell', 'chromium'])
  if (status !== 0) {
    say(`That did not work: ${(stdout + stderr).split('\n').find((line) => /error/i.test(line)) ?? 'it took too long'}`)
    return false
  }
  // Its libraries: best effort, a browser that lacks some says so when it is started.
  if (process.platform === 'linux' && process.getuid?.() === 0) run(['install-deps', 'chromium'])
  return true
}

/** @param {(line: string) => void} say */
function installPackage(say) {
  if (process.platform !== 'linux') return false
  const sudo = process.getuid?.() === 0 ? [] : ['sudo', '-n']
  const run = (/** @type {string[]} */ ...args) => {
    const [command, ...rest] = [...sudo, ...args]
    return spawnSync(/** @type {string} */ (command), rest, { stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } }).status === 0
  }
  if (!run('apt-get', '--version')) {
    say('No right to install packages with apt-get here.')
    return false
  }
  say('Installing the package chromium …')
  run('apt-get', 'update', '-q') // one unreachable source must not stop the others
  return run('apt-get', 'install', '-y', '-q', '--no-install-recommends', 'chromium')
}
