import { setMaxListeners } from 'node:events'
import { closeSync, openSync, rmSync, writeSync } from 'node:fs'
import { appendFile, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { createInterface } from 'node:readline/promises'
import type { Api } from '../endpoint/answer'
import type { Outcome } from '../endpoint/ask'
import { ClientTrace, tokenTimes } from '../endpoint/client-trace'
import { clientLag, gaps, type Gap } from '../endpoint/gap'
import { load } from '../endpoint/load'
import { promptMaker, type PromptMaker } from '../endpoint/prompts'
import { engineLimits, Scraper } from '../endpoint/server-view'
import { fetchText, parseEndpoint, type Transport } from '../endpoint/transport'
import { undiciTransport } from '../endpoint/undici'
import { MonotonicClock } from '../server/clock'
import { prefixTokens, requestSource } from '../serving/requests'
import { parseScenario, ScenarioError, type Scenario } from '../serving/scenario'
import type { LoggedRequest } from '../serving/trace-files'
import { percentile, summarize, toVllmJson } from '../trace/metrics'
import { toPerfetto } from '../trace/perfetto'
import type { RequestRecord, ServerView, Trace } from '../trace/trace'
import { outputPath, userPath } from './place'
import { readScenarioTrace, readText } from './scenario-files'
import { numeric, oneOf, parseFlags, required, UsageError, type Flags } from './usage'

export const help = `expressway load --endpoint URL --scenario FILE.json --out NAME [options]

Loads somebody's server (vLLM, SGLang, any that speaks OpenAI's protocol; "expressway serve") with a
scenario's requests, and writes what its clients saw. Open loop: a request is sent when its time comes,
whether or not earlier ones were answered, and its latency counts from that time.

Of the scenario, arrivals, input, output, max_tokens, prefixes, seed, requests and warmup are used (all
requests are sent and kept; files it names are looked for beside it). What it says of a server is for
"simulate"; steps may be left out.

  --model NAME          as the server calls it (default: the one that /v1/models lists)
  --api WHICH           completions or chat (default completions)
  --api-key-env V       environment variable that holds the key; it is sent to the endpoint's origin
                        alone, and stands in no file and no message
  --max-requests N  --max-rate R  --max-seconds S
                        bounds: at most so many requests, so many a second on average, for so long. All
                        three, or you are asked whether you mean it
  --yes                 I mean it: do not ask
  --temperature T       default 0
  --free-length         let the model end its texts (default: exactly the scenario's output lengths, by
                        vLLM's ignore_eos)
  --cancel SHARE        hang up on this share of the requests after some of their tokens (default 0)
  --timeout S           give up on an answer after so long without a byte (default 120)
  --drain-seconds S     after Ctrl-C, how long those under way may take (default 30); twice: at once
  --no-metrics          do not read /metrics
  --max-num-seqs N  --max-num-batched-tokens N  --kv-blocks N
                        what the server was started with, for "fit", where /metrics does not say
  --perfetto            also write NAME.perfetto.json
  --json                one JSON object on standard output

Writes NAME.trace.json (a Trace), NAME.vllm.json (the JSON of vllm bench serve), NAME.requests.jsonl (a
request log, line by line as requests end: what a crash leaves behind), NAME.failures.jsonl where there
are any, and NAME.meta.json with the server's limits, for "fit NAME.requests.jsonl".
`

const FLAGS = {
  endpoint: { type: 'string' }, scenario: { type: 'string' }, out: { type: 'string' }, model: { type: 'string' }, api: { type: 'string' }, 'api-key-env': { type: 'string' },
  'max-requests': { type: 'string' }, 'max-rate': { type: 'string' }, 'max-seconds': { type: 'string' }, yes: { type: 'boolean' },
  temperature: { type: 'string' }, 'free-length': { type: 'boolean' }, cancel: { type: 'string' }, timeout: { type: 'string' }, 'drain-seconds': { type: 'string' },
  'no-metrics': { type: 'boolean' }, 'max-num-seqs': { type: 'string' }, 'max-num-batched-tokens': { type: 'string' }, 'kv-blocks': { type: 'string' }, perfetto: { type: 'boolean' }, json: { type: 'boolean' },
} as const

/** Keys of a scenario that its clients would feel and that a server cannot be told. */
const NOT_SENT = ['priorities', 'response_cache', 'cascade', 'batch_lane'] as const
/** npm, the shell and scripts/run.mjs each pass a Ctrl-C on: one within this of another is the same one. ms */
const SAME_SIGNAL = 1000
/** A generator that is later than this (p99) is part of what it measures. ms */
const MOST_LAG = 5
const SCRAPE_MS = 1000

export async function main(args: readonly string[]): Promise<void> {
  const flags = parseFlags(args, FLAGS)
  const { origin, base, host } = endpoint(required(flags, 'endpoint', 'the server’s address, such as http://localhost:8000'))
  const path = userPath(required(flags, 'scenario', 'a scenario file'))
  const out = outputPath(required(flags, 'out', 'a name that the files to write begin with').replace(/\.(trace|vllm)?\.?json$/, ''))
  const api = oneOf<Api>(flags, 'api', 'completions', ['completions', 'chat'])
  const key = keyFrom(flags)
  const { scenario, logged } = await readScenario(path)
  const plan = planOf(scenario, logged, flags)
  const timeout = 1000 * numeric(flags, 'timeout', 120, { low: 0.1, high: 86_400, whole: false })
  const drainMs = 1000 * numeric(flags, 'drain-seconds', 30, { low: 0, high: 86_400, whole: false })
  const share = numeric(flags, 'cancel', 0, { low: 0, high: 1, whole: false })
  const temperature = numeric(flags, 'temperature', 0, { low: 0, high: 100, whole: false })

  const transport = undiciTransport(origin)
  const headers: Record<string, string> = key === undefined ? {} : { authorization: `Bearer ${key}` }
  const signals = new Signals(drainMs)
  try {
    await confirm(plan, `${origin}${base}`, flags)
    const model = await modelOf(transport, base, headers, flags['model'] as string | undefined)
    const prompts = await promptMaker({ transport, base, api, model, headers, seed: scenario.seed, prefixTokens: prefixTokens(scenario, logged?.prefixBlock), signal: signals.stop })
    console.error(`Prompts: ${prompts.note}.`)

    // Everybody is drawn anew: the plan looked at them.
    const source = requestSource(scenario, plan.requests, logged?.requests, () => {})
    const clock = new MonotonicClock(process.hrtime.bigint())
    const scraper = flags['no-metrics'] ? undefined : new Scraper({ transport, path: `${base}/metrics`, headers, clock, everyMs: SCRAPE_MS })
    await scraper?.start()
    // Time 0 of the scenario comes when all is ready.
    const started = new ShiftedClock(clock, clock.now() + 50)
    const gathered = new ClientTrace(host, model)
    const log = new Journal(out)
    const progress = { sent: 0, open: 0, mostOpen: 0 }
    const counts = { done: 0, failed: 0 }
    const loop = monitorEventLoopDelay({ resolution: 1 })
    loop.enable()
    const line = setInterval(() => report(started.now(), progress, counts), process.stderr.isTTY ? 1000 : 10_000)
    await load({
      transport, base, api, key, model, source, until: plan.seconds * 1000, prompts, clock: started, temperature, exactOutput: !flags['free-length'],
      timeouts: { firstMs: timeout, idleMs: timeout, totalMs: Math.max(1_800_000, timeout) },
      cancel: share > 0 ? { share, seed: scenario.seed } : undefined, run: `load-${process.pid}`, drain: signals.drain, stop: signals.stop,
      onEnd: (record, outcome) => {
        gathered.add(record, outcome)
        log.add(record, outcome)
        counts[outcome.fault === undefined ? 'done' : 'failed']++
      },
    }, progress)
    clearInterval(line)
    loop.disable()
    if (process.stderr.isTTY) process.stderr.write('\n')
    const server = await scraper?.finish()
    const trace = gathered.trace()
    if (server) trace.server = { ...server, samples: server.samples.map((s) => ({ ...s, t: s.t - started.shift })) }
    const limits = { ...(scraper?.last ? engineLimits(scraper.last) : {}), ...limitsFrom(flags) }
    await writeFiles(out, trace, { host, model, limits, perfetto: Boolean(flags['perfetto']) })
    const result = resultOf(trace, { prompts, mostOpen: progress.mostOpen, loopP99: Math.max(0, loop.percentile(99) / 1e6 - 1), trouble: scraper?.trouble, ended: signals.why, planned: plan.requests })
    if (flags['json']) console.log(JSON.stringify(result))
    else print(result, out)
    if (summarize(trace).completed === 0) throw new Error(`no request was answered${trace.requests.length ? `: ${Object.entries(result.failures).map(([why, n]) => `${n} × ${why}`).join(', ')}` : ''}`)
  } finally {
    signals.forget()
    await transport.close()
  }
}

/** A clock whose 0 is a moment of another's. */
class ShiftedClock {
  constructor(private readonly inner: MonotonicClock, readonly shift: number) {}
  now(): number {
    return this.inner.now() - this.shift
  }
  until(time: number, signal?: AbortSignal): Promise<void> {
    return this.inner.until(time + this.shift, signal)
  }
}

function endpoint(text: string): ReturnType<typeof parseEndpoint> {
  try {
    return parseEndpoint(text)
  } catch (cause) {
    throw new UsageError(`--endpoint: ${(cause as Error).message}`, { cause })
  }
}

/** A key is read from the environment: a command line can be read by everybody on the machine. */
function keyFrom(flags: Flags): string | undefined {
  const variable = flags['api-key-env']
  if (typeof variable !== 'string') return undefined
  const key = process.env[variable]
  if (!key) throw new UsageError(`--api-key-env ${variable}: there is no such environment variable, or it is empty`)
  return key
}

async function readScenario(path: string): Promise<{ scenario: Scenario; logged?: { requests: readonly LoggedRequest[]; prefixBlock?: number } }> {
  const text = await readText(path)
  let json: Record<string, unknown>
  try {
    json = JSON.parse(text) as typeof json
  } catch (cause) {
    throw new Error(`${path} is not JSON: ${(cause as Error).message}`, { cause })
  }
  try {
    // The steps are the server's own: a scenario need not say any.
    const stands = typeof json === 'object' && json !== null && !Array.isArray(json) && json['service'] == null && json['steps'] == null
    const scenario = parseScenario(stands ? { ...json, service: null, steps: { kind: 'affine' } } : json)
    for (const name of NOT_SENT) {
      const value = scenario[name]
      if (Array.isArray(value) ? value.length > 0 : value !== null) console.error(`expressway load: ${name} is not sent: a server of OpenAI's protocol cannot be told`)
    }
    return { scenario, logged: scenario.arrivals.process === 'trace' ? await readScenarioTrace(scenario, dirname(path)) : undefined }
  } catch (cause) {
    if (cause instanceof ScenarioError) throw new Error(`${path}: ${cause.message}`, { cause })
    throw cause
  }
}

/** What will be sent, at most. */
interface Plan {
  requests: number
  seconds: number
  /** req/s on average; null in a closed loop: as fast as answers come. */
  rate: number | null
  users: number | null
  inputTokens: number
  outputTokens: number
  bounded: boolean
}

/** Draws everybody once to see what the scenario comes to, within the bounds. Throws UsageError for a rate above --max-rate. */
function planOf(scenario: Scenario, logged: { requests: readonly LoggedRequest[] } | undefined, flags: Flags): Plan {
  const most = numeric(flags, 'max-requests', Infinity, { low: 1, high: 1e7, whole: true })
  const seconds = numeric(flags, 'max-seconds', Infinity, { low: 0.001, high: 1e7, whole: false })
  const maxRate = numeric(flags, 'max-rate', Infinity, { low: 1e-6, high: 1e6, whole: false })
  const total = Math.min(most, scenario.warmup + scenario.requests, logged?.requests.length ?? Infinity)
  const source = requestSource(scenario, total, logged?.requests, () => {})
  const plan: Plan = { requests: 0, seconds, rate: null, users: source.closed?.users ?? null, inputTokens: 0, outputTokens: 0, bounded: ['max-requests', 'max-seconds', 'max-rate'].every((f) => flags[f] !== undefined) }
  let last = 0
  for (let id = 0; id < total; id++) {
    const at = source.arrivals?.() ?? 0
    if (at > seconds * 1000) break
    const job = source.create(id, at)
    plan.requests++
    plan.inputTokens += job.promptTokens
    plan.outputTokens += job.outputLength
    last = at
  }
  if (plan.requests === 0) throw new UsageError(`--max-seconds ${seconds}: the scenario's first request comes later`)
  if (plan.users === null) {
    plan.rate = last > 0 ? (1000 * plan.requests) / last : Infinity
    if (plan.requests > 1 && plan.rate > maxRate) throw new UsageError(`--max-rate ${maxRate}: the scenario sends ${plan.rate.toPrecision(3)} requests a second on average; lower arrivals.rate, or raise the bound`)
  } else if (maxRate < Infinity && !Number.isFinite(seconds)) throw new UsageError('--max-rate cannot be kept in a closed loop, where users send as soon as they are answered: give --max-requests and --max-seconds, and --yes')
  return plan
}

async function confirm(plan: Plan, url: string, flags: Flags): Promise<void> {
  const how = plan.rate !== null ? `at ${Number.isFinite(plan.rate) ? plan.rate.toPrecision(3) : 'one'} req/s on average` : `by ${plan.users} users in a closed loop`
  const long = Number.isFinite(plan.seconds) ? `, for ${plan.seconds} s at most` : plan.rate !== null && Number.isFinite(plan.rate) ? `, for ${(plan.requests / plan.rate).toFixed(0)} s` : ''
  const what = `${plan.requests} requests to ${url} ${how}${long}: ${plan.inputTokens.toLocaleString('en')} tokens in, ${plan.outputTokens.toLocaleString('en')} out at most`
  console.error(`This sends ${what}.`)
  if (plan.bounded || flags['yes']) return
  if (!process.stdin.isTTY) throw new UsageError('bound it by --max-requests, --max-rate and --max-seconds, or say --yes')
  const ask = createInterface({ input: process.stdin, output: process.stderr })
  const answer = await ask.question('Go on? [y/N] ')
  ask.close()
  if (!/^y(es)?$/i.test(answer.trim())) throw new Error('nothing was sent')
}

async function modelOf(transport: Transport, base: string, headers: Record<string, string>, wanted: string | undefined): Promise<string> {
  if (wanted !== undefined) return wanted
  const { status, text } = await fetchText(transport, { method: 'GET', path: `${base}/v1/models`, headers }, AbortSignal.timeout(30_000)).catch((cause: Error) => {
    throw new Error(`${transport.origin} cannot be asked: ${cause.message}`, { cause })
  })
  const names = status === 200 ? modelNames(text) : []
  if (names.length === 1) return names[0]!
  throw new Error(names.length ? `the server has ${names.length} models: choose by --model ${names.slice(0, 10).join(' | ')}` : `${base}/v1/models says no model (HTTP ${status}): give --model`)
}

function modelNames(text: string): string[] {
  try {
    const { data } = JSON.parse(text) as { data?: { id?: unknown }[] }
    return (data ?? []).flatMap((m) => (typeof m.id === 'string' ? [m.id] : []))
  } catch {
    return []
  }
}

/** Ctrl-C: nobody more is sent and those under way are waited for; a second one, or the end of patience, gives them up. */
class Signals {
  why: string | undefined
  private readonly draining = new AbortController()
  private readonly stopping = new AbortController()
  private first = 0
  private patience: ReturnType<typeof setTimeout> | undefined

  constructor(private readonly drainMs: number) {
    // Every request under way listens.
    setMaxListeners(0, this.stopping.signal)
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, this.hear)
  }

  get drain(): AbortSignal {
    return this.draining.signal
  }

  get stop(): AbortSignal {
    return this.stopping.signal
  }

  forget(): void {
    clearTimeout(this.patience)
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, this.hear)
  }

  private readonly hear = (signal: string): void => {
    if (this.why === undefined) {
      this.why = signal
      this.first = performance.now()
      console.error(`\n${signal}: nobody more is sent; waiting for those under way (${this.drainMs / 1000} s at most)`)
      this.draining.abort()
      this.patience = setTimeout(() => this.stopping.abort(), this.drainMs)
    } else if (performance.now() - this.first > SAME_SIGNAL) this.stopping.abort()
  }
}

