import { join } from 'node:path'
import { affine } from '$engine/cost/affine'
import { fitSteps, stepMs, type StepSample } from '$engine/cost/step-fit'
import { sweep } from '$engine/measure/sweep'
import { folderReader, ROOT } from '$engine/cli/place'
import { loadModel } from '$engine/model/load'
import { createRunner } from '$engine/runner/create'
import type { Runner } from '$engine/runner/runner'
import { WallClock } from '$engine/serving/clock'
import { Random } from '$engine/serving/random'
import { replay } from '$engine/serving/replay'
import { replaySteps } from '$engine/serving/replay-steps'
import { serve, type ServeRequest } from '$engine/serving/serve'
import { append } from '$engine/trace/phases'
import { perRequest, summarize } from '$engine/trace/metrics'
import type { Step, Trace } from '$engine/trace/trace'

// npm run fidelity -- live [--seeds 1,2,3] [--loads 0.5,0.7,0.85]
//
// The simulator against the live engine (wasm, this machine, tales-5m), same arrivals and lengths:
// (a) replay: on the live run's own steps, every timestamp and every step's block count must come out again;
// (b) prediction: with step costs fitted on other shapes. The bound on mean wait and mean E2E is what a biased
// step cost is allowed to do to a queue: (|bias| + 1 %) · (1 + 1 / (1 − ρ)). Exits non-zero when a row misses.

const PLACES = 4
const REQUESTS = 150
const WORKLOADS = {
  chats: { prompt: [16, 48], output: [8, 24] },
  stories: { prompt: [96, 192], output: [24, 72] },
} as const

export async function live(flags: { seeds: number[]; loads: number[] }): Promise<number> {
  const { model } = await loadModel('tales-5m', folderReader(join(ROOT, 'assets/models/tales-5m')))
  const runner = await createRunner('wasm', model, { blocks: 1024 })
  const clock = new WallClock()
  const fit = fitSteps(await sweep(runner, clock))
  console.log(`step cost of five numbers: ${Object.entries(fit.steps).map(([k, v]) => `${k} ${v.toPrecision(3)}`).join(', ')}`)
  console.log(`on shapes it did not see: bias ${percent(fit.error.bias)}, mean ${percent(fit.error.mean)}, worst ${percent(fit.error.worst)}\n`)
  console.log(`${'workload'.padEnd(9)}${'load'.padStart(5)}${'seed'.padStart(5)}${'busy'.padStart(7)}  ${'replay'.padEnd(10)}${'step bias'.padStart(10)}${'wait live'.padStart(11)}${'predicted'.padStart(11)}${'off'.padStart(9)}${'E2E live'.padStart(10)}${'predicted'.padStart(11)}${'off'.padStart(9)}${'bound'.padStart(9)}  verdict`)
  let missed = 0
  try {
    for (const [name, kind] of Object.entries(WORKLOADS)) {
      // A burst finds the rate that is sustained.
      const burst = await run(runner, clock, requestsOf(kind, 40, 0, Infinity))
      const capacity = summarize(burst.trace).requestThroughput
      for (const load of flags.loads) for (const seed of flags.seeds) missed += (await row(name, kind, load, seed, load * capacity)) ? 0 : 1
    }
  } finally {
    runner.dispose()
  }
  return missed

  async function row(name: string, kind: Kind, load: number, seed: number, rate: number): Promise<boolean> {
    const requests = requestsOf(kind, REQUESTS, seed, rate)
    const { trace } = await run(runner, clock, requests)
    const limits = { maxSequences: PLACES, maxBatchedTokens: runner.limits.tokens, blocks: runner.limits.blocks }
    const exact = same(trace, replaySteps(requests.map((r) => ({ record: r.record, queuedAt: r.queuedAt, outputTokens: r.record.maxTokens })), trace.steps, limits, runner.limits.chain))
    // What a step took until the next one could begin: between steps of a busy engine the loop does its own work.
    const busy = trace.steps.map((s, i) => ({ ...sample(s, trace), ms: stepTime(trace.steps, i) }))
    const total = busy.reduce((n, s) => n + s.ms, 0)
    const bias = busy.reduce((n, s) => n + stepMs(fit.steps, s), 0) / total - 1
    const span = trace.steps.at(-1)!.start + trace.steps.at(-1)!.duration - trace.steps[0]!.start
    const utilisation = Math.min(0.99, total / span)
    const predicted = replay(requests.map((r) => ({ arrival: r.queuedAt, inputTokens: r.record.promptTokens, outputTokens: r.record.maxTokens })), affine(fit.steps, trace.provenance), limits)
    const scheduled = new Map<number, number>()
    for (const e of trace.events) if (e.kind === 'scheduled' && !scheduled.has(e.request)) scheduled.set(e.request, e.t)
    const mean = (v: number[]) => v.reduce((a, b) => a + b, 0) / v.length
    const wait = mean(requests.map((r) => scheduled.get(r.record.id)! - r.queuedAt))
    const waitOurs = mean(requests.map((r, i) => predicted.served[i]!.scheduled - r.queuedAt))
    const e2e = mean(perRequest(trace).map((r) => r.e2e))
    const e2eOurs = mean(requests.map((r, i) => predicted.served[i]!.lastToken - r.record.arrival))
    const bound = (Math.abs(bias) + 0.01) * (1 + 1 / (1 - utilisation))
    // A wait of less than a step is the fraction of a step that was under way: its bound is a share of a step too.
    const waitOff = (waitOurs - wait) / Math.max(wait, total / busy.length)
    const e2eOff = e2eOurs / e2e - 1
    const holds = exact === '' && Math.abs(waitOff) <= bound && Math.abs(e2eOff) <= bound
    console.log(`${name.padEnd(9)}${String(load).padStart(5)}${String(seed).padStart(5)}${percent(utilisation, 0).padStart(7)}  ${(exact || 'exact').padEnd(10)}${percent(bias).padStart(10)}${ms(wait).padStart(11)}${ms(waitOurs).padStart(11)}${percent(waitOff).padStart(9)}${ms(e2e).padStart(10)}${ms(e2eOurs).padStart(11)}${percent(e2eOff).padStart(9)}${percent(bound).padStart(9)}  ${holds ? 'holds' : 'MISSES'}`)
    return holds
  }
}

