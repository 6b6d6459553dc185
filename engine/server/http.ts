import { randomInt, randomUUID, timingSafeEqual } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Tokenizer } from '../model/tokenizer'
import type { RequestRecord } from '../trace/trace'
import type { Clock } from '../serving/clock'
import type { Ending, EngineLink } from './link'
import { ServerMetrics } from './metrics'
import { ApiError, chatShape, completionShape, readChat, readCompletion, readDetokenize, readTokenize, usage, type ChatMessage, type FinishReason, type Prompt, type Shape, type Wanted } from './openai'
import { Recording } from './recording'

export interface HttpOptions {
  link: EngineLink
  tokenizer: Tokenizer
  render: (messages: readonly ChatMessage[]) => string
  /** The engine's clock: both sides write into one Trace. */
  clock: Clock
  host: string
  port: number
  /** Clients must bring it as a bearer token; undefined: nobody is asked. */
  apiKey?: string
  /** Origins whose pages may ask from a browser; '*' for all. */
  allowOrigins?: readonly string[]
  /** Requests that may be in the server at once; more are refused with 429. */
  maxOpen?: number
  /** Requests whose Trace is kept; 0: none. */
  record?: number
  limits?: Partial<HttpLimits>
}

export interface HttpLimits {
  bodyBytes: number
  connections: number
  /** A client gets so long for its headers, its whole request, and to read what it was sent. ms */
  headersMs: number
  requestMs: number
  readMs: number
}

const LIMITS: HttpLimits = { bodyBytes: 4 * 2 ** 20, connections: 4096, headersMs: 10_000, requestMs: 30_000, readMs: 60_000 }

type Handler = (request: IncomingMessage, response: ServerResponse, arrival: number) => Promise<void> | void

/** Our engine behind OpenAI's protocol. */
export class HttpServer {
  readonly metrics = new ServerMetrics()
  readonly recording: Recording | undefined
  /** No new requests; those inside are answered. */
  draining = false
  private readonly server: Server
  private readonly limits: HttpLimits
  private readonly created = Math.floor(Date.now() / 1000)
  private readonly routes: Record<string, Record<string, Handler>>

  private constructor(private readonly options: HttpOptions) {
    const { link, record = 0 } = options
    this.limits = { ...LIMITS, ...options.limits }
    this.recording = record > 0 ? new Recording(link.facts, record) : undefined
    link.watch((update) => {
      this.metrics.update(update)
      this.recording?.update(update)
    })
    this.routes = {
      '/health': { GET: (_, response) => this.health(response) },
      '/metrics': { GET: (_, response) => void send(response, 200, this.metrics.text(link.facts, link.state), 'text/plain; version=0.0.4; charset=utf-8') },
      '/version': { GET: (_, response) => sendJson(response, 200, { version: 'token-expressway' }) },
      '/v1/models': { GET: (_, response) => sendJson(response, 200, { object: 'list', data: [this.modelCard()] }) },
      [`/v1/models/${encodeURIComponent(link.facts.model)}`]: { GET: (_, response) => sendJson(response, 200, this.modelCard()) },
      '/tokenize': { POST: (request, response) => this.tokenize(request, response) },
      '/detokenize': { POST: (request, response) => this.detokenize(request, response) },
      '/v1/completions': { POST: (request, response, arrival) => this.completions(request, response, arrival) },
      '/v1/chat/completions': { POST: (request, response, arrival) => this.chat(request, response, arrival) },
    }
    this.server = createServer({ headersTimeout: this.limits.headersMs, requestTimeout: this.limits.requestMs, keepAliveTimeout: 65_000, connectionsCheckingInterval: 2000 })
    this.server.maxConnections = this.limits.connections
    this.server.on('request', (request: IncomingMessage, response: ServerResponse) => void this.answer(request, response))
    this.server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
      if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy()
      const status = error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? '408 Request Timeout' : error.code === 'HPE_HEADER_OVERFLOW' ? '431 Request Header Fields Too Large' : '400 Bad Request'
      socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`)
    })
  }

  /** Listens. Rejects where the address cannot be had. */
  static async listen(options: HttpOptions): Promise<HttpServer> {
    const http = new HttpServer(options)
    await new Promise<void>((resolve, reject) => {
      http.server.once('error', reject)
      http.server.listen(options.port, options.host, resolve)
    })
    return http
  }

  get url(): string {
    const { address, port, family } = this.server.address() as AddressInfo
    return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`
  }

