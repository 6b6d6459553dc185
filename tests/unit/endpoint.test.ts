import fc from 'fast-check'
import type { ServerResponse } from 'node:http'
import { afterEach, describe, expect, test } from 'vitest'
import { ask, type AskOptions, type Outcome } from '$engine/endpoint/ask'
import { ClientTrace, pieceOfToken, tokenTimes } from '$engine/endpoint/client-trace'
import type { Fault } from '$engine/endpoint/errors'
import { fetchTransport } from '$engine/endpoint/fetch'
import { gaps } from '$engine/endpoint/gap'
import { load } from '$engine/endpoint/load'
import { parseMetrics, total } from '$engine/endpoint/metrics-text'
import { promptMaker } from '$engine/endpoint/prompts'
import { Scraper, serverView } from '$engine/endpoint/server-view'
import { SseReader } from '$engine/endpoint/sse'
import { parseEndpoint, type Transport } from '$engine/endpoint/transport'
import { undiciTransport } from '$engine/endpoint/undici'
import { MonotonicClock } from '$engine/server/clock'
import { requestSource } from '$engine/serving/requests'
import { parseScenario } from '$engine/serving/scenario'
import { readTraceFile } from '$engine/serving/trace-files'
import { perRequest, summarize, toVllmJson } from '$engine/trace/metrics'
import type { ServerView, Trace } from '$engine/trace/trace'
import { badServer, event } from '../support/bad-server'
import { startServer } from '../support/server'

const KEY = 'sk-secret-77-never-written'
/** Where silence is not what is tried: a busy machine may take its time. */
const PATIENT = { firstMs: 60_000, idleMs: 60_000, totalMs: 60_000 }
const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0)) await close()
})

const ways: [string, (origin: string) => Transport][] = [['undici', (origin) => undiciTransport(origin, 2000)], ['fetch', fetchTransport]]

async function asked(does: Parameters<typeof badServer>[0], make: (origin: string) => Transport = ways[0]![1], more: Partial<AskOptions> = {}): Promise<Outcome & { tries: number }> {
  const server = await badServer(does)
  const transport = make(server.url)
  closing.push(() => transport.close(), () => server.close())
  const out = await ask({ transport, base: '', api: 'completions', body: '{}', name: 'r', key: KEY, clock: new MonotonicClock(), timeouts: PATIENT, ...more })
  return { ...out, tries: server.requests.length }
}

const stream = (response: ServerResponse) => response.writeHead(200, { 'content-type': 'text/event-stream' })

