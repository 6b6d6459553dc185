import { mkdir, writeFile } from 'node:fs/promises'
import { freemem } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { findChromium } from '../../scripts/chromium.mjs'
import { profileLines } from '../measure/profile-text'
import type { MachineOptions, Measured, ModelWish } from '../measure/machine'
import { chromeTrace } from '../runner/profile'
import type { WeightPrecision } from '../runner/runner'
import { withPage } from './chromium'
import { enableDawn } from './dawn'
import { measureHere } from './job-measure'
import type { PageApi } from './page/main'
import { folderReader, modelFolder, ROOT } from './place'
import { oneOf, parseFlags, UsageError } from './usage'

export const help = `expressway measure [--out profile.json] [options]

Measures this machine through one runner: what it reads and multiplies, the best kernels, decode and prefill of
tales-5m and of timing models with their shares of the roofs, sweeps over batch, context and chunk with the step cost
fitted to them, and on a graphics card the largest models that fit. The profile goes into a scenario's steps
({"kind":"profile","file":…}) and, in assets/profiles/NAME.json, behind the lens recorded:NAME.

  --out FILE        write the profile there
  --trace FILE      write every kernel launch there as a Chrome trace (chrome://tracing, Perfetto)
  --runner NAME     webgpu or wasm (default: webgpu)
  --on PLACE        where webgpu runs: chromium (headless) or dawn (Dawn for Node, npm package "webgpu"); default:
                    Chromium where there is one
  --models LIST     instead of those that suit the machine: tales-5m, or parameters of a timing model, each with a format
                    and a number of experts if you like: tales-5m,320e6:f16,1e9:int4:8
  --largest         look for the largest models that fit, on a software adapter and on wasm too
  --json            print the profile
`

const FLAGS = {
  out: { type: 'string' }, trace: { type: 'string' }, runner: { type: 'string' }, on: { type: 'string' }, models: { type: 'string' }, largest: { type: 'boolean' }, json: { type: 'boolean' },
} as const

declare const expressway: PageApi

export async function main(args: readonly string[]): Promise<void> {
  const flags = parseFlags(args, FLAGS)
  const runner = oneOf(flags, 'runner', 'webgpu', ['webgpu', 'wasm'] as const)
  const models = typeof flags['models'] === 'string' ? flags['models'].split(',').map(wish) : undefined
  const options: MachineOptions = { runner, ...(models && { models }), ...(flags['largest'] === true && { largest: true }) }
  const chromium = runner === 'webgpu' ? findChromium() : undefined
  const on = oneOf(flags, 'on', chromium ? 'chromium' : 'dawn', ['chromium', 'dawn'] as const)
  const progress = (doing: string) => console.error(doing)
  const folder = (name: string) => modelFolder(name, '--models')
  let measured: Measured
  if (runner === 'webgpu' && on === 'chromium') {
    if (!chromium) throw new Error('no Chrome or Chromium was found (CHROME_PATH may name one); --on dawn runs in Node')
    measured = await measureInChromium(options, ['tales-5m', ...(models ?? []).flatMap((m) => m.name ?? [])], folder, chromium, progress)
  } else {
    if (runner === 'webgpu' && !(await enableDawn())) throw new Error('Dawn for Node is not installed: npm install --no-save webgpu')
    measured = await measureHere(options, (name) => folderReader(folder(name)), freemem(), progress)
  }
  if (typeof flags['out'] === 'string') await write(flags['out'], measured.profile)
  if (typeof flags['trace'] === 'string') await write(flags['trace'], chromeTrace(measured.profile.device.name, measured.phases))
  if (flags['json']) console.log(JSON.stringify(measured.profile))
  else for (const line of profileLines(measured)) console.log(line)
}

function measureInChromium(options: MachineOptions, names: string[], folder: (name: string) => string, executablePath: string, progress: (doing: string) => void): Promise<Measured> {
  const models = Object.fromEntries(names.map((name) => [name, folder(name)]))
  return withPage({ source: join(ROOT, 'engine/cli/page'), models, executablePath }, async (page) => {
    await page.exposeFunction('expresswayProgress', progress)
    const answer = await page.evaluate((o) => expressway.measure(o), options)
    if ('error' in answer) throw new Error(answer.error)
    return answer.result
  })
}

/** "tales-5m", "320e6:f16", "1e9:int4:8". Throws UsageError. */
function wish(text: string): ModelWish {
  const [what, format = 'f32', experts] = text.split(':') as [string, string?, string?]
  const formats: readonly string[] = ['f32', 'f16', 'int8', 'int4']
  if (!formats.includes(format)) throw new UsageError(`--models ${text}: the format must be one of ${formats.join(', ')}, got ${JSON.stringify(format)}`)
  const count = experts === undefined ? undefined : Number(experts)
  if (count !== undefined && !(Number.isInteger(count) && count >= 2 && count <= 64)) throw new UsageError(`--models ${text}: experts must be a whole number from 2 to 64, got ${JSON.stringify(experts)}`)
  const parameters = Number(what)
  const precision = { weights: { format: format as WeightPrecision['format'] }, kv: format === 'f32' ? 'f32' as const : 'f16' as const }
  if (Number.isNaN(parameters)) {
    if (count !== undefined) throw new UsageError(`--models ${text}: experts are for timing models; ${what} has those it was trained with`)
    return { name: what, ...precision }
  }
  if (!(parameters >= 1e5 && parameters <= 1e11)) throw new UsageError(`--models ${text}: a timing model has between 1e5 and 1e11 parameters, got ${what}`)
  return { parameters, ...(count === undefined ? {} : { experts: count }), ...precision }
}

/** Relative to where the user stands: npm changes to the package's folder and leaves the user's in INIT_CWD. */
async function write(file: string, content: unknown): Promise<void> {
  const path = resolve(process.env['INIT_CWD'] ?? process.cwd(), file)
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, `${JSON.stringify(content, undefined, 1)}\n`)
  console.error(`Written to ${path}`)
}
