import { writeFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { parseScenario, ScenarioError, scenarioHelp, type Scenario, type StepsSpec } from '../serving/scenario'
import { simulate, type ScenarioFiles, type SimulationResult, type Spread } from '../serving/simulate'
import { toPerfetto } from '../trace/perfetto'
import { outputPath, userPath } from './place'
import { readScenarioTrace, readText } from './scenario-files'
import { parseFlags, UsageError } from './usage'

export const help = `expressway simulate scenario.json [options]

Serves a workload in virtual time, with the live engine's scheduler and a step cost in place of a
runner. The scenario is a JSON object; files it names are looked for beside it.

  --trace FILE      write what happened in the Chrome trace-event format, which Perfetto opens; of more
                    than 2000 requests every so-many-th is kept, without single steps
  --json            one JSON object on standard output

Keys of a scenario:

${scenarioHelp()}
`

/** Requests of a Trace file at most: what a viewer opens, and memory holds. */
const MOST_TRACED = 2000

const FLAGS = { trace: { type: 'string' }, json: { type: 'boolean' } } as const

export async function main([file, ...args]: readonly string[]): Promise<void> {
  if (file === undefined || file.startsWith('-')) throw new UsageError('the scenario is missing: expressway simulate scenario.json')
  const flags = parseFlags(args, FLAGS)
  const path = userPath(file)
  const scenario = parse(await readText(path), path)
  const traceFile = flags['trace'] as string | undefined
  const files = await readFiles(scenario, dirname(path))
  const total = Math.min(scenario.warmup + scenario.requests, files.trace?.requests.length ?? Infinity)
  const { result, trace } = simulate(scenario, { files, traceEvery: traceFile === undefined ? undefined : Math.ceil(total / MOST_TRACED) })
  if (traceFile !== undefined) await writeFile(outputPath(traceFile), JSON.stringify(toPerfetto(trace!)))
  if (flags['json']) console.log(JSON.stringify(result))
  else print(result)
  if (result.verdict) console.error(`expressway simulate: ${result.verdict}`)
}

function parse(text: string, path: string): Scenario {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (cause) {
    throw new Error(`${path} is not JSON: ${(cause as Error).message}`, { cause })
  }
  try {
    return parseScenario(json)
  } catch (cause) {
    if (cause instanceof ScenarioError) throw new Error(`${path}: ${cause.message}`, { cause })
    throw cause
  }
}

async function readFiles(scenario: Scenario, folder: string): Promise<ScenarioFiles> {
  const { arrivals, steps } = scenario
  const files: ScenarioFiles = {}
  if (arrivals.process === 'trace') {
    files.trace = await readScenarioTrace(scenario, folder)
  }
  if (steps?.kind === 'profile') {
    const path = resolve(folder, steps.file!)
    let profile: { steps?: Partial<StepsSpec> }
    try {
      profile = JSON.parse(await readText(path)) as typeof profile
    } catch (cause) {
      throw new Error(`${path} is not a profile: ${(cause as Error).message}`, { cause })
    }
    if (typeof profile?.steps !== 'object') throw new Error(`${path} is not a profile: it has no steps`)
    // The same checks as if they stood in the scenario.
    files.profile = parseScenario({ steps: profile.steps }).steps!
  }
  return files
}

function print(r: SimulationResult): void {
  const ms = (x: number) => (Number.isFinite(x) ? `${x.toPrecision(4)} ms` : 'unknown')
  const line = (name: string, s: Spread | null) => {
    if (s) console.log(`${name.padEnd(14)}mean ${ms(s.mean)} (95 %: ${ms(s.interval[0])} to ${ms(s.interval[1])})  p50 ${ms(s.p50)}  p99 ${ms(s.p99)} (95 %: ${ms(s.p99_interval[0])} to ${ms(s.p99_interval[1])})`)
  }
  line('wait', r.wait_ms)
  line('TTFT', r.ttft_ms)
  line('TPOT', r.tpot_ms)
  line('E2E', r.e2e_ms)
  console.log(`${'throughput'.padEnd(14)}${r.request_throughput.toPrecision(4)} req/s, ${r.output_throughput.toPrecision(4)} tok/s, utilisation ${(100 * r.utilisation).toFixed(1)} %, ${r.mean_in_system.toPrecision(4)} in the system`)
  console.log(`${'requests'.padEnd(14)}${r.completed} completed, ${r.rejected} rejected, ${r.preemptions} preemptions; ${r.simulated_requests_per_second.toLocaleString('en')} simulated a second`)
  for (const [reason, n] of Object.entries(r.rejected_reasons)) console.log(`${''.padEnd(14)}${n} rejected: ${reason}`)
}