describe.each(ways)('servers that misbehave, by %s', (_, make) => {
  const cases: [string, Fault, Parameters<typeof badServer>[0], RegExp?][] = [
    ['a 500 with a reason', 'status', (_q, r) => r.writeHead(500, { 'content-type': 'application/json' }).end('{"error":{"message":"out of luck"}}'), /HTTP 500: out of luck/],
    ['a 502 of a proxy, in HTML', 'status', (_q, r) => r.writeHead(502, { 'content-type': 'text/html' }).end('<html>Bad gateway</html>'), /HTTP 502: <html>Bad gateway/],
    ['an endless 500', 'status', (_q, r) => {
      r.writeHead(500)
      const more = setInterval(() => r.write('x'.repeat(9000)), 5)
      r.on('close', () => clearInterval(more))
    }],
    ['a refusal that repeats the key', 'status', (q, r) => r.writeHead(401).end(`no such key: ${q.headers.authorization}`), /no such key: Bearer \[key\]/],
    ['no headers, ever', 'timeout', () => {}, /no answer within 0.4 s/],
    ['headers, and nothing more', 'timeout', (_q, r) => void stream(r).flushHeaders(), /nothing more for 0.4 s/],
    ['half a stream, and silence', 'timeout', (_q, r) => void stream(r).write(event('a') + event('b'))],
    ['half a stream, and the connection breaks', 'cut', (_q, r) => {
      stream(r).write(event('a') + event('b'))
      setTimeout(() => r.destroy(), 20)
    }],
    ['half a stream that ends as if it were whole', 'cut', (_q, r) => void stream(r).end(event('a') + event('b')), /ended after 2 tokens without saying/],
    ['an event cut in two', 'cut', (_q, r) => void stream(r).end(event('a') + event('b', 'stop').slice(0, 20))],
    ['the connection breaks before the headers', 'cut', (q) => q.socket.destroy()],
    ['events that are not JSON', 'garbage', (_q, r) => void stream(r).end('data: {"choices": [\n\n'), /not JSON/],
    ['events that are another kind of JSON', 'garbage', (_q, r) => void stream(r).end('data: [1,2,3]\n\n')],
    ['choices that are none', 'garbage', (_q, r) => void stream(r).end('data: {"choices": 5}\n\n')],
    ['a line without end', 'garbage', (_q, r) => {
      stream(r)
      const more = setInterval(() => r.write('data: '.padEnd(200_000, 'x')), 1)
      r.on('close', () => clearInterval(more))
    }, /a line of more than/],
    ['an error told in the stream', 'server', (_q, r) => void stream(r).end(`${event('a')}data: {"error":{"message":"CUDA out of memory"}}\n\n`), /CUDA out of memory/],
    ['JSON where a stream was asked for', 'content-type', (_q, r) => r.writeHead(200, { 'content-type': 'application/json' }).end('{"choices":[{"text":"a"}]}')],
    ['a page', 'content-type', (_q, r) => r.writeHead(200, { 'content-type': 'text/html' }).end('<html>')],
    ['no token at all', 'empty', (_q, r) => void stream(r).end('data: [DONE]\n\n')],
    ['a redirect to another host', 'redirect', (_q, r) => r.writeHead(307, { location: 'http://example.invalid/steal' }).end()],
  ]
  test.each(cases)('%s is a counted failure (%s) with its reason, never a hang', async (_name, fault, does, words) => {
    const out = await asked(does, make, fault === 'timeout' ? { timeouts: { firstMs: 400, idleMs: 400, totalMs: 5000 } } : {})
    // A browser's fetch does not tell a broken connection from nobody there.
    expect(make === fetchTransport && fault === 'cut' ? ['cut', 'connect'] : [fault]).toContain(out.fault)
    if (words && !(make === fetchTransport && fault === 'redirect')) expect(out.reason).toMatch(words)
    expect(JSON.stringify(out)).not.toContain(KEY)
    expect(out.tries).toBe(1) // nothing is sent twice
  })

  test('nobody there', async () => {
    const server = await badServer(() => {})
    await server.close()
    const transport = make(server.url)
    closing.push(() => transport.close())
    const out = await ask({ transport, base: '', api: 'completions', body: '{}', name: 'r', clock: new MonotonicClock(), timeouts: { firstMs: 3000, idleMs: 3000, totalMs: 5000 } })
    expect(out.fault).toBe('connect')
  })

  test('the key goes to the endpoint, and where it redirects to gets nothing', async () => {
    const other = await badServer((_q, r) => r.end())
    closing.push(() => other.close())
    let seen: string | undefined
    const out = await asked((q, r) => {
      seen = q.headers.authorization
      r.writeHead(308, { location: `${other.url}/v1/completions` }).end()
    }, make)
    expect(seen).toBe(`Bearer ${KEY}`)
    expect(out.fault).toBe('redirect')
    expect(other.requests).toHaveLength(0)
  })

  test('whatever bytes a server sends, in whatever pieces: an outcome with times in order, and never a key in it', async () => {
    const bit = fc.oneof(
      fc.constantFrom(event('ab'), event(''), event('c', 'stop'), 'data: [DONE]\n\n', ': ping\n\n', '\r\n', '\n', 'data:', 'data: {}', 'id: 4\n', `data: {"error":"${KEY}"}\n\n`, 'data: {"choices":[{"text":3}]}\n\n', 'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":9}}\n\n'),
      fc.string({ maxLength: 20 }), fc.uint8Array({ maxLength: 20 }),
    )
    const scene = fc.record({
      bits: fc.array(bit, { maxLength: 12 }), cut: fc.array(fc.nat(40), { maxLength: 6 }), end: fc.constantFrom('end', 'break'),
      status: fc.constantFrom(200, 200, 200, 200, 204, 400, 503), type: fc.constantFrom('text/event-stream', 'text/event-stream; charset=utf-8', 'text/plain'),
    })
    await fc.assert(fc.asyncProperty(scene, async ({ bits, cut, end, status, type }) => {
      const bytes = Buffer.concat(bits.map((b) => Buffer.from(b as string)))
      const out = await asked((_q, r) => {
        r.writeHead(status, { 'content-type': type })
        let at = 0
        for (const length of cut) {
          if (at < bytes.length && length > 0) r.write(bytes.subarray(at, at + length))
          at += length
        }
        r.write(bytes.subarray(Math.min(at, bytes.length)).length ? bytes.subarray(at) : Buffer.from('\n'))
        if (end === 'end') r.end()
        else setImmediate(() => r.destroy())
      }, make)
      const times = tokenTimes(out)
      expect(times).toEqual([...times].sort((a, b) => a - b))
      if (out.fault === undefined) expect(times.length).toBeGreaterThan(0)
      else expect(out.reason).toBeTruthy()
      expect(JSON.stringify(out)).not.toContain(KEY)
      for (const close of closing.splice(0)) await close()
    }), { numRuns: 60 })
  })
})

