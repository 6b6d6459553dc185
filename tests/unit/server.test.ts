import fc from 'fast-check'
import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { BLOCK_SIZE } from '$engine/runner/runner'
import { BlockPool } from '$engine/serving/blocks'
import { VirtualClock } from '$engine/serving/clock'
import { PrefixCache } from '$engine/serving/prefix-cache'
import { PrefixIds } from '$engine/serving/prefix-ids'
import { serve, type Door, type ServeRequest } from '$engine/serving/serve'
import { StopScanner } from '$engine/server/writer'
import { perRequest } from '$engine/trace/metrics'
import { execute } from '../../engine/cli/job'
import { modelFiles } from '../support/model-folder'
import { startServer, type TestServer } from '../support/server'
import { toyRunner } from '../support/toy-runner'

const client = (server: TestServer, apiKey = 'none') => new OpenAI({ baseURL: `${server.url}/v1`, apiKey, maxRetries: 0 })
/** What the model says by the command line, alone and greedy. */
async function alone(prompt: string, maxTokens: number) {
  const files = modelFiles()
  return execute({ kind: 'generate', model: 'tiny', runner: 'reference', prompt, maxTokens }, (file) => (files.has(file) ? Promise.resolve(files.get(file)!.buffer) : Promise.reject(new Error('absent'))))
}
const settled = async (server: TestServer) => {
  for (let i = 0; i < 500 && (server.link.state.running || server.link.state.waiting || server.link.state.blocksUsed); i++) await new Promise((r) => setTimeout(r, 10))
  return server.link.state
}