/** Writes each request as it ends: a run that is cut off keeps what it has. */
class Journal {
  private readonly file: number
  private failures: number | undefined
  private pending: string[] = []

  constructor(private readonly out: string) {
    this.file = openSync(`${out}.requests.jsonl`, 'w')
    rmSync(`${out}.failures.jsonl`, { force: true }) // an earlier run's would be taken for this one's
    process.on('exit', () => {
      this.flush()
      closeSync(this.file)
    })
  }

  add(record: RequestRecord, outcome: Outcome): void {
    const times = tokenTimes(outcome)
    if (outcome.fault === undefined) {
      const second = (ms: number) => Number((ms / 1000).toFixed(6))
      this.pending.push(JSON.stringify({
        request_id: record.name, input_toks: record.promptTokens, output_toks: times.length, queued_ts: second(record.arrival), scheduled_ts: null,
        first_token_ts: second(times[0]!), last_token_ts: second(times[times.length - 1]!),
      }))
      // A line or two at a time would be a system call a request; what is lost in a crash is less than a second's.
      if (this.pending.length === 1) setTimeout(() => this.flush(), 200).unref()
    } else {
      this.failures ??= openSync(`${this.out}.failures.jsonl`, 'w')
      writeSync(this.failures, `${JSON.stringify({ request_id: record.name, arrival_ms: record.arrival, fault: outcome.fault, reason: outcome.reason, tokens: times.length })}\n`)
    }
  }