describe('reading what servers send', () => {
  test('events are the same in whatever pieces their bytes come, and with any line ends', () => {
    const data = fc.array(fc.array(fc.string().map((s) => s.replace(/[\r\n\0]/g, '')), { minLength: 1, maxLength: 3 }), { maxLength: 6 })
    fc.assert(fc.property(data, fc.constantFrom('\n', '\r\n', '\r'), fc.array(fc.integer({ min: 1, max: 7 })), (events, eol, sizes) => {
      const text = events.map((lines) => [': a comment', 'event: x', ...lines.map((l) => `data: ${l}`), ''].join(eol) + eol).join('')
      const bytes = new TextEncoder().encode(text)
      const reader = new SseReader()
      const read: string[] = []
      let at = 0
      for (const size of sizes) {
        read.push(...reader.push(bytes.subarray(at, at + size)))
        at += size
      }
      read.push(...reader.push(bytes.subarray(at)))
      expect(read).toEqual(events.map((lines) => lines.join('\n')))
      expect(reader.unfinished).toBe(false)
    }))
  })

  test('tokens and pieces: as many tokens as the server counts, in order, from the first piece to the last', () => {
    fc.assert(fc.property(fc.array(fc.string(), { minLength: 1, maxLength: 30 }), fc.option(fc.integer({ min: 1, max: 90 }), { nil: undefined }), (texts, counted) => {
      const owners = pieceOfToken(texts, counted)
      expect(owners).toHaveLength(counted ?? texts.length)
      expect(owners).toEqual([...owners].sort((a, b) => a - b))
      expect(owners[0]).toBe(0)
      if (owners.length > 1) expect(owners[owners.length - 1]).toBe(texts.length - 1)
      if (owners.length >= texts.length) expect(new Set(owners).size).toBe(texts.length)
    }))
    // Eight tokens in two pieces, one of them three times as long: three and five.
    expect(pieceOfToken(['ab', 'abcdef'], 8).filter((p) => p === 1)).toHaveLength(5)
  })

  test('Prometheus: names, labels with anything in them, numbers; and lines that are none of it', () => {
    const label = fc.tuple(fc.stringMatching(/^[a-z_][a-z0-9_]{0,8}$/), fc.string())
    const line = fc.record({ name: fc.stringMatching(/^[a-z][a-z0-9_:]{0,12}$/), labels: fc.uniqueArray(label, { selector: ([k]) => k, maxLength: 4 }), value: fc.double({ noNaN: true }) })
    const quote = (s: string) => s.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n')
    fc.assert(fc.property(fc.array(line, { maxLength: 8 }), fc.array(fc.string(), { maxLength: 3 }), (lines, noise) => {
      const show = (x: number) => (x === Infinity ? '+Inf' : x === -Infinity ? '-Inf' : String(x))
      const text = ['# HELP x y', ...lines.map((l) => `${l.name}${l.labels.length ? `{${l.labels.map(([k, v]) => `${k}="${quote(v)}"`).join(',')}}` : ''} ${show(l.value)}`), ...noise.map((n) => `#${n.replace(/\n/g, '')}`)].join('\n')
      const read = parseMetrics(text)
      expect([...read.values()].flat()).toHaveLength(lines.length)
      for (const l of lines) expect(read.get(l.name)!.some((s) => Object.is(s.value + 0, l.value + 0) && JSON.stringify(s.labels) === JSON.stringify(Object.fromEntries(l.labels)))).toBe(true)
    }))
    fc.assert(fc.property(fc.string(), (text) => void parseMetrics(text)))
    fc.assert(fc.property(fc.string(), (text) => void parseMetrics(`vllm:x{a="${text}`)))
  })

  test('an address is one: with /v1 or without; with a key in it, it is refused', () => {
    expect(parseEndpoint('http://localhost:8000/v1/')).toEqual({ origin: 'http://localhost:8000', base: '', host: 'localhost:8000' })
    expect(parseEndpoint('https://x.example/gateway/v1').base).toBe('/gateway')
    for (const wrong of ['localhost:8000', 'ftp://x', 'http://user:pass@x', 'http://x?key=1', 'nonsense']) expect(() => parseEndpoint(wrong), wrong).toThrow(RangeError)
    try {
      parseEndpoint(`http://me:${KEY}@x`)
    } catch (error) {
      expect(String(error)).not.toContain(KEY)
    }
  })
})