  /** Answers those inside, at most for `graceMs`, then nobody. Resolves when all connections are gone. */
  async drain(graceMs: number): Promise<void> {
    const { link } = this.options
    this.draining = true
    link.close()
    const patience = setTimeout(() => link.stop('the server was shut down before the answer was complete'), graceMs)
    await link.closed
    clearTimeout(patience)
    this.server.closeIdleConnections()
    // The last bytes are on their way to whoever reads them.
    const last = setTimeout(() => this.server.closeAllConnections(), 1000)
    await new Promise<void>((resolve) => this.server.close(() => resolve()))
    clearTimeout(last)
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const arrival = this.options.clock.now()
    try {
      this.allow(request, response)
      if (request.method === 'OPTIONS') return void response.writeHead(204).end()
      const path = new URL(request.url ?? '/', 'http://server').pathname
      const route = Object.hasOwn(this.routes, path) ? this.routes[path]! : undefined
      if (!route) throw new ApiError(404, `There is no ${path} here; there are ${Object.keys(this.routes).join(', ')}.`, null, null, 'not_found_error')
      const handler = route[request.method ?? '']
      if (!handler) {
        response.setHeader('Allow', Object.keys(route).join(', '))
        throw new ApiError(405, `${path} takes ${Object.keys(route).join(', ')}, not ${request.method}.`)
      }
      if (path.startsWith('/v1/') || path.endsWith('tokenize')) this.authenticate(request)
      await handler(request, response, arrival)
    } catch (error) {
      this.refuse(response, error)
    }
  }

  /** Which pages may ask. A server on the loopback also wants to be called so: a page elsewhere that gives its own name to this address is no page of ours. */
  private allow(request: IncomingMessage, response: ServerResponse): void {
    const { allowOrigins = [], host } = this.options
    const { origin } = request.headers
    response.setHeader('X-Content-Type-Options', 'nosniff')
    if (origin !== undefined && (allowOrigins.includes('*') || allowOrigins.includes(origin))) {
      response.setHeader('Access-Control-Allow-Origin', allowOrigins.includes('*') ? '*' : origin)
      response.setHeader('Access-Control-Allow-Headers', 'authorization, content-type, x-request-id')
      response.setHeader('Access-Control-Allow-Methods', 'GET, POST, OPTIONS')
      response.setHeader('Access-Control-Expose-Headers', 'x-request-id')
      response.setHeader('Access-Control-Max-Age', '600')
      if (request.headers['access-control-request-private-network'] !== undefined) response.setHeader('Access-Control-Allow-Private-Network', 'true')
      response.setHeader('Vary', 'Origin')
    }
    const called = (request.headers.host ?? '').replace(/:\d+$/, '')
    if (isLoopback(host) && !isLoopback(called)) throw new ApiError(403, `This server is bound to ${host} and answers to that name or localhost, not to ${JSON.stringify(called)}.`)
  }

  private authenticate(request: IncomingMessage): void {
    const { apiKey } = this.options
    if (apiKey === undefined) return
    const given = Buffer.from(/^Bearer (.*)$/.exec(request.headers.authorization ?? '')?.[1] ?? '')
    const wanted = Buffer.from(apiKey)
    if (given.length === wanted.length && timingSafeEqual(given, wanted)) return
    throw new ApiError(401, given.length ? 'The API key is not the one this server was started with.' : 'This server wants an API key: send it as Authorization: Bearer KEY.', null, 'invalid_api_key', 'authentication_error')
  }

