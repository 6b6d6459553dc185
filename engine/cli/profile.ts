import { writeFile } from 'node:fs/promises'
import { chromeTrace, profileTable, byKernel, utilisationOf } from '../runner/profile'
import { MODEL_FLAGS, MODEL_HELP, modelChoice } from './model-flags'
import { userPath } from './place'
import { runJob } from './run-job'
import { numeric, parseFlags, UsageError } from './usage'

export const help = `expressway profile --model DIR [options]

Where the time of a prefill and of a decode step goes, kernel by kernel, with the operations and bytes of each;
and how much of the device's measured bandwidth (MBU) and arithmetic (MFU) the steps make use of.

${MODEL_HELP}
  --prompt N        tokens of the prefill (default 256)
  --context N       positions behind each decoded token (default 64)
  --batch N         sequences that decode together (default 1)
  --trace FILE      also write a Chrome trace (chrome://tracing, ui.perfetto.dev)
`

const FLAGS = { ...MODEL_FLAGS, prompt: { type: 'string' }, context: { type: 'string' }, batch: { type: 'string' }, trace: { type: 'string' } } as const

export async function main(args: readonly string[]): Promise<void> {
  const flags = parseFlags(args, FLAGS)
  const { folder, name, ...choice } = modelChoice(flags)
  if (choice.runner === 'reference') throw new UsageError('--runner reference does not time its kernels: take wasm or webgpu')
  const prompt = numeric(flags, 'prompt', 256, { low: 1, high: 8192, whole: true })
  const context = numeric(flags, 'context', 64, { low: 0, high: 8191, whole: true })
  const batch = numeric(flags, 'batch', 1, { low: 1, high: 64, whole: true })
  const result = await runJob({ kind: 'profile', model: name, ...choice, prompt, context, batch }, { target: folder })
  const { device, phases, roofs } = result
  if (typeof flags['trace'] === 'string') await writeFile(userPath(flags['trace']), JSON.stringify(chromeTrace(`${result.model}, ${device}`, phases)))
  if (flags['json']) {
    const told = phases.map((p) => ({ phase: p.phase, step_ms: p.stepMs, flops: p.work.flops, bytes: p.work.bytes, ...utilisationOf(p, roofs), kernels: byKernel(p.kernels) }))
    console.log(JSON.stringify({ model: result.model, device, runner: choice.runner, roofs, phases: told }))
  } else {
    console.log(`${result.model} on ${device}`)
    for (const p of phases) console.log(`\n${profileTable(p, roofs).join('\n')}`)
  }
}