  private flush(): void {
    if (this.pending.length === 0) return
    writeSync(this.file, `${this.pending.join('\n')}\n`)
    this.pending = []
  }
}

function limitsFrom(flags: Flags): { maxSequences?: number; maxBatchedTokens?: number; kvBlocks?: number } {
  const number = (flag: string) => (flags[flag] === undefined ? undefined : numeric(flags, flag, 0, { low: 1, high: 2 ** 31 - 1, whole: true }))
  const given = { maxSequences: number('max-num-seqs'), maxBatchedTokens: number('max-num-batched-tokens'), kvBlocks: number('kv-blocks') }
  return Object.fromEntries(Object.entries(given).filter(([, v]) => v !== undefined))
}

async function writeFiles(out: string, trace: Trace, { host, model, limits, perfetto }: { host: string; model: string; limits: ReturnType<typeof engineLimits>; perfetto: boolean }): Promise<void> {
  await writeTrace(`${out}.trace.json`, trace)
  await writeFile(`${out}.vllm.json`, JSON.stringify({ backend: 'openai', endpoint: host, model_id: model, ...toVllmJson(trace) }))
  await writeFile(`${out}.meta.json`, JSON.stringify({
    model, endpoint: host, seen_from: 'client',
    engine_kwargs: { ...(limits.maxSequences ? { max_num_seqs: limits.maxSequences } : {}), ...(limits.maxBatchedTokens ? { max_num_batched_tokens: limits.maxBatchedTokens } : {}) },
    // vLLM counts its null block among its own, and so does whoever reads this.
    kv_cache: { ...(limits.kvBlocks ? { num_gpu_blocks: limits.kvBlocks } : {}), ...(limits.blockSize ? { block_size: limits.blockSize } : {}) },
  }))
  if (perfetto) await writeFile(`${out}.perfetto.json`, JSON.stringify(toPerfetto(trace)))
}