describe('load', () => {
  const scenario = (more: object = {}) => parseScenario({ version: 1, seed: 3, requests: 24, warmup: 0, arrivals: { process: 'poisson', rate: 60 }, input: { dist: 'uniform', mean: 40, cv: 0.4 }, output: { dist: 'uniform', mean: 12, cv: 0.5 }, steps: { kind: 'affine' }, ...more })

  async function run(url: string, json: object = {}, more: { cancel?: number; until?: number; api?: 'completions' | 'chat'; drainAfter?: number } = {}) {
    const s = scenario(json)
    const transport = undiciTransport(url)
    closing.push(() => transport.close())
    const { cancel, until = Infinity, api = 'completions', drainAfter } = more
    const prompts = await promptMaker({ transport, base: '', api, model: 'tiny', headers: {}, seed: 1, prefixTokens: s.scheduler.block_size, signal: new AbortController().signal })
    const clock = new MonotonicClock()
    const gathered = new ClientTrace('test', 'tiny')
    const drain = new AbortController()
    let ended = 0
    const progress = await load({
      transport, base: '', api, model: 'tiny', source: requestSource(s, s.requests, undefined, () => {}), until, prompts, clock, temperature: 0, exactOutput: true, run: 'run',
      cancel: cancel === undefined ? undefined : { share: cancel, seed: 1 }, drain: drain.signal, stop: new AbortController().signal, timeouts: { firstMs: 60_000, idleMs: 60_000, totalMs: 60_000 },
      onEnd: (record, out) => {
        gathered.add(record, out)
        if (++ended === drainAfter) drain.abort()
      },
    })
    return { trace: gathered.trace(), progress, prompts }
  }

  /** What the scenario asks for, drawn once more. */
  const drawn = (json: object = {}) => {
    const s = scenario(json)
    const source = requestSource(s, s.requests, undefined, () => {})
    return Array.from({ length: s.requests }, (_, id) => source.create(id, source.arrivals!()))
  }

  test('against our own server: every request of the scenario, at its time, of exactly its lengths; both Traces tell the same', async () => {
    const server = await startServer()
    closing.push(() => server.close())
    const { trace, prompts } = await run(server.url)
    expect(prompts.how).toBe('exact')
    const jobs = drawn()
    expect(trace.requests.map((r) => [r.arrival, r.promptTokens, r.maxTokens])).toEqual(jobs.map((j) => [j.arrival, j.promptTokens, j.outputLength]))
    const client = perRequest(trace)
    expect(client.map((m) => m.outputTokens)).toEqual(jobs.map((j) => j.outputLength))
    const own = server.http.recording!.trace
    const byName = new Map(own.requests.map((r) => [r.name, r]))
    const serverSide = new Map(perRequest(own).map((m) => [m.request, m]))
    for (const m of client) {
      const record = byName.get(trace.requests.find((r) => r.id === m.request)!.name)!
      const theirs = serverSide.get(record.id)!
      expect([theirs.promptTokens, theirs.outputTokens]).toEqual([m.promptTokens, m.outputTokens])
      // Whatever the machine does meanwhile, a client cannot see a token before the server made it, nor start later than its time.
      expect(m.ttft).toBeGreaterThan(theirs.ttft - 0.01)
      expect(m.e2e).toBeGreaterThan(theirs.e2e - 0.01)
    }
    // Everybody who reads traces reads this one.
    const bench = readTraceFile(JSON.stringify(toVllmJson(trace)), 'bench')
    expect(bench.kind).toBe('vllm-bench-json')
    expect(bench.requests.map((r) => [r.inputTokens, r.outputTokens])).toEqual(jobs.map((j) => [j.promptTokens, j.outputLength]))
    expect(trace.provenance).toMatchObject({ how: 'measured', device: { runner: 'endpoint', model: 'tiny' } })
  })

  test('shared prefixes are found by the server’s cache, and nothing else is', async () => {
    const server = await startServer({ blocks: 1024 })
    closing.push(() => server.close())
    const hits = async () => total(parseMetrics(await (await fetch(`${server.url}/metrics`)).text()), ['vllm:prefix_cache_hits_total'])!
    await run(server.url, { requests: 10, seed: 5 })
    // The tiny model's words share letters; blocks of sixteen ids drawn at random never meet.
    expect(await hits()).toBeLessThan(10 * 16)
    const before = await hits()
    await run(server.url, { requests: 20, seed: 6, arrivals: { process: 'poisson', rate: 20 }, prefixes: { groups: 1, tokens: 32, share: 1 } })
    expect(await hits() - before).toBeGreaterThanOrEqual(32 * 10)
  })

  test('chat: words of one token where the server’s tokenizer has such, an estimate where not; the server’s count is what is written', async () => {
    const server = await startServer()
    closing.push(() => server.close())
    const { trace, prompts } = await run(server.url, { requests: 5, input: { dist: 'fixed', mean: 20 } }, { api: 'chat' })
    // The tiny model reads single bytes: no word is one token.
    expect(prompts.how).toBe('estimate')
    expect(summarize(trace).completed).toBe(5)
    for (const r of trace.requests) expect(r.promptTokens).toBeGreaterThan(20)
  })

  test('who is hung up on is counted so, and gives the server its blocks back', async () => {
    const server = await startServer()
    closing.push(() => server.close())
    const { trace } = await run(server.url, { output: { dist: 'fixed', mean: 40 } }, { cancel: 0.5 })
    const failed = trace.events.filter((e) => e.kind === 'failed')
    expect(failed.length).toBeGreaterThan(4)
    expect(failed.length).toBeLessThan(20)
    for (const e of failed) expect(e.reason).toMatch(/^cancelled: hung up on after \d+ tokens/)
    expect(summarize(trace).completed + failed.length).toBe(24)
    for (let i = 0; i < 300 && server.link.open > 0; i++) await new Promise((r) => setTimeout(r, 10))
    await expect.poll(() => server.link.state.blocksUsed).toBe(0)
  })

  test('bounds and drains: nobody is sent after the end, and who is under way is waited for', async () => {
    const server = await startServer()
    closing.push(() => server.close())
    const bounded = await run(server.url, {}, { until: 150 })
    expect(bounded.trace.requests.length).toBe(drawn().filter((j) => j.arrival <= 150).length)
    const drained = await run(server.url, { arrivals: { process: 'poisson', rate: 20 } }, { drainAfter: 3 })
    expect(drained.trace.requests.length).toBeLessThan(24)
    expect(summarize(drained.trace).completed).toBe(drained.trace.requests.length)
  })

  test('a closed loop: as many under way as there are users, never more', async () => {
    const server = await startServer()
    closing.push(() => server.close())
    const { progress, trace } = await run(server.url, { arrivals: { process: 'closed', concurrency: 3, rate: 1 } })
    expect(progress.mostOpen).toBe(3)
    expect(summarize(trace).completed).toBe(24)
  })

  test('a server that stalls does not slow the others’ arrivals: latency counts from the scheduled time', async () => {
    const held: ServerResponse[] = []
    const server = await badServer((q, r) => {
      if (q.url === '/tokenize') return r.writeHead(404).end()
      held.push(r)
      // Nobody is answered before all have come.
      if (held.length === 24) for (const h of held) h.writeHead(200, { 'content-type': 'text/event-stream' }).end(event('a') + event('b', 'stop') + 'data: [DONE]\n\n')
    })
    closing.push(() => server.close())
    const { trace, progress } = await run(server.url)
    expect(progress.mostOpen).toBe(24)
    const metrics = perRequest(trace)
    const last = Math.max(...trace.requests.map((r) => r.arrival))
    for (const m of metrics) expect(m.ttft).toBeGreaterThanOrEqual(last - trace.requests.find((r) => r.id === m.request)!.arrival)
  })
})

