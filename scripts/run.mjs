// node scripts/run.mjs ENTRY.ts [arguments …]
//
// Runs a TypeScript program of this repository in Node: Vite bundles it (so ?raw, ?url and the path
// aliases mean what they mean in the page), a second Node runs the bundle with the switches it needs.
// Standard output, standard input and the exit code are the program's own.

import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { relaxedSimdSwitches } from './relaxed-simd.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const [entry, ...args] = process.argv.slice(2)
if (!entry) {
  console.error('usage: node scripts/run.mjs ENTRY.ts [arguments …]')
  process.exit(2)
}

// A folder of its own for each run: two runs at once must not see each other's halves. It lies in
// node_modules so that the bundle finds the packages.
const cache = join(root, 'node_modules/.cache/expressway')
mkdirSync(cache, { recursive: true })
const out = mkdtempSync(join(cache, 'run-'))
process.on('exit', () => rmSync(out, { recursive: true, force: true }))

try {
  await bundle(resolve(entry), out)
} catch (error) {
  console.error(`${entry} could not be bundled: ${error instanceof Error ? error.message : error}`)
  process.exit(1)
}

const child = spawn(process.execPath, [...relaxedSimdSwitches(), '--enable-source-maps', join(out, 'main.mjs'), ...args], {
  stdio: 'inherit',
  env: { ...process.env, EXPRESSWAY_ROOT: root },
})
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) process.on(signal, () => child.kill(signal))
child.on('error', (error) => {
  console.error(`${basename(entry)} could not be started: ${error.message}`)
  process.exit(1)
})
child.on('exit', (code, signal) => process.exit(code ?? (signal ? 130 : 1)))

/**
 * @param {string} file
 * @param {string} outDir
 */
async function bundle(file, outDir) {
  const { build } = await import('vite')
  await build({
    root,
    configFile: join(root, 'vite.config.ts'),
    logLevel: 'error',
    build: {
      ssr: file, outDir, emptyOutDir: false, minify: false, sourcemap: true, reportCompressedSize: false, target: 'node20',
      rolldownOptions: { input: file, output: { format: 'es', entryFileNames: 'main.mjs' } },
    },
  })
}