describe('the official openai client, unchanged', () => {
  let server: TestServer
  let openai: OpenAI
  beforeAll(async () => {
    server = await startServer()
    openai = client(server)
  })
  afterAll(() => server.close())

  test('lists the model, and knows it by name', async () => {
    const { data } = await openai.models.list()
    expect(data.map((m) => m.id)).toEqual(['tiny'])
    expect((await openai.models.retrieve('tiny')).id).toBe('tiny')
  })

  test('a completion is what the model says alone, many at once as well; usage counts both sides', async () => {
    const prompts = ['The wolf', 'Once', 'A king had three sons', 'x']
    const answers = await Promise.all(prompts.map((prompt) => openai.completions.create({ model: 'tiny', prompt, max_tokens: 12, temperature: 0 })))
    for (const [i, answer] of answers.entries()) {
      const expected = await alone(prompts[i]!, 12)
      expect(answer.choices[0]).toMatchObject({ text: expected.text, finish_reason: expected.finish_reason, index: 0 })
      expect(answer.usage).toMatchObject({ prompt_tokens: prompts[i]!.length, completion_tokens: expected.token_ids.length })
    }
  })

  test('a stream adds up to the whole; each piece is a token; usage comes at the end when it is asked for', async () => {
    const whole = await openai.completions.create({ model: 'tiny', prompt: 'The wolf', max_tokens: 10, temperature: 0 })
    const stream = await openai.completions.create({ model: 'tiny', prompt: 'The wolf', max_tokens: 10, temperature: 0, stream: true, stream_options: { include_usage: true } })
    const pieces = []
    for await (const piece of stream) pieces.push(piece)
    const usage = pieces.pop()!
    expect(usage.choices).toEqual([])
    expect(usage.usage).toEqual(whole.usage)
    expect(pieces).toHaveLength(whole.usage!.completion_tokens)
    expect(pieces.map((p) => p.choices[0]!.text).join('')).toBe(whole.choices[0]!.text)
    expect(pieces.map((p) => p.choices[0]!.finish_reason).filter(Boolean)).toEqual([whole.choices[0]!.finish_reason])
  })

  test('chat: the conversation is the prompt of a model without a template', async () => {
    const messages = [{ role: 'system' as const, content: 'Tell.' }, { role: 'user' as const, content: [{ type: 'text' as const, text: 'The wolf' }] }]
    const plain = await openai.chat.completions.create({ model: 'tiny', messages, max_completion_tokens: 9, temperature: 0 })
    expect(plain.choices[0]!.message).toMatchObject({ role: 'assistant', content: (await alone('Tell.\n\nThe wolf', 9)).text })
    const stream = openai.chat.completions.stream({ model: 'tiny', messages, max_completion_tokens: 9, temperature: 0 })
    const final = await stream.finalChatCompletion()
    expect(final.choices[0]!.message.content).toBe(plain.choices[0]!.message.content)
  })

  test('a stop string ends the text before itself, streamed or not', async () => {
    const { text } = await alone('The wolf', 24)
    const stop = text.slice(7, 10)
    const cut = text.slice(0, text.indexOf(stop))
    const whole = await openai.completions.create({ model: 'tiny', prompt: 'The wolf', max_tokens: 24, temperature: 0, stop: [stop, 'never there'] })
    expect(whole.choices[0]).toMatchObject({ text: cut, finish_reason: 'stop', stop_reason: stop })
    expect(whole.usage!.completion_tokens).toBeLessThan(24)
    let streamed = ''
    for await (const piece of await openai.completions.create({ model: 'tiny', prompt: 'The wolf', max_tokens: 24, temperature: 0, stop, stream: true })) streamed += piece.choices[0]!.text
    expect(streamed).toBe(cut)
  })

  test('the same seed draws the same text, another one another; several prompts are several choices', async () => {
    const draw = async (seed: number) => (await openai.completions.create({ model: 'tiny', prompt: 'The wolf', max_tokens: 20, temperature: 1, seed })).choices[0]!.text
    expect(await draw(7)).toBe(await draw(7))
    expect(await draw(8)).not.toBe(await draw(7))
    const many = await openai.completions.create({ model: 'tiny', prompt: ['The wolf', 'Once'], max_tokens: 6, temperature: 0 })
    expect(many.choices.map((c) => c.text)).toEqual([(await alone('The wolf', 6)).text, (await alone('Once', 6)).text])
  })

  test('errors are the client’s own kinds, and name the parameter', async () => {
    await expect(openai.completions.create({ model: 'other', prompt: 'x' })).rejects.toSatisfy((e) => e instanceof OpenAI.NotFoundError && e.code === 'model_not_found')
    await expect(openai.completions.create({ model: 'tiny', prompt: 'x', max_tokens: 100_000 })).rejects.toSatisfy((e) => e instanceof OpenAI.BadRequestError && e.code === 'context_length_exceeded')
    for (const [param, value] of Object.entries({ top_p: 0.5, n: 2, logprobs: 3, temperature: -1, stop: 5, nonsense: 1, prompt: [] })) {
      await expect(openai.completions.create({ model: 'tiny', prompt: 'x', [param]: value } as never), param).rejects.toSatisfy((e) => e instanceof OpenAI.BadRequestError && e.param === param)
    }
    await expect(openai.chat.completions.create({ model: 'tiny', messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'x' } }] }] })).rejects.toSatisfy((e) => e instanceof OpenAI.BadRequestError && e.param === 'messages[0].content[0]')
  })

  test('an aborted stream gives its place and its blocks back; the others’ text is what it would have been', async () => {
    const other = openai.completions.create({ model: 'tiny', prompt: 'Once', max_tokens: 60, temperature: 0 })
    const stream = await openai.completions.create({ model: 'tiny', prompt: 'The wolf', max_tokens: 200, temperature: 0, stream: true, ...{ ignore_eos: true } })
    for await (const _ of stream) break // leaving the loop aborts the request
    expect((await other).choices[0]!.text).toBe((await alone('Once', 60)).text)
    expect(await settled(server)).toMatchObject({ running: 0, waiting: 0, blocksUsed: 0 })
    const given = server.http.recording!.trace.events.filter((e) => e.kind === 'failed')
    expect(given.map((e) => e.reason)).toEqual(['its client went away'])
  })
})

