import type { LoadedModel } from '../model/load'
import type { Runner, Sampling } from '../runner/runner'
import { WallClock } from '../serving/clock'
import { serve } from '../serving/serve'
import type { SpeculationOptions } from '../serving/speculation'
import { complete, type SpeculateOptions } from '../speculate/options'
import { perRequest } from '../trace/metrics'
import type { RequestRecord, Trace } from '../trace/trace'
import type { WithRunner } from './job'

export interface Generated {
  text: string
  prompt_ids: number[]
  /** New tokens only; the end-of-text token, if one came, is the last. */
  token_ids: number[]
  finish_reason: 'stop' | 'length'
  model: string
  runner: string
  /** The machine, as the runner names it. */
  device: string
  threads?: number
  /** GPU dispatches of this request, prefill included; webgpu only. */
  dispatches?: number
  /** Tokenizing and prefill; after a short warm-up. */
  ttft_ms: number
  /** null for a single token: there is no gap between tokens to measure. */
  tpot_ms: number | null
  e2e_ms: number
  /** Passes over the target model's weights that ended in a token. */
  target_steps: number
  drafted: number
  accepted: number
  temperature: number
  seed?: number
  /** Past the context it was trained at: read the times, not the text. */
  timing_only?: true
  /** What happened, when the job asked for it. */
  trace?: Trace
}

/** Compiles what is compiled late and fetches what is cached: as servers are measured. */
const WARM_UP = { prompt: 16, output: 4 }

/** Generates from one prompt through the serving loop; `draft` guesses ahead for it. Throws RangeError for a prompt that is empty or too long. */
export async function generate(
  { model, tokenizer }: LoadedModel,
  job: { prompt: string; maxTokens: number; sampling?: Sampling; speculate?: SpeculateOptions; trace?: boolean },
  withRunner: WithRunner,
  draft?: Runner,
): Promise<Generated> {
  const clock = new WallClock()
  const before = clock.now()
  const prompt = tokenizer.encode(job.prompt)
  const tokenizing = clock.now() - before
  const { maxPositions, eos } = model.config
  if (prompt.length === 0) throw new RangeError('the prompt is empty: give it a word or two')
  if (prompt.length + job.maxTokens > maxPositions) {
    throw new RangeError(`the prompt has ${prompt.length} tokens, and with ${job.maxTokens} new ones it passes the ${maxPositions} that the model holds: shorten the prompt or ask for fewer`)
  }
  const speculate = job.speculate && { ...job.speculate, runner: draft }
  // Drafts of a tree lie beyond the text until they are verified.
  const ahead = job.speculate ? complete(job.speculate).nodes : 0
  const trace = await withRunner(prompt.length + job.maxTokens + WARM_UP.output + ahead, async (runner) => {
    await run(runner, clock, { prompt: prompt.slice(0, WARM_UP.prompt), maxTokens: WARM_UP.output, arrival: 0, eos: [], speculate })
    return run(runner, clock, { prompt, maxTokens: job.maxTokens, arrival: -tokenizing, eos, sampling: job.sampling, speculate })
  })
  const [request] = perRequest(trace)
  const refused = trace.events.find((e) => e.kind === 'rejected')
  if (!request || trace.provenance.how !== 'measured') throw new RangeError(refused?.reason ?? 'the request did not finish')

  const { device } = trace.provenance
  const ids = trace.events.flatMap((e) => (e.kind === 'token' ? [e.token!] : []))
  const stopped = eos.includes(ids.at(-1)!)
  return {
    text: tokenizer.decode(stopped ? ids.slice(0, -1) : ids),
    prompt_ids: prompt,
    token_ids: ids,
    finish_reason: stopped ? 'stop' : 'length',
    model: model.name,
    runner: device.runner,
    device: device.name,
    threads: device.threads,
    dispatches: trace.steps[0]?.dispatches === undefined ? undefined : Math.round(trace.steps.reduce((sum, s) => sum + s.dispatches!, 0)),
    ttft_ms: request.ttft,
    tpot_ms: request.tpot ?? null,
    e2e_ms: request.e2e,
    target_steps: trace.steps.filter((s) => s.role !== 'draft' && s.batch.some((share) => share.sampled)).length,
    drafted: trace.events.reduce((sum, e) => sum + (e.kind === 'draft' ? e.count ?? 1 : 0), 0),
    accepted: trace.events.reduce((sum, e) => sum + (e.kind === 'verify' ? e.count ?? 0 : 0), 0),
    temperature: job.sampling?.temperature ?? 0,
    seed: job.sampling?.seed,
    timing_only: prompt.length + ids.length > model.trainedContext ? true : undefined,
    trace: job.trace ? trace : undefined,
  }
}

/**
 * One request from start to end, as a Trace. It joins the line at once; an `arrival` before 0 is what
 * was spent on it before.
 */
async function run(
  runner: Runner,
  clock: WallClock,
  { prompt, maxTokens, arrival, eos, sampling, speculate }: { prompt: number[]; maxTokens: number; arrival: number; eos: readonly number[]; sampling?: Sampling; speculate?: SpeculationOptions },
): Promise<Trace> {
  const record: RequestRecord = { id: 0, arrival, promptTokens: prompt.length, maxTokens }
  const trace: Trace = { provenance: { how: 'measured', device: runner.device, at: new Date().toISOString() }, requests: [record], events: [], steps: [] }
  await serve([{ record, prompt: Int32Array.from(prompt), queuedAt: 0, eos, sampling }], {
    runner, clock, speculate,
    emit: ({ events, steps }) => {
      trace.events.push(...events)
      trace.steps.push(...steps)
    },
  })
  return trace
}