type Kind = { prompt: readonly [number, number]; output: readonly [number, number] }

function requestsOf(kind: Kind, count: number, seed: number, rate: number): ServeRequest[] {
  const random = new Random(seed, 17)
  const between = ([from, to]: readonly [number, number]) => from + random.below(to - from + 1)
  let t = 0
  return Array.from({ length: count }, (_, id) => {
    if (Number.isFinite(rate)) t += (1000 / rate) * random.exponential()
    const prompt = Int32Array.from({ length: between(kind.prompt) }, () => 1 + random.below(2000))
    return { record: { id, arrival: t, promptTokens: prompt.length, maxTokens: between(kind.output) }, prompt, queuedAt: t, eos: [] }
  })
}

async function run(runner: Runner, clock: WallClock, requests: ServeRequest[]): Promise<{ trace: Trace }> {
  const trace: Trace = { provenance: { how: 'measured', device: runner.device, at: new Date().toISOString() }, requests: requests.map((r) => r.record), events: [], steps: [] }
  await serve(requests, { runner, clock, limits: { maxSequences: PLACES }, emit: (update) => append(trace, { requests: [], ...update }), yieldThread: () => new Promise((resolve) => setImmediate(resolve)) })
  return { trace }
}

/** From a step's beginning to the next one's, where nobody waited for arrivals in between; else its own duration. */
function stepTime(steps: readonly Step[], i: number): number {
  const own = steps[i]!.duration
  const next = steps[i + 1]
  const until = next ? next.start - steps[i]!.start : own
  // Requests that were in this step and go on in the next: the engine did not rest.
  const goesOn = next?.batch.some((b) => steps[i]!.batch.some((a) => a.request === b.request))
  return goesOn ? until : own
}

function sample(step: Step, trace: Trace): Omit<StepSample, 'ms'> {
  let [decodes, context, prefill, prefillContext] = [0, 0, 0, 0]
  for (const b of step.batch) {
    if (b.context >= trace.requests[b.request]!.promptTokens) {
      decodes++
      context += b.context
    } else {
      prefill += b.tokens
      prefillContext += b.tokens * (b.context + b.tokens / 2)
    }
  }
  return { decodes, context, prefill, prefillContext }
}

/** Empty, or what differs first. */
function same(trace: Trace, ours: ReturnType<typeof replaySteps>): string {
  for (const [i, step] of trace.steps.entries()) {
    if (step.kvBlocks !== ours.steps[i]!.kvBlocks) return `blocks@${i}`
    if (step.batch.some((b, j) => b.request !== ours.steps[i]!.batch[j]?.request || b.tokens !== ours.steps[i]!.batch[j].tokens)) return `batch@${i}`
  }
  const key = (e: { t: number; request: number; kind: string }) => `${e.kind} ${e.request} ${e.t}`
  const kinds = new Set(['queued', 'scheduled', 'prefill', 'token', 'finished', 'preempted'])
  const live = trace.events.filter((e) => kinds.has(e.kind)).map(key).sort()
  const again = ours.events.map(key).sort()
  const at = live.findIndex((k, i) => k !== again[i])
  return live.length !== again.length || at >= 0 ? `event@${at}` : ''
}

const percent = (x: number, digits = 1) => `${(100 * x).toFixed(digits)} %`
const ms = (x: number) => `${x.toPrecision(3)} ms`
