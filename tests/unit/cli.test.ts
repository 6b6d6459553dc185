import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { findChromium } from '../../scripts/chromium.mjs'
import { writeModelFolder } from '../support/model-folder'

/** The command as a user's shell sees it. */
function expressway(...args: string[]): { code: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['scripts/run.mjs', 'engine/cli/main.ts', ...args], { encoding: 'utf8' })
  return { code: status, out: stdout, err: stderr }
}

let root = ''
let tiny = ''
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'expressway-cli-'))
  tiny = join(root, 'tiny')
  writeModelFolder(tiny)
})
afterAll(() => rmSync(root, { recursive: true, force: true }))

test('generate --json prints one JSON object and nothing else', () => {
  const { code, out, err } = expressway('generate', '--model', tiny, '--prompt', 'Once', '--max-tokens', '5', '--runner', 'reference', '--json')
  expect(err).toBe('')
  expect(code).toBe(0)
  const result = JSON.parse(out) as Record<string, unknown>
  expect(result).toMatchObject({ runner: 'reference', model: 'tiny', prompt_ids: [80, 111, 100, 102], drafted: 0, accepted: 0 })
  expect(result['ttft_ms']).toBeGreaterThan(0)
})

test('generate --trace writes steps and the request for Perfetto, as long as the figures say', () => {
  const file = join(root, 'generate.trace.json')
  const { out } = expressway('generate', '--model', tiny, '--prompt', 'Once', '--max-tokens', '5', '--runner', 'reference', '--trace', file, '--json')
  const result = JSON.parse(out) as { token_ids: number[]; target_steps: number; e2e_ms: number; ttft_ms: number; trace?: unknown }
  expect(result.trace).toBeUndefined()
  const { traceEvents } = JSON.parse(readFileSync(file, 'utf8')) as { traceEvents: { name: string; ph: string; ts: number; dur: number }[] }
  const steps = traceEvents.filter((e) => e.ph === 'X' && e.name.startsWith('step of'))
  expect(steps.length).toBe(result.target_steps)
  const decode = traceEvents.find((e) => e.ph === 'X' && e.name === 'decode')!
  expect(decode.dur / 1000).toBeCloseTo(result.e2e_ms - result.ttft_ms, 3)
})

test('wasm and reference continue the same prompt with the same ids', () => {
  const ids = (runner: string) => {
    const { out, err } = expressway('generate', '--model', tiny, '--prompt', 'The wolf', '--max-tokens', '24', '--runner', runner, '--json')
    expect(err).toBe('')
    return (JSON.parse(out) as { token_ids: number[] }).token_ids
  }
  expect(ids('wasm')).toEqual(ids('reference'))
})

test('webgpu, in a browser, continues it with the same ids, and counts its dispatches', ({ skip }) => {
  if (!findChromium()) {
    console.warn('SKIPPED: no Chrome or Chromium is installed; the webgpu runner of the command line was not tried')
    skip('no Chrome or Chromium is installed')
  }
  const run = (runner: string) => {
    const { out, err } = expressway('generate', '--model', tiny, '--prompt', 'The wolf', '--max-tokens', '24', '--runner', runner, '--json')
    expect(err).toBe('')
    return JSON.parse(out) as { token_ids: number[]; dispatches?: number; runner: string }
  }
  const webgpu = run('webgpu')
  expect(webgpu.runner).toBe('webgpu')
  expect(webgpu.token_ids).toEqual(run('reference').token_ids)
  expect(webgpu.dispatches).toBeGreaterThan(webgpu.token_ids.length)
})

test('score --json tells tokens, nats per token and bits per byte', () => {
  const text = join(root, 'tale.txt')
  writeFileSync(text, 'There was once a miller who was poor.')
  const { code, out } = expressway('score', '--model', tiny, '--text', text, '--json')
  expect(code).toBe(0)
  const result = JSON.parse(out) as { tokens: number; nll_per_token: number; bits_per_byte: number }
  expect(result.tokens).toBe(37)
  expect(result.bits_per_byte).toBeCloseTo(result.nll_per_token / Math.LN2, 9) // a byte a token
})

test('a truncated weights file is an error that names the file', () => {
  const folder = join(root, 'truncated')
  writeModelFolder(folder)
  const file = join(folder, 'model.safetensors')
  truncateSync(file, readFileSync(file).length - 100)
  const { code, out, err } = expressway('generate', '--model', folder, '--prompt', 'x', '--json')
  expect(code).toBe(1)
  expect(out).toBe('')
  expect(err).toMatch(/truncated\/model\.safetensors: tensor .* truncated or damaged/)
})

test('in the browser, too, a missing file is told in the same words', ({ skip }) => {
  if (!findChromium()) {
    console.warn('SKIPPED: no Chrome or Chromium is installed; errors of its page were not looked at')
    skip('no Chrome or Chromium is installed')
  }
  const folder = join(root, 'incomplete')
  writeModelFolder(folder)
  rmSync(join(folder, 'model.safetensors'))
  const { code, out, err } = expressway('generate', '--model', folder, '--prompt', 'x', '--runner', 'webgpu', '--json')
  expect({ code, out }).toEqual({ code: 1, out: '' })
  expect(err).toContain('incomplete/model.safetensors could not be read: there is no such file')
})

test('what is not understood goes to standard error with exit code 2', () => {
  expect(expressway('generate', '--frobnicate', '--json')).toMatchObject({ code: 2, out: '', err: expect.stringContaining('--frobnicate') as string })
  expect(expressway('levitate')).toMatchObject({ code: 2, out: '', err: expect.stringContaining('levitate') as string })
})
