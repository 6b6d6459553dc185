import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { basename, extname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.mjs': 'text/javascript', '.css': 'text/css',
  '.json': 'application/json', '.wasm': 'application/wasm',
}

/** Folders of models by the name a page asks for them by. */
export type ModelFolders = Readonly<Record<string, string>>

/** Serves a built page at / and model folders at /model/NAME/, cross-origin isolated, on the loopback only. */
export async function servePage(page: string, models: ModelFolders): Promise<{ url: string; close(): Promise<void> }> {
  const server = createServer((request, response) => {
    answer(fileFor(request.url ?? '/', page, models), response).catch(() => response.destroy())
  })
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}/`, close: () => closed(server) }
}

async function answer(file: string | undefined, response: ServerResponse): Promise<void> {
  const info = file ? await stat(file).catch(() => undefined) : undefined
  if (!file || !info?.isFile()) {
    response.writeHead(404).end()
    return
  }
  response.writeHead(200, {
    'Content-Type': TYPES[extname(file)] ?? 'application/octet-stream',
    'Content-Length': info.size,
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Cross-Origin-Embedder-Policy': 'require-corp',
  })
  await pipeline(createReadStream(file), response)
}

function closed(server: Server): Promise<void> {
  server.closeAllConnections()
  return new Promise((resolve) => server.close(() => resolve()))
}

/** No path leads out of the folders: a model's is flat, the page's has no '..' in it. */
function fileFor(url: string, page: string, models: ModelFolders): string | undefined {
  const path = decodeURIComponent(new URL(url, 'http://loopback').pathname)
  if (path.startsWith('/model/')) {
    const [, , name = '', file = ''] = path.split('/')
    return Object.hasOwn(models, name) ? join(models[name]!, basename(file)) : undefined
  }
  if (path.split(/[\\/]/).includes('..')) return undefined
  return join(page, path === '/' ? 'index.html' : path)
}