/** Piece by piece: a long run's events are more than one string can hold. */
async function writeTrace(file: string, { events, ...rest }: Trace): Promise<void> {
  await writeFile(file, `${JSON.stringify(rest).slice(0, -1)},"events":[`)
  for (let at = 0; at < events.length; at += 50_000) {
    await appendFile(file, `${at > 0 ? ',' : ''}${events.slice(at, at + 50_000).map((e) => JSON.stringify(e)).join(',')}`)
  }
  await appendFile(file, ']}')
}

interface LoadResult extends Record<string, unknown> {
  failures: Record<string, number>
  /** Ours: from a request's time until its bytes were handed to a connection, and how late the event loop was. */
  client: { lag_ms: { p50: number; p99: number; max: number } | null; event_loop_p99_ms: number; most_open: number; bottleneck: string | null }
  prompts: { how: PromptMaker['how']; note: string }
  server: ServerView | null
  gaps: Gap[]
  ended: string | null
}

function resultOf(trace: Trace, { prompts, mostOpen, loopP99, trouble, ended, planned }: { prompts: PromptMaker; mostOpen: number; loopP99: number; trouble?: string; ended?: string; planned: number }): LoadResult {
  const { input_lens: _i, output_lens: _o, ttfts: _t, itls: _l, start_times: _s, errors: _e, ...summary } = toVllmJson(trace)
  const failures: Record<string, number> = {}
  for (const e of trace.events) if (e.kind === 'failed') failures[e.reason!.split(':')[0]!] = (failures[e.reason!.split(':')[0]!] ?? 0) + 1
  const lag = clientLag(trace)
  const lags = new Map(trace.requests.map((r) => [r.id, r.arrival]))
  const p50 = lag ? percentile(trace.events.flatMap((e) => (e.kind === 'gateway' ? [e.t - lags.get(e.request)!] : [])), 50) : 0
  const late = lag && lag.p99 > MOST_LAG ? `requests left up to ${lag.p99.toFixed(1)} ms (p99) after their time` : loopP99 > MOST_LAG ? `this program was up to ${loopP99.toFixed(1)} ms (p99) late in looking at what had come` : null
  return {
    ...summary, planned, failures,
    client: { lag_ms: lag ? { p50, p99: lag.p99, max: lag.max } : null, event_loop_p99_ms: loopP99, most_open: mostOpen, bottleneck: late && `the client is part of what it measured: ${late}. Give it a machine of its own, or lower the rate` },
    prompts: { how: prompts.how, note: prompts.note },
    server: trace.server ?? null,
    gaps: trace.server ? gaps(trace, trace.server) : trouble ? [{ name: 'unknown', says: `The server's own figures are not known: ${trouble}.` }] : gaps(trace, undefined),
    ended: ended ?? null,
  }
}

