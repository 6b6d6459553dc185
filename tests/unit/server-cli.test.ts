import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readTraceFile } from '$engine/serving/trace-files'
import { perRequest } from '$engine/trace/metrics'
import type { Trace } from '$engine/trace/trace'
import { writeModelFolder } from '../support/model-folder'

const KEY = 'key-5-that-stands-nowhere'

interface Running {
  child: ChildProcessWithoutNullStreams
  out: () => string
  err: () => string
  ended: Promise<number | null>
}

/** The command as a user's shell starts it. */
function start(...args: string[]): Running {
  const child = spawn(process.execPath, ['scripts/run.mjs', 'engine/cli/main.ts', ...args], { env: { ...process.env, THE_KEY: KEY } })
  let out = ''
  let err = ''
  child.stdout.on('data', (d: Buffer) => (out += d.toString()))
  child.stderr.on('data', (d: Buffer) => (err += d.toString()))
  return { child, out: () => out, err: () => err, ended: new Promise((resolve) => child.on('exit', resolve)) }
}

const said = async (of: Running, what: () => boolean) => {
  while (!what() && of.child.exitCode === null) await new Promise((r) => setTimeout(r, 20))
  if (!what()) throw new Error(`it ended: ${of.err()}`)
}

let root = ''
let server: Running
let url = ''
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'expressway-server-'))
  writeModelFolder(join(root, 'tiny'))
  server = start('serve', '--model', join(root, 'tiny'), '--port', '0', '--api-key-env', 'THE_KEY', '--kv-blocks', '512', '--max-num-seqs', '4', '--trace', join(root, 'server.json'), '--json')
  await said(server, () => server.out().includes('\n'))
  url = (JSON.parse(server.out()) as { url: string }).url
})
afterAll(async () => {
  server.child.kill('SIGTERM')
  await server.ended
  rmSync(root, { recursive: true, force: true })
})

const scenario = (name: string, json: object) => {
  const file = join(root, `${name}.json`)
  writeFileSync(file, JSON.stringify({ version: 1, seed: 1, warmup: 0, input: { dist: 'uniform', mean: 40 }, output: { dist: 'uniform', mean: 10 }, ...json }))
  return file
}
const load = (name: string, file: string, ...more: string[]) => start('load', '--endpoint', url, '--scenario', file, '--out', join(root, name), '--api-key-env', 'THE_KEY', '--json', ...more)

test('serve is loaded, and what it wrote is read by fit: limits and all', async () => {
  const run = load('first', scenario('first', { requests: 30, arrivals: { process: 'poisson', rate: 60 } }), '--max-requests', '30', '--max-rate', '200', '--max-seconds', '60', '--perfetto')
  expect(await run.ended, run.err()).toBe(0)
  const result = JSON.parse(run.out()) as { completed: number; failed: number; prompts: { how: string }; server: { kind: string; outputTokens: number }; client: { lag_ms: { p99: number } } }
  expect(result).toMatchObject({ completed: 30, failed: 0, prompts: { how: 'exact' }, server: { kind: 'vllm' } })
  const trace = JSON.parse(readFileSync(join(root, 'first.trace.json'), 'utf8')) as Trace
  expect(perRequest(trace)).toHaveLength(30)
  expect(trace.server!.outputTokens).toBe(perRequest(trace).reduce((n, m) => n + m.outputTokens, 0))
  for (const [file, kind] of [['first.vllm.json', 'vllm-bench-json'], ['first.requests.jsonl', 'request-log-jsonl']] as const) expect(readTraceFile(readFileSync(join(root, file), 'utf8')).kind).toBe(kind)
  expect((JSON.parse(readFileSync(join(root, 'first.meta.json'), 'utf8')) as object)).toMatchObject({ engine_kwargs: { max_num_seqs: 4, max_num_batched_tokens: 512 }, kv_cache: { num_gpu_blocks: 512, block_size: 16 } })
  expect((JSON.parse(readFileSync(join(root, 'first.perfetto.json'), 'utf8')) as { traceEvents: unknown[] }).traceEvents.length).toBeGreaterThan(30)
  const fit = start('fit', join(root, 'first.requests.jsonl'), '--json')
  expect(await fit.ended, fit.err()).toBe(0)
  expect(JSON.parse(fit.out())).toMatchObject({ requests: 30, steps: { kind: 'affine' }, scheduler: { max_sequences: 4, kv_blocks: 511 } })
})

