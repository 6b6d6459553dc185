import { writeFile } from 'node:fs/promises'
import { Worker } from 'node:worker_threads'
import { loadTokenizer } from '../model/load'
import { chatRenderer } from '../server/chat'
import { MonotonicClock } from '../server/clock'
import { HttpServer, isLoopback } from '../server/http'
import { EngineLink } from '../server/link'
import { MODEL_FLAGS, MODEL_HELP, modelChoice } from './model-flags'
import { folderReader, outputPath } from './place'
import type { EngineThread } from './serve-engine'
import { numeric, parseFlags, UsageError } from './usage'

export const help = `expressway serve --model DIR [options]

Serves a model behind OpenAI's protocol: continuous batching, paged KV, prefix cache. POST
/v1/completions, /v1/chat/completions (streams, stop strings, usage), /tokenize, /detokenize; GET
/v1/models, /health, /metrics (vLLM's names). Ctrl-C answers those inside, then ends; twice, at once.

${MODEL_HELP.replace('  --json            print one JSON object', '  --json            say where it listens as one JSON object')}
  --host ADDRESS    where to listen (default 127.0.0.1: this machine alone)
  --port N          0 takes a free one (default 8000)
  --allow-origin O  origin of a page that may ask from a browser, such as http://localhost:8080; several
                    by commas, * for all (default: none)
  --api-key-env V   environment variable that holds the key which clients must bring (default: no key)
  --max-num-seqs N            requests in a step (default 64)
  --max-num-batched-tokens N  tokens in a step (default 512)
  --kv-blocks N               blocks of 16 tokens in the KV pool (default 4096)
  --no-prefix-cache           compute every prompt anew
  --max-open N                requests in the server at once; more are refused with 429 (default 1024)
  --drain-seconds N           how long those inside may take once it is told to end (default 30)
  --trace FILE                write the server's own Trace when it ends (of its first 10,000 requests)
`

const FLAGS = {
  ...MODEL_FLAGS, host: { type: 'string' }, port: { type: 'string' }, 'allow-origin': { type: 'string' }, 'api-key-env': { type: 'string' },
  'max-num-seqs': { type: 'string' }, 'max-num-batched-tokens': { type: 'string' }, 'kv-blocks': { type: 'string' }, 'no-prefix-cache': { type: 'boolean' },
  'max-open': { type: 'string' }, 'drain-seconds': { type: 'string' }, trace: { type: 'string' },
} as const

/** Requests whose Trace is kept: a server may run for days. */
const RECORDED = 10_000
/** npm, the shell and scripts/run.mjs each pass a Ctrl-C on: one within this of another is the same one. ms */
const SAME_SIGNAL = 1000

export async function main(args: readonly string[]): Promise<void> {
  const flags = parseFlags(args, FLAGS)
  const { folder, name, runner, weights, kv } = modelChoice(flags)
  const count = (flag: string, fallback: number, low = 1, high = 2 ** 20) => numeric(flags, flag, fallback, { low, high, whole: true })
  const thread: EngineThread = {
    folder, name, runner, weights, kv,
    maxSequences: count('max-num-seqs', 64), maxBatchedTokens: count('max-num-batched-tokens', 512, 1), blocks: count('kv-blocks', 4096),
    prefixCache: !flags['no-prefix-cache'], origin: process.hrtime.bigint(),
  }
  const host = typeof flags['host'] === 'string' ? flags['host'] : '127.0.0.1'
  const port = count('port', 8000, 0, 65_535)
  const maxOpen = count('max-open', 1024)
  const drainMs = 1000 * numeric(flags, 'drain-seconds', 30, { low: 0, high: 86_400, whole: false })
  const apiKey = keyFrom(flags['api-key-env'])
  const allowOrigins = typeof flags['allow-origin'] === 'string' ? flags['allow-origin'].split(',').map((o) => o.trim()) : []
  for (const origin of allowOrigins) if (origin !== '*' && !isOrigin(origin)) throw new UsageError(`--allow-origin ${origin}: an origin is like http://localhost:8080, without a path`)
  const trace = typeof flags['trace'] === 'string' ? outputPath(flags['trace']) : undefined

  const { tokenizer, tokenizerConfig } = await loadTokenizer(name, folderReader(folder))
  const worker = startEngine(thread)
  const link = await EngineLink.connect(worker.port)
  const clock = new MonotonicClock(thread.origin)
  const server = await HttpServer.listen({
    link, tokenizer, render: chatRenderer(tokenizerConfig), clock, host, port, apiKey, allowOrigins, maxOpen, record: trace === undefined ? 0 : RECORDED,
  }).catch((error: NodeJS.ErrnoException) => {
    link.stop('there is nowhere to listen')
    throw error.code === 'EADDRINUSE' ? new Error(`port ${port} of ${host} is taken: end what listens there, or give another --port (0: any)`, { cause: error }) : error
  })

  const { device, maxModelLength, blocks } = link.facts
  if (flags['json']) console.log(JSON.stringify({ url: server.url, model: name, runner: device.runner, device: device.name, max_model_len: maxModelLength, kv_blocks: blocks, pid: process.pid }))
  else console.log(`${name} on ${device.name} at ${server.url} (up to ${maxModelLength} tokens a request, ${blocks} KV blocks). Ctrl-C ends it.`)
  if (!isLoopback(host)) console.error(`expressway serve: ${host} can be reached from other machines${apiKey === undefined ? ', by anybody: no key is asked for' : ''}`)

  const why = await Promise.race([interrupted(() => link.stop('the server was shut down before the answer was complete')), link.closed])
  if (why !== undefined) console.error(`expressway serve: ${why}; answering the ${link.open} requests inside`)
  await server.drain(drainMs)
  if (trace !== undefined && server.recording) {
    await writeFile(trace, JSON.stringify(server.recording.trace))
    const { left, trace: kept } = server.recording
    console.error(`expressway serve: the Trace of ${kept.requests.length} requests is in ${trace}${left ? `; ${left} later ones are not in it` : ''}`)
  }
  await worker.ended
  if (link.broken !== undefined) throw new Error(link.broken)
}

/** The engine in a thread of its own: steps do not keep the server from hearing and answering. */
function startEngine(thread: EngineThread) {
  const { port1, port2 } = new MessageChannel()
  // The same bundle: main.ts sees that it is asked for the engine.
  const worker = new Worker(new URL(import.meta.url), { workerData: { engine: { ...thread, port: port2 } }, transferList: [port2] as never })
  worker.on('error', (error) => console.error(`expressway serve: the engine's thread ended: ${error.message}`))
  const ended = new Promise<void>((resolve) => worker.once('exit', () => {
    port1.close()
    resolve()
  }))
  return { port: port1 as unknown as import('node:worker_threads').MessagePort, ended }
}

/** The first signal's name; a second one is given to `again`. */
function interrupted(again: () => void): Promise<string> {
  return new Promise((resolve) => {
    let first: number | undefined
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.on(signal, () => {
        if (first === undefined) {
          first = performance.now()
          resolve(signal)
        } else if (performance.now() - first > SAME_SIGNAL) again()
      })
    }
  })
}

/** A key is read from the environment: a command line can be read by everybody on the machine. */
function keyFrom(variable: string | boolean | undefined): string | undefined {
  if (typeof variable !== 'string') return undefined
  const key = process.env[variable]
  if (!key) throw new UsageError(`--api-key-env ${variable}: there is no such environment variable, or it is empty`)
  return key
}

function isOrigin(text: string): boolean {
  return URL.canParse(text) && new URL(text).origin === text
}
