import type { AffineCosts } from '../cost/affine'
import { fitLog, type FitError } from '../cost/fit'
import { errors as errorsOn, fitSteps, type FitErrors } from '../cost/step-fit'
import type { MeasuredProfile } from '../measure/profile'
import { BLOCK_SIZE } from '../runner/runner'
import { readTraceFile } from '../serving/trace-files'
import { readLimits } from './log-limits'
import { userPath } from './place'
import { readText } from './scenario-files'
import { oneOf, parseFlags, UsageError } from './usage'

export const help = `expressway fit NAME.requests.jsonl|profile.json [options]

Fits a step cost of five numbers to a vLLM server's request log, through the scheduler: base + per
decoding sequence + per token of decode context + per prefill token + per prefill token × context.
Engine limits are read from NAME.meta.json beside the log (KV blocks absent: unbounded). The result's
steps and scheduler go straight into a scenario.

A profile that "expressway measure" wrote holds steps of many shapes: the same five numbers are fitted
to those.

  --fit-on WHICH    odd, even or all: the requests (of a profile: the shapes) whose times are fitted
                    (default all); the error is given on all and on the others
  --of MODEL        profile: the model whose steps are fitted (default: the one it begins with)
  --json            one JSON object on standard output
`

const FLAGS = { 'fit-on': { type: 'string' }, of: { type: 'string' }, json: { type: 'boolean' } } as const

export async function main([log, ...args]: readonly string[]): Promise<void> {
  if (log === undefined || log.startsWith('-')) throw new UsageError('the request log is missing: expressway fit NAME.requests.jsonl')
  const flags = parseFlags(args, FLAGS)
  const fitOn = oneOf(flags, 'fit-on', 'all', ['odd', 'even', 'all'])
  const file = userPath(log)
  const text = await readText(file)
  if (/^\s*\{/.test(text) && !/^[^\n]*\}\s*\n\s*\{/.test(text)) return print(fitProfile(text, file, fitOn, flags['of'] as string | undefined), Boolean(flags['json']))
  const trace = readTraceFile(text, file)
  if (trace.kind !== 'request-log-jsonl') throw new Error(`${file} is a ${trace.kind} trace, which does not hold what a server observed; fit needs a request log`)
  const { limits, scheduler } = await readLimits(file)
  const fit = fitLog(trace.requests, limits, fitOn)
  print({ steps: { kind: 'affine', ...fit.steps }, scheduler, error: fit.error, requests: trace.requests.length, preemptions: fit.preemptions }, Boolean(flags['json']))
}

interface Result {
  steps: { kind: 'affine' } & AffineCosts
  scheduler: object
  error: { all: FitError | FitErrors; others?: FitError | FitErrors }
  /** What was fitted to: requests of a log, with its preemptions, or shapes of a profile. */
  requests?: number
  preemptions?: number
  shapes?: number
}

function print(result: Result, json: boolean): void {
  if (json) return console.log(JSON.stringify(result))
  for (const [name, value] of Object.entries(result.steps)) if (typeof value === 'number') console.log(`${name.padEnd(30)} ${value.toPrecision(4)}`)
  console.log(`error on all: ${errors(result.error.all)}`)
  if (result.error.others) console.log(`error on those not fitted: ${errors(result.error.others)}`)
}

function errors(e: FitError | FitErrors): string {
  return Object.entries(e).map(([name, value]) => `${name.replace('_', ' ')} ${((value as number) * 100).toFixed(2)} %`).join(', ')
}

/** The five numbers of a measured profile's model, fitted anew to its shapes. */
function fitProfile(text: string, file: string, fitOn: 'odd' | 'even' | 'all', of: string | undefined): Result {
  let profile: Partial<MeasuredProfile>
  try {
    profile = JSON.parse(text) as typeof profile
  } catch (cause) {
    throw new Error(`${file} is not JSON: give a request log (.jsonl) or a profile that expressway measure wrote`, { cause })
  }
  const models = profile.models ?? []
  const model = of === undefined ? models[0] : models.find((m) => m.name === of)
  if (!model) throw new Error(models.length ? `${file} has no model ${of}; it has ${models.map((m) => m.name).join(', ')}` : `${file} holds no measured steps: give a request log (.jsonl) or a profile that expressway measure wrote`)
  const samples = model.fit.samples.map((sample, i) => ({ ...sample, held: fitOn !== 'all' && (i % 2 === 0) !== (fitOn === 'odd') }))
  const { steps, error } = fitSteps(samples)
  return {
    steps: { kind: 'affine', ...steps },
    scheduler: { policy: 'continuous', chunked_prefill: true, block_size: BLOCK_SIZE, ...profile.scheduler },
    error: { all: errorsOn(steps, samples), ...(fitOn === 'all' ? {} : { others: error }) },
    shapes: samples.length,
  }
}
