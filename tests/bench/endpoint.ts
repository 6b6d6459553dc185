// node scripts/run.mjs tests/bench/endpoint.ts [streams]
//
// Two questions to the load generator, on this machine and two cores of it:
// how late it is itself while it holds so many streams open (a stand-in server sends each a token every 50 ms), and how
// far what it sees of `expressway serve` is from what that server's own Trace says.

import { spawn, type ChildProcess } from 'node:child_process'
import { setMaxListeners } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { ClientTrace } from '$engine/endpoint/client-trace'
import { clientLag } from '$engine/endpoint/gap'
import { load } from '$engine/endpoint/load'
import { promptMaker } from '$engine/endpoint/prompts'
import { undiciTransport } from '$engine/endpoint/undici'
import { MonotonicClock } from '$engine/server/clock'
import { requestSource } from '$engine/serving/requests'
import { parseScenario } from '$engine/serving/scenario'
import { percentile, perRequest } from '$engine/trace/metrics'
import type { Trace } from '$engine/trace/trace'

const ms = (x: number) => `${x.toFixed(2)} ms`

/** Sends a token every 50 ms, as many as asked for, to everybody: one timer for all. */
const STAND_IN = `
const http = require('node:http')
const streams = new Set()
http.createServer((q, r) => {
  let body = ''
  q.on('data', (d) => (body += d))
  q.on('end', () => {
    if (q.url !== '/v1/completions') return r.writeHead(404).end()
    r.writeHead(200, { 'content-type': 'text/event-stream' })
    const s = { r, left: JSON.parse(body).max_tokens }
    streams.add(s)
    r.on('close', () => streams.delete(s))
  })
}).listen(0, '127.0.0.1', function () { console.log('http://127.0.0.1:' + this.address().port) })
let turn = 0
setInterval(() => {
  // A tenth of the streams each 5 ms: servers do not send to everybody at once either.
  turn = (turn + 1) % 10
  let i = 0
  for (const s of streams) {
    if (i++ % 10 !== turn) continue
    s.left--
    s.r.write('data: {"choices":[{"index":0,"text":" a","finish_reason":' + (s.left ? 'null' : '"length"') + '}]}\\n\\n')
    if (s.left === 0) { streams.delete(s); s.r.end('data: [DONE]\\n\\n') }
  }
}, 5)
`

async function firstLine(child: ChildProcess): Promise<string> {
  let text = ''
  for await (const part of child.stdout!) if ((text += String(part)).includes('\n')) return text.split('\n')[0]!
  throw new Error('it ended without a word')
}

async function run(url: string, model: string, json: object): Promise<{ trace: Trace; mostOpen: number; loopP99: number; cores: number }> {
  const s = parseScenario({ version: 1, seed: 1, warmup: 0, steps: { kind: 'affine' }, ...json })
  const transport = undiciTransport(url)
  const stop = new AbortController()
  setMaxListeners(0, stop.signal)
  const prompts = await promptMaker({ transport, base: '', api: 'completions', model, headers: {}, seed: 1, prefixTokens: 16, signal: stop.signal })
  const gathered = new ClientTrace(url, model)
  const loop = monitorEventLoopDelay({ resolution: 1 })
  loop.enable()
  const begin = { cpu: process.cpuUsage(), at: performance.now() }
  const { mostOpen } = await load({
    transport, base: '', api: 'completions', model, source: requestSource(s, s.requests, undefined, () => {}), until: Infinity, prompts, clock: new MonotonicClock(), temperature: 0, exactOutput: true,
    run: 'bench', drain: new AbortController().signal, stop: stop.signal, onEnd: (record, out) => gathered.add(record, out),
  })
  loop.disable()
  const { user, system } = process.cpuUsage(begin.cpu)
  await transport.close()
  return { trace: gathered.trace(), mostOpen, loopP99: loop.percentile(99) / 1e6 - 1, cores: (user + system) / 1000 / (performance.now() - begin.at) }
}

const streams = Number(process.argv[2] ?? 1000)
const standIn = spawn(process.execPath, ['-e', STAND_IN], { stdio: ['ignore', 'pipe', 'inherit'] })
try {
  // All have come after 10 s, and each goes on for 15: they are all there together for a while.
  const { trace, mostOpen, loopP99, cores } = await run(await firstLine(standIn), 'any', { requests: streams, arrivals: { process: 'deterministic', rate: streams / 10 }, input: { dist: 'fixed', mean: 32 }, output: { dist: 'fixed', mean: 300 } })
  const lag = clientLag(trace)!
  const failed = trace.events.filter((e) => e.kind === 'failed')
  console.log(`${mostOpen} streams held at once, ${failed.length} failed; late by p99 ${ms(lag.p99)}, at most ${ms(lag.max)}; event loop p99 ${ms(loopP99)} (aim: under 5 ms); the generator took ${(100 * cores).toFixed(0)} % of a core`)
  if (failed[0]) console.log(`  ${failed[0].reason}`)
} finally {
  standIn.kill()
}

const root = mkdtempSync(join(tmpdir(), 'expressway-bench-'))
const server = spawn(process.execPath, ['scripts/run.mjs', 'engine/cli/main.ts', 'serve', '--model', 'tales-5m', '--port', '0', '--json', '--trace', join(root, 'server.json')], { stdio: ['ignore', 'pipe', 'inherit'] })
const ended = new Promise((resolve) => server.on('exit', resolve))
try {
  const { url } = JSON.parse(await firstLine(server)) as { url: string }
  const { trace } = await run(url, 'tales-5m', { requests: 150, arrivals: { process: 'poisson', rate: 10 }, input: { dist: 'lognormal', mean: 64, cv: 0.5 }, output: { dist: 'exponential', mean: 32 } })
  server.kill('SIGTERM')
  await ended
  const own = JSON.parse(readFileSync(join(root, 'server.json'), 'utf8')) as Trace
  const theirs = new Map(perRequest(own).map((m) => [own.requests.find((r) => r.id === m.request)!.name, m]))
  const pairs = perRequest(trace).map((m) => [m, theirs.get(trace.requests.find((r) => r.id === m.request)!.name)!] as const)
  for (const figure of ['ttft', 'tpot'] as const) {
    const both = pairs.flatMap(([a, b]) => (a[figure] !== undefined && b[figure] !== undefined ? [[a[figure], b[figure]] as const] : []))
    const apart = both.map(([a, b]) => a - b)
    const within = both.filter(([a, b]) => Math.abs(a - b) <= 1 || Math.abs(a / b - 1) <= 0.02).length / both.length
    const mean = (i: 0 | 1) => both.reduce((n, x) => n + x[i], 0) / both.length
    console.log(`${figure.toUpperCase()}: client ${ms(mean(0))}, server ${ms(mean(1))} (means); apart p50 ${ms(percentile(apart, 50))}, p99 ${ms(percentile(apart, 99))}; within 1 ms or 2 %: ${(100 * within).toFixed(0)} % of requests`)
  }
} finally {
  server.kill('SIGTERM')
  await ended
  rmSync(root, { recursive: true, force: true })
}
