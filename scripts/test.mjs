// npm test [-- STAGE …]
//
// Everything there is to know about whether this works, from a fresh clone: installs what is missing,
// finds or fetches a browser, runs the stages, adds up. The last line is "N passed, N failed".

import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { provideBrowser } from './browser.mjs'
import { installPackages, node, requireNode, root } from './setup.mjs'

/**
 * @typedef {{ passed: number, failed: number, skipped: { name: string, note: string }[], reasons?: string[] }} Counts
 * @typedef {{ name: string, says: string, browser?: boolean, needs?: string[], run(): Counts }} Stage
 */

const VITE = 'node_modules/vite/bin/vite.js'
const VITEST = 'node_modules/vitest/vitest.mjs'
const CACHE = join(root, 'node_modules/.cache/expressway')

/** @type {Stage[]} */
const STAGES = [
  { name: 'wasm', says: 'WebAssembly kernels are built', run: () => preparation(['scripts/wasm.mjs']) },
  { name: 'types', says: 'type check', run: () => check(['node_modules/svelte-check/bin/svelte-check', '--tsconfig', 'tsconfig.json'], ['node_modules/typescript/bin/tsc', '--noEmit']) },
  { name: 'lint', says: 'lint', run: () => check(['node_modules/eslint/bin/eslint.js', '.', '--max-warnings', '0']) },
  { name: 'unit', says: 'unit tests in Node', needs: ['wasm'], run: () => vitest('node') },
  { name: 'gpu', says: 'GPU tests in a browser', needs: ['wasm'], browser: true, run: () => vitest('gpu') },
  { name: 'build', says: 'the deck is built', needs: ['wasm'], run: () => preparation([VITE, 'build', '--logLevel', 'warn']) },
  { name: 'e2e', says: 'end-to-end tests of the built deck', needs: ['wasm', 'build'], browser: true, run: () => vitest('e2e') },
]

requireNode()
installPackages()
mkdirSync(CACHE, { recursive: true })
const stages = chosen(process.argv.slice(2))
const browser = stages.some((s) => s.browser) ? await provideBrowser((line) => console.log(line)) : undefined
if (browser) {
  console.log(`Browser: ${browser.path} (${browser.from}), version ${browser.version}`)
  process.env['CHROME_PATH'] = browser.path
}
report(stages.map((stage) => timed(stage)))

/** The stages asked for and what they need, in order; all when none is named. @param {string[]} names */
function chosen(names) {
  const unknown = names.find((name) => !STAGES.some((s) => s.name === name))
  if (unknown !== undefined) {
    console.error(`npm test: there is no stage ${unknown}; there are ${STAGES.map((s) => s.name).join(', ')}`)
    process.exit(2)
  }
  const wanted = new Set(names.flatMap((name) => [name, ...(STAGES.find((s) => s.name === name)?.needs ?? [])]))
  return names.length ? STAGES.filter((s) => wanted.has(s.name)) : STAGES
}

/** @param {Stage} stage */
function timed(stage) {
  console.log(`\n── ${stage.name}: ${stage.says}`)
  const start = performance.now()
  const counts = stage.browser && !browser ? broken('there is no browser to run it in') : stage.run()
  return { stage, counts, seconds: (performance.now() - start) / 1000 }
}

/** Programs that all must succeed; together one test. @param {string[][]} programs @returns {Counts} */
function check(...programs) {
  const failed = programs.filter((program) => node(program).status !== 0).length
  return { passed: failed ? 0 : 1, failed: failed ? 1 : 0, skipped: [] }
}

/** Not a test; but when it fails, that counts. @param {string[]} program @returns {Counts} */
function preparation(program) {
  return node(program).status === 0 ? { passed: 0, failed: 0, skipped: [] } : broken(`node ${program.join(' ')} failed`)
}

/** One project of vite.config.ts. @param {string} project @returns {Counts} */
function vitest(project) {
  const file = join(CACHE, `counts-${project}.json`)
  rmSync(file, { force: true })
  const { status } = node([VITEST, 'run', '--root', '.', '--project', project, '--reporter', 'default', '--reporter', 'scripts/count-reporter.mjs'], { EXPRESSWAY_COUNTS: file })
  /** @type {Counts} */
  let counts
  try {
    counts = JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return broken('it ended without a result')
  }
  if (counts.passed + counts.failed + counts.skipped.length === 0) return broken('it found no tests')
  return status !== 0 && counts.failed === 0 ? { ...counts, failed: 1 } : counts
}

/** A stage that could not be run is a failure. @param {string} why @returns {Counts} */
function broken(why) {
  console.error(`This stage failed: ${why}.`)
  return { passed: 0, failed: 1, skipped: [] }
}

/** @param {{ stage: Stage, counts: Counts, seconds: number }[]} results */
function report(results) {
  const total = (/** @type {(c: Counts) => number} */ of) => results.reduce((sum, r) => sum + of(r.counts), 0)
  const skipped = results.flatMap((r) => r.counts.skipped)
  if (skipped.length) {
    console.log(`\n!! ${skipped.length} SKIPPED: these were not checked on this machine`)
    for (const { name, note } of skipped) console.log(`!!   ${name}${note ? ` (${note})` : ''}`)
    for (const reason of new Set(results.flatMap((r) => r.counts.reasons ?? []))) console.log(`!! ${reason}`)
  }
  console.log('\nstage   passed  failed  skipped  seconds')
  for (const { stage, counts, seconds } of results) {
    const cells = [counts.passed, counts.failed, counts.skipped.length].map((n, i) => String(n).padStart([6, 6, 7][i] ?? 6))
    console.log(`${stage.name.padEnd(6)}  ${cells.join('  ')}  ${seconds.toFixed(1).padStart(7)}`)
  }
  const failed = total((c) => c.failed)
  console.log(`\n${total((c) => c.passed)} passed, ${failed} failed${skipped.length ? `, ${skipped.length} skipped` : ''}`)
  process.exitCode = failed ? 1 : 0
}