  private refuse(response: ServerResponse, error: unknown): void {
    const known = error instanceof ApiError ? error : new ApiError(500, `The server failed: ${error instanceof Error ? error.message : String(error)}`, null, null, 'server_error')
    if (response.destroyed) return // its client went away half-way
    this.metrics.turnedAway(String(known.status))
    if (response.headersSent) return void response.destroy()
    if (known.status === 429 || known.status === 503) response.setHeader('Retry-After', '1')
    // What is left of its body is not waited for.
    if (known.status === 413 || known.status === 408) response.setHeader('Connection', 'close')
    sendJson(response, known.status, known.body)
  }

  private health(response: ServerResponse): void {
    const { broken } = this.options.link
    if (broken !== undefined) throw new ApiError(503, broken, null, null, 'server_error')
    if (this.draining) throw new ApiError(503, 'The server is shutting down.', null, null, 'server_error')
    void send(response, 200, '', 'text/plain')
  }

  private modelCard(): object {
    const { model, maxModelLength } = this.options.link.facts
    return { id: model, object: 'model', created: this.created, owned_by: 'token-expressway', root: model, parent: null, max_model_len: maxModelLength }
  }

  private async tokenize(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const tokens = this.options.tokenizer.encode(readTokenize(await this.body(request), this.options.render))
    sendJson(response, 200, { count: tokens.length, max_model_len: this.options.link.facts.maxModelLength, tokens })
  }

  private async detokenize(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const tokens = readDetokenize(await this.body(request))
    this.checkIds(tokens, 'tokens')
    sendJson(response, 200, { prompt: this.options.tokenizer.decode(tokens) })
  }

  private async completions(request: IncomingMessage, response: ServerResponse, arrival: number): Promise<void> {
    const wanted = readCompletion(await this.body(request), newSeed)
    const id = `cmpl-${nameOf(request) ?? randomUUID()}`
    this.generate(wanted, completionShape(id, this.options.link.facts.model, now()), request, response, arrival)
  }

  private async chat(request: IncomingMessage, response: ServerResponse, arrival: number): Promise<void> {
    const wanted = readChat(await this.body(request), newSeed, this.options.render)
    const id = `chatcmpl-${nameOf(request) ?? randomUUID()}`
    this.generate(wanted, chatShape(id, this.options.link.facts.model, now()), request, response, arrival)
  }

  private generate(wanted: Wanted, shape: Shape, request: IncomingMessage, response: ServerResponse, arrival: number): void {
    const { link, clock, maxOpen = 1024 } = this.options
    if (link.broken !== undefined) throw new ApiError(503, `The engine cannot go on: ${link.broken}`, null, null, 'server_error')
    if (this.draining) throw new ApiError(503, 'The server is shutting down and takes no more requests.', null, null, 'server_error')
    if (wanted.model !== undefined && wanted.model !== link.facts.model) throw new ApiError(404, `The model ${JSON.stringify(wanted.model)} is not here; ${link.facts.model} is.`, 'model', 'model_not_found', 'not_found_error')
    if (link.open + wanted.prompts.length > maxOpen) throw new ApiError(429, `The server holds ${link.open} requests, ${maxOpen} at most: try again later.`, null, 'rate_limit_exceeded', 'rate_limit_error')
    const prompts = wanted.prompts.map((p) => this.ids(p))
    const lengths = prompts.map((p) => this.room(p.length, wanted.maxTokens))

    const name = nameOf(request)
    if (name !== undefined) response.setHeader('X-Request-Id', name)
    const answer = wanted.stream ? new StreamedAnswer(response, shape, wanted, prompts) : new WholeAnswer(response, shape, prompts)
    const queuedAt = clock.now()
    const ids: number[] = []
    for (const [index, prompt] of prompts.entries()) {
      const id = link.newId()
      ids.push(id)
      const record: RequestRecord = { id, arrival, promptTokens: prompt.length, maxTokens: lengths[index]! }
      if (name !== undefined) record.name = name
      this.recording?.asked(record)
      this.metrics.asked(id, { arrival, queued: queuedAt, promptTokens: prompt.length })
      // Choices of one request are drawn independently.
      const sampling = wanted.sampling && { ...wanted.sampling, seed: (wanted.sampling.seed + index) >>> 0 }
      link.ask({ record, prompt, queuedAt, ignoreEos: wanted.ignoreEos, sampling, stop: wanted.stop }, {
        token: (text) => answer.token(index, text),
        end: (ending) => answer.end(index, ending),
      })
    }
    response.on('close', () => {
      if (!response.writableFinished) for (const id of ids) link.cancel(id)
    })
    answer.onEnd = () => response.setTimeout(this.limits.readMs, () => response.destroy())
  }

