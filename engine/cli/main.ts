import { isMainThread, workerData, type MessagePort } from 'node:worker_threads'
import * as claims from './claims'
import * as embedCode from './embed-code'
import * as diagnose from './diagnose'
import * as fit from './fit'
import * as generate from './generate'
import * as load from './load'
import * as measure from './measure'
import * as profile from './profile'
import * as score from './score'
import * as serve from './serve'
import { runEngineThread, type EngineThread } from './serve-engine'
import * as simulate from './simulate'
import * as whatIf from './what-if'
import { UsageError } from './usage'

const COMMANDS: Record<string, { help: string; main(args: readonly string[]): Promise<void> }> = { claims, diagnose, 'embed-code': embedCode, fit, generate, load, measure, profile, score, serve, simulate, 'what-if': whatIf }

const HELP = `expressway COMMAND [options]

  claims      published numbers, and ours beside them
  diagnose    where the time in a trace, bench file or request log went
  embed-code  the HTML that puts a slide into another page
  fit         the step cost of a server, from its request log
  generate    continue a text, and say how long it took
  load        somebody's server, with a scenario's requests
  measure     this machine, for the recorded lens
  profile     where the time of a step goes, kernel by kernel
  score       how well a model predicts a text
  serve       a model behind OpenAI's protocol
  simulate    a workload served in virtual time
  what-if     a run of load's, on a server that is changed

expressway COMMAND --help tells more. Results go to standard output (one JSON object with --json),
errors to standard error with a non-zero exit code.
`

/** Exit codes: 0 done, 1 could not be done, 2 not understood. */
async function run([name, ...args]: readonly string[]): Promise<number> {
  if (name === undefined) {
    console.error(HELP)
    return 2
  }
  if (name === '--help' || name === '-h' || name === 'help') {
    console.log(HELP)
    return 0
  }
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name]! : undefined
  if (!command) {
    console.error(`expressway: there is no command ${JSON.stringify(name)}; there are ${Object.keys(COMMANDS).join(', ')}`)
    return 2
  }
  if (args.includes('--help') || args.includes('-h')) {
    console.log(command.help)
    return 0
  }
  try {
    await command.main(args)
    return 0
  } catch (error) {
    console.error(`expressway ${name}: ${error instanceof Error ? error.message : String(error)}`)
    if (!(error instanceof UsageError)) return 1
    console.error(`expressway ${name} --help shows the options`)
    return 2
  }
}

// serve starts the same program again, in a thread, for its engine.
if (isMainThread) process.exitCode = await run(process.argv.slice(2))
else await runEngineThread((workerData as { engine: EngineThread & { port: MessagePort } }).engine)
