import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'

let folder = ''
beforeAll(() => {
  // Inside the repository, so that the test files in it find vitest.
  mkdirSync('.cache', { recursive: true })
  folder = mkdtempSync(resolve('.cache/counting-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** What the reporter of `npm test` counts in these test files, and vitest's own exit code. */
function count(name: string, files: Record<string, string>) {
  const root = join(folder, name)
  mkdirSync(root)
  writeFileSync(join(root, 'vitest.config.mjs'), 'export default {}')
  for (const [file, text] of Object.entries(files)) writeFileSync(join(root, file), `import { describe, expect, test, beforeAll } from 'vitest'\n${text}`)
  const counts = join(root, 'counts.json')
  const { status } = spawnSync(process.execPath, [
    resolve('node_modules/vitest/vitest.mjs'), 'run', '--root', root, '--reporter', resolve('scripts/count-reporter.mjs'),
  ], { encoding: 'utf8', env: { ...process.env, EXPRESSWAY_COUNTS: counts, VITEST: '', NODE_OPTIONS: '' } })
  return { status, counts: JSON.parse(readFileSync(counts, 'utf8')) as { passed: number; failed: number; skipped: { name: string; note: string }[]; reasons: string[] } }
}

test('passed, failed and skipped tests are told apart, and skips keep name and reason', () => {
  const { status, counts } = count('mixed', {
    'a.test.mjs': `
      test('one', () => {})
      test.each([1, 2])('each %i', (n) => expect(n).toBe(1))
      console.warn('SKIPPED: data.json is not there')
      test.skipIf(true)('absent data', () => {})
      test('no device', ({ skip }) => skip('there is no device'))`,
  })
  expect(status).toBe(1)
  expect(counts).toEqual({
    passed: 2,
    failed: 1,
    skipped: [{ name: 'a.test.mjs: absent data', note: '' }, { name: 'a.test.mjs: no device', note: 'there is no device' }],
    reasons: ['data.json is not there'],
  })
})

test('what breaks outside a test counts as failed', () => {
  expect(count('import', { 'a.test.mjs': `import './nowhere.mjs'\ntest('never reached', () => {})` }).counts.failed).toBe(1)
  expect(count('hook', { 'a.test.mjs': `describe('group', () => { beforeAll(() => { throw new Error('no') }); test('x', () => {}) })` }).counts.failed).toBeGreaterThanOrEqual(1)
  const late = count('late', { 'a.test.mjs': `test('fine', () => { setTimeout(() => { throw new Error('later') }, 0) })\ntest('waits', () => new Promise((done) => setTimeout(done, 50)))` })
  expect(late).toMatchObject({ status: 1, counts: { passed: 2, failed: 1 } })
})

test('a stage that does not exist is refused by name', () => {
  const { status, stderr } = spawnSync(process.execPath, ['scripts/test.mjs', 'levitate'], { encoding: 'utf8' })
  expect(status).toBe(2)
  expect(stderr).toContain('levitate')
})