  private ids(prompt: Prompt): Int32Array {
    const { tokenizer } = this.options
    if (typeof prompt !== 'string') this.checkIds(prompt, 'prompt')
    const ids = Int32Array.from(typeof prompt === 'string' ? tokenizer.encode(prompt) : prompt)
    if (ids.length === 0) throw new ApiError(400, 'The prompt is empty: give it a word or two.', 'prompt')
    return ids
  }

  private checkIds(ids: readonly number[], param: string): void {
    const wrong = ids.find((id) => id >= this.options.tokenizer.vocabSize)
    if (wrong !== undefined) throw new ApiError(400, `Token id ${wrong} is outside the vocabulary of ${this.options.tokenizer.vocabSize}.`, param)
  }

  /** Output tokens that fit: those asked for, or all there is room for. */
  private room(promptTokens: number, maxTokens: number | undefined): number {
    const { maxModelLength } = this.options.link.facts
    const left = maxModelLength - promptTokens
    if (left < (maxTokens ?? 1)) {
      throw new ApiError(400, `This model's maximum context length is ${maxModelLength} tokens. You asked for ${promptTokens + (maxTokens ?? 1)}: ${promptTokens} in the prompt and ${maxTokens ?? 'at least 1'} to come. Shorten the prompt or ask for fewer.`, 'prompt', 'context_length_exceeded')
    }
    return maxTokens ?? left
  }

  private async body(request: IncomingMessage): Promise<unknown> {
    const { bodyBytes } = this.limits
    const type = request.headers['content-type'] ?? ''
    // A form of another site could send plain text without asking whether it may.
    if (!/^application\/json\b/i.test(type)) throw new ApiError(415, `The body must be application/json, not ${type === '' ? 'unnamed' : JSON.stringify(type)}.`)
    const tooLarge = () => new ApiError(413, `The body is larger than the ${bodyBytes} bytes that this server takes.`)
    if (Number(request.headers['content-length'] ?? 0) > bodyBytes) throw tooLarge()
    const parts: Buffer[] = []
    let size = 0
    for await (const part of request as AsyncIterable<Buffer>) {
      if ((size += part.length) > bodyBytes) throw tooLarge()
      parts.push(part)
    }
    try {
      return JSON.parse(Buffer.concat(parts).toString('utf8'))
    } catch (cause) {
      throw new ApiError(400, `The body is not JSON: ${(cause as Error).message}`)
    }
  }
}

/** One answer to one HTTP request, of one choice or several. */
abstract class Answer {
  onEnd: () => void = () => {}
  protected readonly tokens: number[]
  private open: number

  constructor(protected readonly response: ServerResponse, protected readonly shape: Shape, protected readonly prompts: readonly ArrayLike<unknown>[]) {
    this.tokens = prompts.map(() => 0)
    this.open = prompts.length
  }

  token(index: number, text: string): void {
    this.tokens[index]!++
    this.text(index, text)
  }

  end(index: number, ending: Ending): void {
    if (this.response.destroyed || this.response.writableEnded) return
    if (ending.kind === 'rejected') return this.fail(new ApiError(400, ending.reason))
    if (ending.kind === 'failed') return this.fail(new ApiError(500, ending.reason, null, null, 'server_error'))
    this.finish(index, ending.kind, ending.kind === 'stop' ? ending.by : null)
    if (--this.open > 0) return
    this.close()
    this.onEnd()
  }