describe('what a server owes its clients', () => {
  test('a key is asked for, and a wrong one is not repeated', async () => {
    const server = await startServer({ apiKey: 'right-key-1234' })
    await expect(client(server, 'wrong-key-9876').models.list()).rejects.toSatisfy((e) => e instanceof OpenAI.AuthenticationError && !/9876|1234/.test(e.message))
    expect((await client(server, 'right-key-1234').models.list()).data).toHaveLength(1)
    expect((await fetch(`${server.url}/health`)).status).toBe(200) // a load balancer has no key
    await server.close()
  })

  test('more than it may hold is refused with 429 and a time to come back', async () => {
    const server = await startServer({ maxOpen: 2 })
    const ask = (max_tokens: number) => fetch(`${server.url}/v1/completions`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ prompt: 'The wolf', max_tokens, ignore_eos: true, stream: true }) })
    const held = [await ask(150), await ask(150)]
    const refused = await ask(5)
    expect(refused.status).toBe(429)
    expect(refused.headers.get('retry-after')).toBe('1')
    expect(await refused.json()).toMatchObject({ error: { type: 'rate_limit_error', code: 'rate_limit_exceeded' } })
    for (const answer of held) expect(await answer.text()).toContain('data: [DONE]')
    await server.close()
  })

  test('draining: those inside are answered, newcomers are told, then nobody listens', async () => {
    const server = await startServer()
    const ask = (max_tokens: number) => fetch(`${server.url}/v1/completions`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ prompt: 'The wolf', max_tokens, ignore_eos: true, stream: true }) })
    const inside = await ask(100)
    const drained = server.http.drain(60_000)
    expect((await fetch(`${server.url}/health`)).status).toBe(503)
    expect((await ask(5)).status).toBe(503)
    const text = await inside.text()
    expect(text.match(/data: \{/g)).toHaveLength(100)
    expect(text.endsWith('data: [DONE]\n\n')).toBe(true)
    await drained
    await expect(fetch(`${server.url}/health`)).rejects.toThrow()
  })

  test('a device that fails ends all streams with an error event, and health says so', async () => {
    let runs = 0
    const server = await startServer({ wrap: (runner) => ({ ...runner, run: (batch) => (++runs > 20 ? Promise.reject(new Error('the device fell off')) : runner.run(batch)) }) })
    const openai = client(server)
    const stream = await openai.completions.create({ model: 'tiny', prompt: 'The wolf', max_tokens: 100, temperature: 0, stream: true, ...{ ignore_eos: true } })
    await expect((async () => {
      for await (const _ of stream);
    })()).rejects.toThrow('the device fell off')
    const health = await fetch(`${server.url}/health`)
    expect(health.status).toBe(503)
    expect(await health.text()).toContain('the device fell off')
    await server.close()
  })

  test('bodies that are no request get a sentence: too large, no JSON, another type, another method, another path', async () => {
    const server = await startServer({ limits: { bodyBytes: 2000 } })
    const post = (body: string, type = 'application/json', path = '/v1/completions') => fetch(`${server.url}${path}`, { method: 'POST', headers: { 'content-type': type }, body })
    expect((await post(JSON.stringify({ prompt: 'x'.repeat(3000) }))).status).toBe(413)
    expect((await post('{"prompt":')).status).toBe(400)
    expect((await post('prompt=x', 'text/plain')).status).toBe(415)
    expect((await post('[]')).status).toBe(400)
    expect((await fetch(`${server.url}/v1/completions`)).status).toBe(405)
    expect((await post('{}', 'application/json', '/v1/nothing')).status).toBe(404)
    expect((await post(JSON.stringify({ prompt: [600] }))).status).toBe(400)
    await server.close()
  })

  test('whatever the JSON, the answer is JSON with an error of 400, never a crash', async () => {
    const server = await startServer()
    const known = ['model', 'prompt', 'messages', 'max_tokens', 'temperature', 'stop', 'stream', 'stream_options', 'seed', 'ignore_eos', 'n', 'logit_bias', 'tools', '__proto__', 'constructor']
    const body = fc.dictionary(fc.constantFrom(...known), fc.jsonValue())
    await fc.assert(fc.asyncProperty(body, fc.constantFrom('/v1/completions', '/v1/chat/completions', '/tokenize', '/detokenize'), async (json, path) => {
      const answer = await fetch(`${server.url}${path}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ ...json, max_tokens: json['max_tokens'] === undefined ? 2 : json['max_tokens'] }) })
      const text = await answer.text()
      expect([200, 400, 404]).toContain(answer.status)
      if (answer.status !== 200) expect(typeof (JSON.parse(text) as { error: { message: string } }).error.message).toBe('string')
    }), { numRuns: 200 })
    expect((await settled(server)).blocksUsed).toBe(0)
    await server.close()
  })

  test('a page may ask where its origin was named, and only there; another host’s name for the loopback is refused', async () => {
    const server = await startServer({ allowOrigins: ['http://localhost:8080'] })
    const preflight = (origin: string) => fetch(`${server.url}/v1/completions`, { method: 'OPTIONS', headers: { origin, 'access-control-request-method': 'POST' } })
    expect((await preflight('http://localhost:8080')).headers.get('access-control-allow-origin')).toBe('http://localhost:8080')
    expect((await preflight('http://evil.example')).headers.get('access-control-allow-origin')).toBeNull()
    const { request } = await import('node:http')
    const status = await new Promise<number | undefined>((resolve, reject) => request(`${server.url}/v1/models`, { headers: { host: 'evil.example' } }, (r) => resolve(r.resume().statusCode)).on('error', reject).end())
    expect(status).toBe(403)
    await server.close()
  })

  test('/tokenize and /detokenize are inverse; /metrics counts what was served under vLLM’s names', async () => {
    const server = await startServer()
    const post = async (path: string, body: object) => (await fetch(`${server.url}${path}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })).json() as Promise<Record<string, unknown>>
    const { tokens, count } = (await post('/tokenize', { prompt: 'Grüße, wolf' })) as { tokens: number[]; count: number }
    expect(count).toBe(new TextEncoder().encode('Grüße, wolf').length)
    expect(await post('/detokenize', { tokens })).toEqual({ prompt: 'Grüße, wolf' })
    for (let i = 0; i < 3; i++) await post('/v1/completions', { prompt: tokens, max_tokens: 5, temperature: 0, ignore_eos: true })
    const text = await (await fetch(`${server.url}/metrics`)).text()
    const value = (name: string) => Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'm').exec(text)?.[1])
    expect(value('vllm:generation_tokens_total')).toBe(15)
    expect(value('vllm:prompt_tokens_total')).toBe(3 * count)
    expect(value('vllm:time_to_first_token_seconds_count')).toBe(3)
    expect(value('vllm:inter_token_latency_seconds_count')).toBe(12)
    expect(value('vllm:prefix_cache_queries_total')).toBe(3 * count)
    // Thirteen bytes: no whole block of 16, nothing to find.
    expect(value('vllm:prefix_cache_hits_total')).toBe(0)
    const own = perRequest(server.http.recording!.trace)
    expect(value('vllm:time_to_first_token_seconds_sum')).toBeCloseTo(own.reduce((s, m) => s + m.ttft, 0) / 1000, 9)
    expect(value('vllm:e2e_request_latency_seconds_sum')).toBeCloseTo(own.reduce((s, m) => s + m.e2e, 0) / 1000, 9)
    await server.close()
  })
})

