import { accessSync, constants, existsSync, readdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'

/** Names under which distributions put Chrome or Chromium on the PATH, in order of preference. */
const NAMES = ['google-chrome-stable', 'google-chrome', 'chrome', 'chromium', 'chromium-browser', 'microsoft-edge']

/** Places of installers that do not touch the PATH. */
function usualPlaces() {
  switch (process.platform) {
    case 'darwin': return ['/Applications', join(homedir(), 'Applications')].flatMap((folder) => [
      join(folder, 'Google Chrome.app/Contents/MacOS/Google Chrome'),
      join(folder, 'Chromium.app/Contents/MacOS/Chromium'),
      join(folder, 'Microsoft Edge.app/Contents/MacOS/Microsoft Edge'),
    ])
    case 'win32': return [process.env['PROGRAMFILES'], process.env['PROGRAMFILES(X86)'], process.env['LOCALAPPDATA']].flatMap((folder) => folder ? [
      join(folder, 'Google/Chrome/Application/chrome.exe'),
      join(folder, 'Chromium/Application/chrome.exe'),
      join(folder, 'Microsoft/Edge/Application/msedge.exe'),
    ] : [])
    default: return ['/opt/google/chrome/chrome', '/usr/lib/chromium/chromium', '/snap/bin/chromium']
  }
}

/** Where Playwright keeps the browsers it downloaded. */
function playwrightFolder() {
  if (process.env['PLAYWRIGHT_BROWSERS_PATH']) return process.env['PLAYWRIGHT_BROWSERS_PATH']
  switch (process.platform) {
    case 'darwin': return join(homedir(), 'Library/Caches/ms-playwright')
    case 'win32': return join(process.env['LOCALAPPDATA'] ?? homedir(), 'ms-playwright')
    default: return join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'ms-playwright')
  }
}

/** Playwright's full Chromium, newest first; its headless shell has no WebGPU. */
function playwrightBrowsers() {
  const folder = playwrightFolder()
  if (!existsSync(folder)) return []
  const revision = (/** @type {string} */ name) => Number(name.slice('chromium-'.length))
  const inside = ['chrome-linux/chrome', 'chrome-linux64/chrome', 'chrome-win/chrome.exe', 'chrome-win64/chrome.exe',
    'chrome-mac/Chromium.app/Contents/MacOS/Chromium', ...['chrome-mac-arm64', 'chrome-mac-x64'].map((folder) => `${folder}/Google Chrome for Testing.app/Contents/MacOS/Google Chrome for Testing`)]
  return readdirSync(folder)
    .filter((name) => /^chromium-\d+$/.test(name))
    .sort((a, b) => revision(b) - revision(a))
    .flatMap((name) => inside.map((path) => join(folder, name, path)))
}

/** @param {string} file */
function executable(file) {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/**
 * Every Chrome or Chromium on this machine, best first: CHROME_PATH (then only that), the PATH, the usual
 * places, what Playwright has downloaded. That a file is there does not mean that it starts. Throws when
 * CHROME_PATH names something that cannot be run.
 *
 * @returns {{ path: string, from: string }[]}
 */
export function chromiums() {
  const named = process.env['CHROME_PATH']
  if (named) {
    if (!executable(named)) throw new Error(`CHROME_PATH is ${named}, which is not an executable file; correct it or unset it`)
    return [{ path: named, from: 'CHROME_PATH' }]
  }
  const suffix = process.platform === 'win32' ? '.exe' : ''
  const onPath = (process.env['PATH'] ?? '').split(delimiter).filter(Boolean)
  return [
    ...NAMES.flatMap((name) => onPath.map((folder) => ({ path: join(folder, name + suffix), from: 'installed' }))),
    ...usualPlaces().map((path) => ({ path, from: 'installed' })),
    ...playwrightBrowsers().map((path) => ({ path, from: 'downloaded by Playwright' })),
  ].filter(({ path }) => executable(path))
}

/** Path of the first of them; undefined when there is none. */
export function findChromium() {
  return chromiums()[0]?.path
}

/**
 * Command-line switches for a browser driven by tests and tools: quiet, no calls home, WebGPU on.
 * `gpu` 'software' takes SwiftShader, which is the same on every machine; 'hardware' takes what is there.
 * The default is EXPRESSWAY_GPU, else 'software'.
 *
 * @param {'software' | 'hardware'} [gpu]
 */
export function chromiumArgs(gpu = process.env['EXPRESSWAY_GPU'] === 'hardware' ? 'hardware' : 'software') {
  const args = [
    '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-quic',
    '--enable-unsafe-webgpu',
  ]
  // Chromium refuses its sandbox to root, and containers lack the namespaces for it.
  if (process.platform === 'linux') args.push('--no-sandbox')
  if (gpu === 'software') args.push('--use-webgpu-adapter=swiftshader')
  else if (process.platform === 'linux') args.push('--enable-features=Vulkan', '--use-angle=vulkan', '--ignore-gpu-blocklist')
  return args
}
