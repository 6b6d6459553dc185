import { spawnSync } from 'node:child_process'
import { cpus } from 'node:os'
import { parseScenario } from '$engine/serving/scenario'
import { simulate } from '$engine/serving/simulate'
import { readTraceFile } from '$engine/serving/trace-files'

// node scripts/run.mjs tests/bench/simulate.ts [--json]
//
// Simulated requests a second of one core's time, how time and memory grow with the number of requests, and
// SimPy beside it where it is installed.

interface Row {
  what: string
  requests: number
  per_second: number
  heap_mb: number
}

const affine = { kind: 'affine', base_ms: 10, per_sequence_ms: 0.1, per_context_token_ms: 1e-4, per_prefill_token_ms: 0.02, per_prefill_token_context_ms: 1e-6 }
const output = { dist: 'exponential', mean: 128 }

const CASES: Record<string, (requests: number) => unknown> = {
  'M/M/1': (requests) => ({ requests, arrivals: { rate: 0.8 }, service: { kind: 'exponential' } }),
  'continuous batching, about 10 at once': (requests) => ({ requests, arrivals: { rate: 6 }, output, steps: affine }),
  'continuous batching, about 80 at once': (requests) => ({ requests, arrivals: { rate: 24 }, output, steps: affine }),
  'the same, KV bound, preempting': (requests) => ({ requests, arrivals: { rate: 24 }, output: { ...output, max: 2048 }, steps: affine, scheduler: { kv_blocks: 2588 } }),
  'overloaded, tens of thousands in line': (requests) => ({ requests, arrivals: { rate: 40 }, output, steps: affine }),
  'processor sharing, overloaded': (requests) => ({ requests, arrivals: { rate: 1.1 }, service: { kind: 'exponential', discipline: 'processor-sharing' } }),
  '8 replicas, shortest queue': (requests) => ({ requests, arrivals: { rate: 80 }, output, steps: affine, replicas: 8, router: 'shortest-queue' }),
}

const rows: Row[] = []
for (const [what, scenario] of Object.entries(CASES)) {
  simulate(parseScenario(scenario(20_000))) // compiled by now
  for (const requests of [1e4, 1e5, 1e6]) {
    rows.push(measure(what, requests, () => void simulate(parseScenario(scenario(requests)))))
  }
}
rows.push(millionLines(), sampled())
const simpy = simPy()
if (process.argv.includes('--json')) console.log(JSON.stringify({ cpu: cpus()[0]?.model, rows, simpy_mm1_per_second: simpy ?? null }, null, 2))
else {
  console.log(`${cpus()[0]?.model.trim()}, one core, Node ${process.version}\n`)
  for (const r of rows) console.log(`${r.what.padEnd(40)}${String(r.requests).padStart(9)} requests ${r.per_second.toLocaleString('en').padStart(12)} /s   heap ${r.heap_mb} MB`)
  console.log(simpy === undefined ? 'SimPy is not installed here: not compared' : `${'SimPy, M/M/1'.padEnd(40)}${'100000'.padStart(9)} requests ${Math.round(simpy).toLocaleString('en').padStart(12)} /s`)
}

/** A trace file of a million lines, read and served. */
function millionLines(): Row {
  const lines = ['TIMESTAMP,ContextTokens,GeneratedTokens']
  for (let i = 0; i < 1e6; i++) lines.push(`${new Date(1.7e12 + i * 150).toISOString().replace('T', ' ').replace('Z', '')},${1 + ((i * 379) % 900)},${1 + ((i * 67) % 250)}`)
  const text = lines.join('\r\n')
  return measure('a trace file of a million lines', 1e6, () => {
    const trace = readTraceFile(text)
    simulate(parseScenario({ requests: 1e6, arrivals: { process: 'trace', file: 'big.csv' }, steps: affine }), { files: { trace } })
  })
}

/** A million requests with a Trace of every five-hundredth. */
function sampled(): Row {
  return measure('continuous batching, a Trace of 2000', 1e6, () => void simulate(parseScenario({ requests: 1e6, arrivals: { rate: 6 }, output, steps: affine }), { traceEvery: 500 }))
}

/** Processor time, not time on the wall: what one core does, whoever else uses the machine. */
function measure(what: string, requests: number, run: () => void): Row {
  const before = process.cpuUsage()
  run()
  const { user, system } = process.cpuUsage(before)
  return { what, requests, per_second: Math.round((requests / (user + system)) * 1e6), heap_mb: Math.round(process.memoryUsage().heapUsed / 2 ** 20) }
}

/** Customers a second of the textbook M/M/1 in SimPy 2 (Debian’s python3-simpy); undefined without it. */
function simPy(): number | undefined {
  const program = `
import random, time
from SimPy.Simulation import *
class Customer(Process):
    def visit(self, server):
        yield request, self, server
        yield hold, self, random.expovariate(1.0)
        yield release, self, server
class Source(Process):
    def generate(self, server, n):
        for _ in range(n):
            yield hold, self, random.expovariate(0.8)
            c = Customer()
            activate(c, c.visit(server))
random.seed(1)
n = 100000
initialize()
source = Source()
activate(source, source.generate(Resource(capacity=1), n))
start = time.process_time()
simulate(until=1e12)
print(n / (time.process_time() - start))
`
  for (const python of ['python3', '/usr/bin/python3']) {
    const { status, stdout } = spawnSync(python, ['-c', program], { encoding: 'utf8' })
    if (status === 0) return Number(stdout)
  }
  return undefined
}
