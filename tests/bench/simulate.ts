import { spawnSync } from 'node:child_process'
import { cpus } from 'node:os'
import { parseScenario } from '$engine/serving/scenario'
import { simulate } from '$engine/serving/simulate'

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
  '8 replicas, shortest queue': (requests) => ({ requests, arrivals: { rate: 80 }, output, steps: affine, replicas: 8, router: 'shortest-queue' }),
}

const rows: Row[] = []
for (const [what, scenario] of Object.entries(CASES)) {
  simulate(parseScenario(scenario(20_000))) // compiled by now
  for (const requests of [1e4, 1e5, 1e6]) {
    if (requests > 1e5 && what.includes('KV bound')) continue
    // Processor time, not time on the wall: what one core does, whoever else uses the machine.
    const before = process.cpuUsage()
    simulate(parseScenario(scenario(requests)))
    const { user, system } = process.cpuUsage(before)
    rows.push({ what, requests, per_second: Math.round((requests / (user + system)) * 1e6), heap_mb: Math.round(process.memoryUsage().heapUsed / 2 ** 20) })
  }
}
const simpy = simPy()
if (process.argv.includes('--json')) console.log(JSON.stringify({ cpu: cpus()[0]?.model, rows, simpy_mm1_per_second: simpy ?? null }, null, 2))
else {
  console.log(`${cpus()[0]?.model.trim()}, one core, Node ${process.version}\n`)
  for (const r of rows) console.log(`${r.what.padEnd(40)}${String(r.requests).padStart(9)} requests ${r.per_second.toLocaleString('en').padStart(12)} /s   heap ${r.heap_mb} MB`)
  console.log(simpy === undefined ? 'SimPy is not installed here: not compared' : `${'SimPy, M/M/1'.padEnd(40)}${'100000'.padStart(9)} requests ${Math.round(simpy).toLocaleString('en').padStart(12)} /s`)
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