describe('the server’s own figures beside the client’s', () => {
  test('a scrape before and after: what the run added, and nothing of what was before', async () => {
    const server = await startServer()
    closing.push(() => server.close())
    const ask5 = async () => void (await (await fetch(`${server.url}/v1/completions`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ prompt: 'The wolf', max_tokens: 5, ignore_eos: true }) })).text())
    await ask5()
    const transport = undiciTransport(server.url)
    closing.push(() => transport.close())
    const scraper = new Scraper({ transport, path: '/metrics', headers: {}, clock: new MonotonicClock(), everyMs: 20 })
    await scraper.start()
    await ask5()
    await ask5()
    const view = (await scraper.finish())!
    expect(view).toMatchObject({ kind: 'vllm', outputTokens: 10, promptTokens: 16, ttft: { count: 2 }, itl: { count: 8 }, queue: { count: 2 } })
    const own = perRequest(server.http.recording!.trace).slice(1)
    expect(view.ttft!.meanMs).toBeCloseTo((own[0]!.ttft + own[1]!.ttft) / 2, 6)
  })

  test('no metrics, or others’: nothing is made up', async () => {
    for (const body of ['', 'go_gc_duration_seconds 1\n']) {
      const server = await badServer((_q, r) => r.end(body))
      const transport = undiciTransport(server.url)
      closing.push(() => transport.close(), () => server.close())
      const scraper = new Scraper({ transport, path: '/metrics', headers: {}, clock: new MonotonicClock(), everyMs: 20 })
      await scraper.start()
      expect(await scraper.finish()).toBeUndefined()
      expect(scraper.trouble).toContain('none of vLLM’s or SGLang’s names')
    }
  })

  test('SGLang’s names are read too; several engines behind one address add up', () => {
    const before = parseMetrics('sglang:prompt_tokens_total{e="0"} 5\nsglang:prompt_tokens_total{e="1"} 7\nsglang:time_to_first_token_seconds_sum 1\nsglang:time_to_first_token_seconds_count 2\n')
    const after = parseMetrics('sglang:prompt_tokens_total{e="0"} 15\nsglang:prompt_tokens_total{e="1"} 27\nsglang:time_to_first_token_seconds_sum 3\nsglang:time_to_first_token_seconds_count 6\nsglang:token_usage 0.5\n')
    expect(serverView(before, after, [])).toMatchObject({ kind: 'sglang', promptTokens: 30, ttft: { meanMs: 500, count: 4 } })
  })

  /** Ten requests of ten tokens, a tenth of a second apart; `at` says when the k-th token of one came after its arrival. */
  const seen = (at: (k: number) => number): Trace => {
    const trace = new ClientTrace('s', 'm', 'now')
    for (let id = 0; id < 10; id++) {
      const arrival = id * 100
      trace.add({ id, arrival, promptTokens: 10, maxTokens: 10 }, { sent: arrival, end: arrival + at(9), pieces: Array.from({ length: 10 }, (_, k) => ({ at: arrival + at(k), text: 'x' })), finish: 'stop' })
    }
    return trace.trace()
  }
  const says = (more: Partial<ServerView> = {}): ServerView => ({ kind: 'vllm', samples: [], ttft: { meanMs: 50, count: 10 }, itl: { meanMs: 10, count: 90 }, ...more })

  test('each gap is named by what moved and what stayed', () => {
    const names = (trace: Trace, view: ServerView | undefined) => gaps(trace, view).map((g) => g.name)
    expect(names(seen((k) => 50 + 10 * k), says())).toEqual(['none'])
    expect(names(seen((k) => 50 + 10 * k), undefined)).toEqual(['unknown'])
    // All at once, late: a proxy holds the stream back. TTFT is worse and the gaps between tokens are "better".
    expect(names(seen((k) => 150 + 0.01 * k), says())).toEqual(['buffered-stream'])
    // Later by the same for every token: on the way there.
    expect(names(seen((k) => 90 + 10 * k), says())).toEqual(['before-the-server'])
    // The first token in time, the others slower than the engine says.
    expect(names(seen((k) => 50 + 30 * k), says())).toEqual(['front-end'])
    // Ten open at the client, four in the server.
    const held = seen((k) => 2000 + 10 * k)
    const samples = Array.from({ length: 8 }, (_, i) => ({ t: 1000 + 100 * i, running: 4, waiting: 0 }))
    expect(names(held, says({ ttft: { meanMs: 1995, count: 10 }, samples }))).toEqual(['client-pool'])
    for (const g of gaps(held, says({ samples }))) if (g.lever) expect(g.source).toMatch(/^https:\/\/github\.com\//)
  })
})