describe('requests that come and go while others are served', () => {
  test('whoever comes, stops or is given up: texts are the plain ones, all blocks come back, and no number of a prefix is kept for nothing', async () => {
    const scene = fc.record({
      asks: fc.array(fc.record({ stem: fc.nat(2), tail: fc.array(fc.nat(15), { minLength: 1, maxLength: 30 }), maxTokens: fc.integer({ min: 1, max: 20 }), at: fc.nat(60), gone: fc.option(fc.nat(60)), stopAt: fc.option(fc.integer({ min: 1, max: 10 })) }), { minLength: 1, maxLength: 12 }),
      blocks: fc.integer({ min: 8, max: 40 }), sequences: fc.integer({ min: 1, max: 4 }),
    })
    await fc.assert(fc.asyncProperty(scene, async ({ asks, blocks, sequences }) => {
      const ids = new PrefixIds()
      const pool = new BlockPool(blocks)
      const cache = new PrefixCache(BLOCK_SIZE, 1, Infinity, () => 0, pool, (id) => ids.contents(id), ids)
      const stems = [0, 1, 2].map((s) => Array.from({ length: 20 }, (_, i) => (i * (s + 3)) % 16))
      const prompts = asks.map((a) => [...stems[a.stem]!, ...a.tail])
      let tick = 0
      const outputs = asks.map((): number[] => [])
      const ended = new Map<number, string>()
      const used = new Map<number, number[]>()
      const pending = new Set(asks.keys())
      const door: Door = {
        get open() {
          return tick <= 130
        },
        take() {
          tick++
          const came = [...pending].filter((i) => asks[i]!.at <= tick).map((i): ServeRequest => {
            pending.delete(i)
            const prefix = ids.of(Int32Array.from(prompts[i]!))
            for (const id of prefix) ids.retain(id)
            used.set(i, prefix)
            const { maxTokens, stopAt } = asks[i]!
            return { record: { id: i, arrival: 0, promptTokens: prompts[i]!.length, maxTokens }, prompt: Int32Array.from(prompts[i]!), queuedAt: 0, eos: [], prefix, ends: () => outputs[i]!.length + 1 === stopAt }
          })
          const gone = asks.flatMap(({ at, gone }, i) => (gone !== null && at + gone === tick ? [i] : []))
          return { came, gone }
        },
        stirred: () => Promise.resolve(),
      }
      await serve([], {
        runner: toyRunner({ blocks, sequences }), clock: new VirtualClock(), cache, door,
        emit: ({ events }) => {
          for (const e of events) {
            if (e.kind === 'token') outputs[e.request]!.push(e.token!)
            if (e.kind === 'finished' || e.kind === 'failed' || e.kind === 'rejected') {
              expect(ended.has(e.request)).toBe(false)
              ended.set(e.request, e.kind)
              for (const id of used.get(e.request)!) ids.release(id)
            }
          }
        },
      })
      expect(ended.size).toBe(asks.length)
      for (const [i, { maxTokens, stopAt }] of asks.entries()) {
        const plain: number[] = []
        await serve([{ record: { id: 0, arrival: 0, promptTokens: prompts[i]!.length, maxTokens }, prompt: Int32Array.from(prompts[i]!), queuedAt: 0, eos: [] }], {
          runner: toyRunner(), clock: new VirtualClock(), emit: ({ events }) => events.forEach((e) => e.kind === 'token' && plain.push(e.token!)),
        })
        if (ended.get(i) === 'finished') expect(outputs[i]).toEqual(plain.slice(0, Math.min(maxTokens, stopAt ?? Infinity)))
        else expect(outputs[i]).toEqual(plain.slice(0, outputs[i]!.length))
      }
      // All that is held is the cache's, and the cache can give it all up.
      expect(pool.used).toBe(cache.evictable)
      expect(ids.size).toBe(cache.evictable)
      if (cache.evictable > 0) cache.evict(cache.evictable)
      expect(pool.used).toBe(0)
      expect(ids.size).toBe(0)
    }), { numRuns: 150 })
  })

  test('stop strings in any pieces: nothing of them is shown, nothing before them is lost', () => {
    const text = fc.array(fc.constantFrom('a', 'b', 'ab', 'ba', 'c', ''), { maxLength: 30 })
    const stops = fc.array(fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 1, maxLength: 4 }), { maxLength: 3 })
    fc.assert(fc.property(text, stops, (pieces, stop) => {
      const scanner = new StopScanner(stop)
      let shown = ''
      for (const piece of pieces) shown += scanner.push(piece)
      shown += scanner.end()
      const all = pieces.join('')
      expect(scanner.met !== undefined).toBe(stop.some((s) => all.includes(s)))
      expect(all.startsWith(shown + (scanner.met ?? ''))).toBe(true)
      for (const s of stop) expect(shown.includes(s)).toBe(false)
      if (scanner.met === undefined) expect(shown).toBe(all)
    }))
  })
})