test('without bounds nothing is sent; a rate above the bound neither', async () => {
  const before = (await (await fetch(`${url}/metrics`)).text()).match(/time_to_first_token_seconds_count\S* (\d+)/)![1]
  const file = scenario('many', { requests: 1000, arrivals: { process: 'poisson', rate: 100 } })
  const unbounded = load('many', file)
  expect(await unbounded.ended).toBe(2)
  expect(unbounded.err()).toContain('--max-requests, --max-rate and --max-seconds')
  const fast = load('many', file, '--max-requests', '100', '--max-rate', '10', '--max-seconds', '10')
  expect(await fast.ended).toBe(2)
  expect(fast.err()).toMatch(/--max-rate 10: the scenario sends [\d.]+ requests a second/)
  expect((await (await fetch(`${url}/metrics`)).text()).match(/time_to_first_token_seconds_count\S* (\d+)/)![1]).toBe(before)
})

test('a run that is cut off keeps what it has, by Ctrl-C and by a kill', async () => {
  const file = scenario('long', { requests: 5000, arrivals: { process: 'poisson', rate: 20 } })
  const answered = (name: string) => (existsSync(join(root, `${name}.requests.jsonl`)) ? readFileSync(join(root, `${name}.requests.jsonl`), 'utf8').split('\n').length - 1 : 0)
  const drained = load('drained', file, '--yes')
  await said(drained, () => answered('drained') >= 5)
  drained.child.kill('SIGINT')
  expect(await drained.ended, drained.err()).toBe(0)
  const result = JSON.parse(drained.out()) as { completed: number; failed: number; ended: string }
  expect(result).toMatchObject({ failed: 0, ended: 'SIGINT' })
  expect(result.completed).toBe(answered('drained'))
  expect(perRequest(JSON.parse(readFileSync(join(root, 'drained.trace.json'), 'utf8')) as Trace)).toHaveLength(result.completed)

  const killed = load('killed', file, '--yes')
  await said(killed, () => answered('killed') >= 5)
  // The program itself, not who started it.
  killed.child.kill('SIGKILL')
  await killed.ended
  expect(readTraceFile(readFileSync(join(root, 'killed.requests.jsonl'), 'utf8')).requests.length).toBeGreaterThanOrEqual(5)
})

test('a wrong key, nobody there, no such model: sentences, and the key stands nowhere', async () => {
  const file = scenario('few', { requests: 3, arrivals: { process: 'poisson', rate: 50 } })
  const anonymous = start('load', '--endpoint', url, '--scenario', file, '--out', join(root, 'few'), '--yes')
  expect(await anonymous.ended).toBe(1)
  expect(anonymous.err()).toContain('HTTP 401')
  const nobody = start('load', '--endpoint', 'http://127.0.0.1:1', '--scenario', file, '--out', join(root, 'few'), '--yes', '--api-key-env', 'THE_KEY')
  expect(await nobody.ended).toBe(1)
  expect(nobody.err()).toContain('http://127.0.0.1:1 cannot be asked')
  const other = load('few', file, '--yes', '--model', 'other')
  expect(await other.ended).toBe(1)
  expect(other.err()).toMatch(/no request was answered: 3 × status/)
  expect(readFileSync(join(root, 'few.failures.jsonl'), 'utf8')).toContain('HTTP 404')
  const all = ['first', 'few', 'drained'].flatMap((name) => ['trace.json', 'vllm.json', 'requests.jsonl', 'failures.jsonl', 'meta.json', 'perfetto.json'].map((end) => join(root, `${name}.${end}`)).filter((f) => existsSync(f)))
  expect(all.length).toBeGreaterThan(10)
  for (const f of all) expect(readFileSync(f, 'utf8'), f).not.toContain(KEY)
  for (const r of [anonymous, nobody, other, server]) expect(r.out() + r.err()).not.toContain(KEY)
})

test('serve ends when it is told to, answers who is inside, and writes its Trace', async () => {
  const answer = await fetch(`${url}/v1/completions`, { method: 'POST', headers: { 'content-type': 'application/json', authorization: `Bearer ${KEY}` }, body: JSON.stringify({ prompt: 'The wolf', max_tokens: 150, ignore_eos: true, stream: true }) })
  server.child.kill('SIGTERM')
  expect((await answer.text()).endsWith('data: [DONE]\n\n')).toBe(true)
  expect(await server.ended, server.err()).toBe(0)
  const trace = JSON.parse(readFileSync(join(root, 'server.json'), 'utf8')) as Trace
  expect(perRequest(trace).length).toBeGreaterThan(30)
  expect(trace.requests.some((r) => r.name?.startsWith('load-'))).toBe(true)
})
