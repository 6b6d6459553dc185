// node scripts/run.mjs tests/bench/server-memory.ts
//
// Live heap of the server and its engine after every thousand requests, one in twenty of them aborted: once the
// prefix cache is full it must not grow.

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { startServer } from '../support/server'

setFlagsFromString('--expose-gc')
const gc = runInNewContext('gc') as () => void
const server = await startServer({ record: 0, blocks: 256 })
let n = 0
for (let round = 0; round < 6; round++) {
  for (let i = 0; i < 125; i++) {
    await Promise.all(Array.from({ length: 8 }, async () => {
      const k = n++
      const stop = new AbortController()
      const answer = await fetch(`${server.url}/v1/completions`, { method: 'POST', signal: stop.signal, headers: { 'content-type': 'application/json' }, body: JSON.stringify({ prompt: `The wolf number ${k} went to the forest`, max_tokens: 4, ignore_eos: true, stream: true }) })
      if (k % 20 === 0) stop.abort()
      await answer.text().catch(() => '')
    }))
  }
  gc()
  gc()
  console.log(`${n} requests: ${(process.memoryUsage().heapUsed / 2 ** 20).toFixed(1)} MiB of heap, ${server.link.open} open, ${server.link.state.blocksUsed} blocks in use`)
}
await server.close()
