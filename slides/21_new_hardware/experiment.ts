import { choice, define, log, type Values } from '$components/controls/params'
import type { Context, Reading } from '$components/frame/experiment'
import { HARDWARE } from '$engine/cost/hardware'
import { MODELS } from '$engine/cost/models'
import type { Trace } from '$engine/trace/trace'

const named = (list: readonly { name: string; label: string }[]) => Object.fromEntries(list.map(({ name, label }) => [name, label]))

export const params = define({
  device: choice<string>({ options: named(HARDWARE), default: 'h100-sxm', label: 'Device', hint: 'A machine of the catalogue.' }),
  model: choice<string>({ options: named(MODELS), default: 'llama-3.1-8b', label: 'Model', hint: 'What all of them serve, in 16 bits.' }),
  bandwidth: log({ from: 0.25, to: 8, default: 1, label: 'Bandwidth', unit: '×', tone: 'decode', hint: 'Times what the device reads a second.' }),
  flops: log({ from: 0.25, to: 8, default: 1, label: 'FLOPs', unit: '×', tone: 'prefill', hint: 'Times what the device computes a second.' }),
  tp: choice({ options: ['1', '2', '4', '8'], default: '1', label: 'Devices', hint: 'Catalogue devices that share each layer (tensor parallelism).' }),
})

/** Nothing of it changes what this device is: its run is served once, the plane is a formula. */
export const redrawn = ['device', 'model', 'bandwidth', 'flops', 'tp'] as const

/** The one request of this slide, tokens. */
export const PROMPT = 512
export const OUTPUT = 33
/** Live runs: the later ones show what the first owed to a busy moment. */
const RUNS = 3

export interface HardwareReading extends Reading {
  /** The same request so many times, the newest last. */
  runs: Trace[]
}

/** One request on the timing model, alone, some times over: what the roofline of this device is judged by. */
export async function* run(_: Values<typeof params>, { engine, signal }: Context): AsyncGenerator<HardwareReading> {
  const runs: Trace[] = []
  for (let i = 0; i < RUNS; i++) {
    const trace = await engine.serve({ model: 'timing', maxSequences: 1, requests: [{ prompt: PROMPT, maxTokens: OUTPUT, ignoreEos: true }] }, { signal })
    runs.push(trace)
    const complete = runs.length === RUNS || trace.provenance.how !== 'measured'
    yield { trace, runs: [...runs], complete }
    // In virtual time the next would be the same.
    if (complete) return
  }
}