  protected get usage() {
    return usage(this.prompts.reduce((n, p) => n + p.length, 0), this.tokens.reduce((a, b) => a + b, 0))
  }

  protected abstract text(index: number, text: string): void
  protected abstract finish(index: number, reason: FinishReason, by: string | null): void
  protected abstract close(): void
  protected abstract fail(error: ApiError): void
}

class WholeAnswer extends Answer {
  private readonly choices = this.prompts.map(() => ({ text: '', finish: 'length' as FinishReason, stopReason: null as string | null }))

  protected text(index: number, text: string): void {
    this.choices[index]!.text += text
  }

  protected finish(index: number, finish: FinishReason, stopReason: string | null): void {
    Object.assign(this.choices[index]!, { finish, stopReason })
  }

  protected close(): void {
    sendJson(this.response, 200, this.shape.whole(this.choices, this.usage))
  }

  protected fail(error: ApiError): void {
    sendJson(this.response, error.status, error.body)
  }
}

/** Server-sent events: a piece for every token, the last one's with the reason why it is the last. */
class StreamedAnswer extends Answer {
  private readonly begun = this.prompts.map(() => false)
  /** The newest token's text, until what came with it has been looked at. */
  private readonly held = this.prompts.map((): string | undefined => undefined)

  constructor(response: ServerResponse, shape: Shape, private readonly wanted: Wanted, prompts: readonly ArrayLike<unknown>[]) {
    super(response, shape, prompts)
  }

  protected text(index: number, text: string): void {
    if (!this.begun[index]) {
      this.begun[index] = true
      this.begin()
      if (this.shape.opening) this.event(this.shape.opening(index))
    }
    this.flush(index)
    this.held[index] = text
    queueMicrotask(() => this.flush(index))
  }

  protected finish(index: number, reason: FinishReason, by: string | null): void {
    this.begin()
    this.event(this.withUsage(this.shape.piece(index, this.held[index] ?? '', reason, by), index))
    this.held[index] = undefined
  }

  private flush(index: number): void {
    const text = this.held[index]
    if (text === undefined) return
    this.held[index] = undefined
    this.event(this.withUsage(this.shape.piece(index, text, null, null), index))
  }

  protected close(): void {
    if (this.wanted.includeUsage) this.event(this.shape.tail(this.usage))
    this.response.end('data: [DONE]\n\n')
  }

  protected fail(error: ApiError): void {
    if (!this.response.headersSent) return sendJson(this.response, error.status, error.body)
    this.event(error.body)
    this.response.end()
  }

  private begin(): void {
    if (this.response.headersSent) return
    // Proxies that hold a stream back are told not to.
    this.response.writeHead(200, { 'Content-Type': 'text/event-stream; charset=utf-8', 'Cache-Control': 'no-cache', 'X-Accel-Buffering': 'no' })
  }

  private withUsage(piece: object, index: number): object {
    return this.wanted.usageAlways ? { ...piece, usage: usage(this.prompts[index]!.length, this.tokens[index]!) } : piece
  }

  private event(data: object): void {
    if (!this.response.destroyed) this.response.write(`data: ${JSON.stringify(data)}\n\n`)
  }
}

function sendJson(response: ServerResponse, status: number, body: object): void {
  send(response, status, JSON.stringify(body), 'application/json')
}

function send(response: ServerResponse, status: number, text: string, type: string): void {
  response.writeHead(status, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(text) }).end(text)
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host === '[::1]' || /^127(\.\d{1,3}){3}$/.test(host)
}

/** A client's own name for its request, where it is one that may stand in logs. */
function nameOf(request: IncomingMessage): string | undefined {
  const name = request.headers['x-request-id']
  return typeof name === 'string' && /^[\w.:-]{1,100}$/.test(name) ? name : undefined
}

function now(): number {
  return Math.floor(Date.now() / 1000)
}

function newSeed(): number {
  return randomInt(2 ** 32)
}
