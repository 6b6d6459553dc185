import { MessageChannel } from 'node:worker_threads'
import { loadModel, loadTokenizer, type ReadFile } from '$engine/model/load'
import { createRunner } from '$engine/runner/create'
import type { Runner } from '$engine/runner/runner'
import { chatRenderer } from '$engine/server/chat'
import { MonotonicClock } from '$engine/server/clock'
import { runEngine } from '$engine/server/engine'
import { HttpServer, type HttpOptions } from '$engine/server/http'
import { EngineLink } from '$engine/server/link'
import { modelFiles, type FolderOptions } from './model-folder'

export interface TestServerOptions extends Partial<Pick<HttpOptions, 'apiKey' | 'allowOrigins' | 'maxOpen' | 'record' | 'limits'>> {
  model?: FolderOptions
  blocks?: number
  maxSequences?: number
  prefixCache?: boolean
  /** Stands between the engine and its runner. */
  wrap?: (runner: Runner) => Runner
}

export interface TestServer {
  url: string
  link: EngineLink
  http: HttpServer
  /** Resolves when the engine has ended. */
  engine: Promise<void>
  close(): Promise<void>
}

/** The server with its engine in this thread, on a tiny model of single bytes and the reference runner, on a free port. */
export async function startServer({ model, blocks = 256, maxSequences = 8, prefixCache = true, wrap = (r) => r, ...http }: TestServerOptions = {}): Promise<TestServer> {
  const files = modelFiles(model)
  const read: ReadFile = (file) => {
    const bytes = files.get(file)
    return bytes ? Promise.resolve(bytes.buffer) : Promise.reject(new Error('there is no such file'))
  }
  const loaded = await loadModel('tiny', read)
  const { tokenizer, tokenizerConfig } = await loadTokenizer('tiny', read)
  const runner = wrap(await createRunner('reference', loaded.model, { blocks, sequences: maxSequences }))
  const clock = new MonotonicClock()
  const { port1, port2 } = new MessageChannel()
  const connected = EngineLink.connect(port1)
  const engine = runEngine(port2, { loaded, runner, clock, maxSequences, prefixCache })
  const link = await connected
  const server = await HttpServer.listen({ link, tokenizer, render: chatRenderer(tokenizerConfig), clock, host: '127.0.0.1', port: 0, record: 1000, ...http })
  return {
    url: server.url, link, http: server, engine,
    close: async () => {
      await server.drain(2000)
      await engine
      port1.close()
    },
  }
}
