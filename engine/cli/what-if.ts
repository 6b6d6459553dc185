import { FIGURES, whatIf, type Change, type Estimate, type Figure, type WhatIf } from '../cost/what-if'
import { parseScenario, ScenarioError, type ScenarioJson } from '../serving/scenario'
import { readTraceFile } from '../serving/trace-files'
import { readLimits } from './log-limits'
import { userPath } from './place'
import { readText } from './scenario-files'
import { numeric, parseFlags, UsageError } from './usage'

export const help = `expressway what-if RUN.requests.jsonl|RUN.vllm.json [options]

Your server, changed and simulated: a step cost is fitted to half of a run that "load" (or vLLM) wrote, judged
on the other half, and the same requests are served again with what you change. The fit's error goes into the
band of every figure. Engine limits are read from RUN.meta.json.

  --set KEY=VALUE[,KEY=VALUE…]   keys of a scenario: scheduler.max_sequences=64, scheduler.kv_blocks=4096,
                    scheduler.max_batched_tokens=512, replicas=2, router=prefix-affinity …
  --model-size X    a model of X times the parameters
  --bandwidth X  --compute X   hardware of X times the memory bandwidth, of X times the FLOP/s
  --json            one JSON object on standard output
`

const FLAGS = { set: { type: 'string' }, 'model-size': { type: 'string' }, bandwidth: { type: 'string' }, compute: { type: 'string' }, json: { type: 'boolean' } } as const

/** Fewer requests say nothing about a p99, nor about half of them. */
const FEWEST = 20

export async function main([log, ...args]: readonly string[]): Promise<void> {
  if (log === undefined || log.startsWith('-')) throw new UsageError('the run is missing: expressway what-if RUN.requests.jsonl')
  const flags = parseFlags(args, FLAGS)
  const times = (flag: string) => numeric(flags, flag, 1, { low: 0.01, high: 100, whole: false })
  const change: Change = { scenario: settings(flags['set'] as string | undefined), modelSize: times('model-size'), bandwidth: times('bandwidth'), compute: times('compute') }
  const file = userPath(log)
  const trace = readTraceFile(await readText(file), file)
  if (trace.requests.some((r) => !r.observed)) throw new Error(`${file} is a ${trace.kind} trace, which does not hold what a server did; give what "expressway load" or vLLM wrote`)
  if (trace.requests.length < FEWEST) throw new Error(`${file} holds ${trace.requests.length} answered requests; ${FEWEST} at least are wanted`)
  const { limits, scheduler } = await readLimits(file)
  let result: WhatIf
  try {
    result = whatIf(trace.requests, limits, scheduler, change)
  } catch (cause) {
    if (cause instanceof ScenarioError) throw new UsageError(`--set: ${cause.message}`, { cause })
    throw cause
  }
  if (flags['json']) console.log(JSON.stringify(result))
  else print(result)
  if (result.extrapolates) console.error(`expressway what-if: ${result.extrapolates}`)
  if (result.refused > 0) console.error(`expressway what-if: the changed server refuses ${result.refused} of the ${trace.requests.length} requests`)
  if (result.result.verdict) console.error(`expressway what-if: ${result.result.verdict}`)
}

/** `a.b=1,c=x` as a scenario's keys. Throws UsageError for what is no key or no value of one. */
function settings(text: string | undefined): ScenarioJson {
  const out: Record<string, unknown> = {}
  for (const part of text?.split(',') ?? []) {
    const [, path, value] = /^\s*([a-z_]+(?:\.[a-z_]+)*)\s*=\s*(.+?)\s*$/.exec(part) ?? []
    if (path === undefined || value === undefined) throw new UsageError(`--set takes KEY=VALUE, not ${JSON.stringify(part)}`)
    const keys = path.split('.')
    if (keys[0] === 'steps' || keys[0] === 'service' || keys[0] === 'arrivals') throw new UsageError(`--set ${path}: the run says that itself; --model-size, --bandwidth and --compute change its steps`)
    let at = out
    for (const key of keys.slice(0, -1)) at = (at[key] ??= {}) as Record<string, unknown>
    at[keys[keys.length - 1]!] = json(value)
  }
  try {
    parseScenario({ ...out, steps: { kind: 'affine' } })
  } catch (cause) {
    throw new UsageError(`--set: ${(cause as Error).message}`, { cause })
  }
  return out as ScenarioJson
}

function json(value: string): unknown {
  try {
    return JSON.parse(value)
  } catch {
    return value // a name
  }
}

function print({ observed, before, after, error, stepError }: WhatIf): void {
  const ms = (x: number) => `${x.toPrecision(3)} ms`
  const band = (e: Estimate) => `${ms(e.value)} (${ms(e.low)} to ${ms(e.high)})`
  const name = (f: Figure) => f.replace(/(.*)_(.*)/, (_, of: string, which: string) => `${which.toUpperCase()} ${of}`)
  console.log(`${''.padEnd(12)}${'measured'.padEnd(12)}${'simulated as it was'.padEnd(38)}simulated as changed`)
  for (const f of FIGURES) console.log(`${name(f).padEnd(12)}${ms(observed[f]).padEnd(12)}${band(before[f]).padEnd(38)}${band(after[f])}`)
  console.log(`On requests that the fit did not see: ${FIGURES.map((f) => `${name(f)} ${(100 * error[f]).toFixed(1)} %`).join(', ')}; steps taken to be within ${(100 * stepError).toFixed(1)} %.`)
}
