import type { Quantity } from '$engine/trace/quantity'
import type { Provenance } from '$engine/trace/provenance'
import type { Event, RequestRecord, Step, Trace } from '$engine/trace/trace'

/*
 * Small Traces written by hand so that every component can be seen in every state without an engine.
 * They say so: all of them are 'recorded' on a machine that is called a sample.
 */
export const recorded: Provenance = {
  how: 'recorded',
  device: { name: 'Hand-made sample', runner: 'recorded', model: 'no model' },
  at: '2026-01-01T12:00:00Z',
}

const PROMPT = 'Once| upon| a| time| there| lived| a| mill|er'.split('|')
const STORY =
  ' who| had| three| sons|,| and| the| young|est| was| called| Hans|.|\n|His| brothers| laughed| at| him|,| but| he| went| out| into| the| wide| world| all| the| same|.|\n\n|On| the| road| he| met| an| old| woman|,| who| said|:| "|Give| me| a| piece| of| your| bread|."'.split('|')

export interface SampleRequest {
  arrival?: number
  promptTokens?: number
  promptTexts?: string[]
  outputs?: number
  queue?: number
  prefill?: number
  tpot?: number
  rtt?: number
}

/** A Trace of requests that follow each other through network, queue, prefill and decode at an even pace. */
export function sampleTrace(requests: SampleRequest[]): Trace {
  const trace: Trace = { provenance: recorded, requests: [], events: [], steps: [], resolution: 0.005, roofs: { flopsPerSecond: 49e9, read: [{ bytes: 1e6, bytesPerSecond: 63e9 }, { bytes: 256e6, bytesPerSecond: 23e9 }] } }
  requests.forEach((r, id) => addRequest(trace, id, r))
  trace.events.sort((a, b) => a.t - b.t)
  return trace
}

function addRequest(trace: Trace, id: number, r: SampleRequest): void {
  const { arrival = 0, queue = 42, prefill = 76, tpot = 4.7, rtt = 0, outputs = 64 } = r
  const promptTexts = r.promptTexts ?? longPrompt(r.promptTokens ?? PROMPT.length)
  const record: RequestRecord = { id, arrival, promptTokens: promptTexts.length, maxTokens: outputs, promptTexts, network: { out: rtt / 2, back: rtt / 2 } }
  trace.requests.push(record)
  const event = (t: number, kind: Event['kind'], more: Partial<Event> = {}) => trace.events.push({ t, request: id, kind, ...more })
  let t = arrival
  event(t, 'sent')
  t += rtt / 2
  event(t, 'gateway')
  event(t, 'queued')
  t += queue
  event(t, 'scheduled')
  const half = Math.ceil(promptTexts.length / 2)
  event(t + prefill / 2, 'prefill', { count: half })
  event(t + prefill, 'prefill', { count: promptTexts.length - half })
  trace.steps.push(step(id, t, prefill, promptTexts.length, 0))
  t += prefill
  for (let i = 0; i < outputs; i++) {
    if (i > 0) {
      trace.steps.push(step(id, t, tpot, 1, promptTexts.length + i - 1))
      t += tpot
    }
    event(t + rtt / 2, 'token', { token: i, text: STORY[i % STORY.length] })
  }
  event(t + rtt / 2, 'finished')
}

function step(request: number, start: number, duration: number, tokens: number, context: number): Step {
  const flops = tokens * 9.5e6
  const bytes = 19e6 + context * 1024
  return { start, duration, batch: [{ request, tokens, context, sampled: true, soloFlops: flops, soloBytes: bytes }], flops, bytes, workingSet: bytes, kvBlocks: Math.ceil((context + tokens) / 16) }
}

function longPrompt(n: number): string[] {
  return Array.from({ length: n }, (_, i) => (i < PROMPT.length ? PROMPT[i]! : STORY[(i - PROMPT.length) % STORY.length]!))
}

const cpu = { name: '2-core CPU, WebAssembly', runner: 'wasm', model: 'tales-5m', threads: 2 } as const

/** One of each way a number can be known. */
export function provenances(): Provenance[] {
  const measured: Provenance = { how: 'measured', device: cpu, at: new Date().toISOString() }
  return [
    measured,
    { how: 'simulated', costs: measured, seed: 7 },
    { how: 'modelled', hardware: 'H100 SXM', model: 'Llama-3.1-8B' },
    recorded,
    { how: 'published', source: 'MLPerf Inference v4.1', conditions: '8×H100, offline' },
  ]
}

export function sampleQuantity(over: Partial<Quantity> = {}): Quantity {
  return { metric: 'ttft', value: 118, unit: 'ms', provenance: recorded, ...over }
}

/** An exponential sample by inverse transform at evenly spread quantiles, in a scrambled order. */
export function waits(n: number, mean: number): number[] {
  return Array.from({ length: n }, (_, i) => -mean * Math.log(1 - (((i * 0.618034) % 1) * 0.985 + 0.005)) + 40)
}
