import { define, power2, type Values } from '$components/controls/params'
import type { Context, Reading } from '$components/frame/experiment'
import { follow } from '$components/frame/follow'
import { percentile, perRequest } from '$engine/trace/metrics'
import type { Provenance } from '$engine/trace/provenance'
import type { Trace } from '$engine/trace/trace'
import type { Machine } from '$engine/worker/protocol'

const INPUT = { from: 16, to: 2048 }
const OUTPUT = { from: 8, to: 512 }

export const params = define({
  input: power2({ ...INPUT, default: 256, label: 'Input', unit: 'tok', tone: 'prefill', hint: 'Tokens of the prompt.' }),
  output: power2({ ...OUTPUT, default: 64, label: 'Output', unit: 'tok', tone: 'decode', hint: 'Tokens of the answer.' }),
  batch: power2({ from: 1, to: 64, default: 1, label: 'Batch', unit: 'seq', hint: 'Requests that decode together: yours and others that are already on the road.' }),
})

const powers = (from: number, to: number, by: number) => Array.from({ length: Math.floor(Math.log(to / from) / Math.log(by) + 1e-9) + 1 }, (_, i) => from * by ** i)
export const INPUTS = powers(INPUT.from, INPUT.to, 2)
export const OUTPUTS = powers(OUTPUT.from, OUTPUT.to, 2)
export const BATCHES = powers(1, 64, 2)
/** Input lengths at which the reader's answer is served live, besides the reader's own. */
const LIVE_INPUTS = [16, 128, 512]

/** Tokens of a look at one moment of decoding: two gaps. */
const LOOK = 3
/** KV blocks of the pool, 16 positions each: what a browser grants without asking twice. */
const BLOCKS = 4096
const BLOCK = 16

/** What a request of one input length takes on a machine of known step costs. */
export interface Row {
  input: number
  ttft: number
  /** TPOT at the beginning and at the end of the longest answer: its growth in between is that of the cache. */
  first: number
  last: number
}

export interface OutputReading extends Reading {
  /** The reader's own request, token by token. */
  trace: Trace
  /** The same prompt alone, one token out: what its prefill takes. */
  prefill?: Trace
  /** E2E of the reader's answer behind other inputs, served on the machine that is looked at; ascending. */
  inputs: { input: number; e2e: number }[]
  /** By step costs, all input lengths at this batch. */
  rows: Row[]
  /** By step costs, what one token out costs in tokens in, by batch. */
  exchange: { batch: number; tokens: number }[]
  /** How rows and exchange are known. */
  costs?: Provenance
}

/** Mine with a prompt, after others that are decoding and go on until mine is done. */
function workload(input: number, output: number, batch: number, present = 0) {
  const own = Math.ceil((present + input + output) / BLOCK) + 2
  const room = batch > 1 ? Math.floor((BLOCKS - own) / (batch - 1)) * BLOCK : 0
  const others = Math.max(1, Math.min(present + input, room - output - BLOCK - 8))
  return {
    model: 'timing', maxSequences: batch,
    requests: [
      ...Array.from({ length: batch - 1 }, () => ({ prompt: 1, context: others, maxTokens: output + 8, ignoreEos: true })),
      { prompt: input, ...(present > 0 ? { context: present } : {}), maxTokens: output, ignoreEos: true },
    ],
  }
}

const mine = (trace: Trace) => perRequest(trace).find((r) => r.request === trace.requests.length - 1)

/** The reader's request live, then what every other length comes to by this machine's step costs, then some of those lengths live. */
export async function* run(p: Values<typeof params>, { engine, signal, lens = 'here' }: Context): AsyncGenerator<OutputReading> {
  const found: Omit<OutputReading, 'trace' | 'complete'> = { inputs: [], rows: [], exchange: [] }
  let trace: Trace | undefined
  for await (const seen of follow(engine, workload(p.input, p.output, p.batch), signal)) yield { ...found, trace: (trace = seen.trace), complete: false }
  if (!trace) return
  const reading = (complete: boolean): OutputReading => ({ ...found, trace: trace!, complete })
  const add = (input: number, served: Trace) => {
    const own = mine(served)
    if (own) found.inputs = [...found.inputs, { input, e2e: own.e2e }].sort((a, b) => a.input - b.input)
  }
  add(p.input, trace)
  found.prefill = await engine.serve(workload(p.input, 1, 1), { signal })
  yield reading(false)

  const machine = await engine.machine('timing', { signal })
  found.costs = machine.provenance.how === 'measured' ? { how: 'simulated', costs: machine.provenance, seed: 0 } : machine.provenance
  const virtually = async (...of: Parameters<typeof workload>) => mine(await engine.serve(workload(...of), { signal, on: machine }))!
  for (const input of INPUTS) found.rows = [...found.rows, await rowOf(input, p.batch, machine, virtually)]
  const alone = await virtually(p.input, 1, 1)
  for (const batch of BATCHES) {
    const step = await virtually(1, LOOK, batch, p.input - 1)
    found.exchange = [...found.exchange, { batch, tokens: exchangeOf(percentile(step.itl, 50), batch, alone.ttft, p.input) }]
  }
  yield reading(false)

  // Through another machine the first run and these are of the same costs: nothing more is to be learnt by serving them.
  if (lens === 'here') {
    for (const input of LIVE_INPUTS.filter((length) => length !== p.input)) {
      add(input, await engine.serve(workload(input, p.output, p.batch), { signal }))
      yield reading(false)
    }
  }
  yield reading(true)
}

type Virtually = (...of: Parameters<typeof workload>) => Promise<NonNullable<ReturnType<typeof mine>>>

async function rowOf(input: number, batch: number, machine: Machine, virtually: Virtually): Promise<Row> {
  const [begin, end] = [await virtually(input, LOOK, batch), await virtually(1, LOOK, batch, input + OUTPUT.to - LOOK)]
  return { input, ttft: begin.ttft, first: percentile(begin.itl, 50), last: percentile(end.itl, 50) }
}

/** Input tokens whose prefill occupies the machine as long as one output token does when `batch` requests share a step. */
export function exchangeOf(tpot: number, batch: number, prefillMs: number, input: number): number {
  return tpot / batch / (prefillMs / input)
}

/** E2E of a request with so many tokens out: TTFT, and a gap each that grows with the cache. */
export function e2eOf(row: Row, output: number): number {
  const gaps = output - 1
  const middle = row.first + ((row.last - row.first) * gaps) / 2 / OUTPUT.to
  return row.ttft + gaps * middle
}
