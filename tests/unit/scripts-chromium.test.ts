import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { chromiumArgs, chromiums, findChromium } from '../../scripts/chromium.mjs'

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'expressway-browsers-'))
  vi.stubEnv('CHROME_PATH', '')
  vi.stubEnv('PLAYWRIGHT_BROWSERS_PATH', join(folder, 'none'))
})
afterEach(() => {
  vi.unstubAllEnvs()
  rmSync(folder, { recursive: true, force: true })
})

function program(name: string, mode = 0o755): string {
  const path = join(folder, name)
  writeFileSync(path, '#!/bin/sh\n')
  chmodSync(path, mode)
  return path
}

test('CHROME_PATH comes first, and alone', () => {
  const named = program('my-browser')
  program('chromium')
  vi.stubEnv('PATH', folder)
  vi.stubEnv('CHROME_PATH', named)
  expect(chromiums()).toEqual([{ path: named, from: 'CHROME_PATH' }])
})

test('a CHROME_PATH that cannot be run is an error that names it, not a silent other choice', () => {
  vi.stubEnv('CHROME_PATH', join(folder, 'nowhere'))
  expect(() => findChromium()).toThrow(/CHROME_PATH is .*nowhere/)
})

test('the PATH is searched in order of preference, and what cannot be run is passed over', () => {
  program('google-chrome', 0o644)
  const chromium = program('chromium')
  vi.stubEnv('PATH', folder)
  expect(findChromium()).toBe(chromium)
})

test('tests take the software adapter unless told otherwise', () => {
  vi.stubEnv('EXPRESSWAY_GPU', '')
  expect(chromiumArgs()).toContain('--use-webgpu-adapter=swiftshader')
  vi.stubEnv('EXPRESSWAY_GPU', 'hardware')
  expect(chromiumArgs()).not.toContain('--use-webgpu-adapter=swiftshader')
})