function report(now: number, { sent, open }: { sent: number; open: number }, { done, failed }: { done: number; failed: number }): void {
  const text = `${Math.max(0, now / 1000).toFixed(0)} s  ${sent} sent, ${done} answered, ${failed} failed, ${open} under way`
  process.stderr.write(process.stderr.isTTY ? `\r${text.padEnd(78)}` : `${text}\n`)
}

function print(r: LoadResult, out: string): void {
  const ms = (key: string) => (typeof r[key] === 'number' ? `${r[key].toPrecision(4)} ms` : 'none')
  for (const [label, name] of [['TTFT', 'ttft'], ['TPOT', 'tpot'], ['ITL', 'itl'], ['E2E', 'e2el']] as const) console.log(`${label.padEnd(8)}mean ${ms(`mean_${name}_ms`)}  p50 ${ms(`median_${name}_ms`)}  p99 ${ms(`p99_${name}_ms`)}`)
  console.log(`${'sent'.padEnd(8)}${(r['completed'] as number) + (r['failed'] as number)} of ${r['planned'] as number}: ${r['completed'] as number} answered, ${r['failed'] as number} failed${r.ended ? ` (ended by ${r.ended})` : ''}; ${(r['request_throughput'] as number).toPrecision(4)} req/s, ${(r['output_throughput'] as number).toPrecision(4)} tok/s`)
  for (const [why, n] of Object.entries(r.failures)) console.log(`${''.padEnd(8)}${n} failed: ${why}`)
  const { lag_ms: lag, event_loop_p99_ms: loop, most_open: open, bottleneck } = r.client
  if (lag) console.log(`${'client'.padEnd(8)}late by ${lag.p50.toFixed(2)} ms (p50), ${lag.p99.toFixed(2)} ms (p99); event loop ${loop.toFixed(2)} ms (p99); at most ${open} under way`)
  if (bottleneck) console.log(`${''.padEnd(8)}${bottleneck}`)
  for (const gap of r.gaps) {
    console.log(`${'gap'.padEnd(8)}${gap.says}`)
    if (gap.lever) console.log(`${''.padEnd(8)}${gap.lever} (${gap.source})`)
  }
  console.log(`${'files'.padEnd(8)}${out}.trace.json, .vllm.json, .requests.jsonl`)
}
