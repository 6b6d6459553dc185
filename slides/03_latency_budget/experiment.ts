import { define, integer, power2, toggle, type Values } from '$components/controls/params'
import type { Context, Reading } from '$components/frame/experiment'
import { follow } from '$components/frame/follow'
import type { Trace } from '$engine/trace/trace'
import type { Simulated } from '$engine/worker/protocol'
import { preset, PRESETS, scenarioOf, WORKLOADS, type Preset, type TalkWorkload } from '../workloads'
import { work, type Worked } from './worked'

const prompt = power2({ from: 16, to: 2048, default: 512, label: 'Prompt', unit: 'tok', tone: 'prefill', hint: 'Tokens that go in with each call of the model.' })
const output = power2({ from: 8, to: 1024, default: 128, label: 'Output', unit: 'tok', tone: 'decode', hint: 'Tokens that come out of each call.' })

export const params = define({
  preset: {
    ...preset,
    sets: Object.fromEntries(PRESETS.map((name) => [name, {
      prompt: prompt.clamp(WORKLOADS[name].input.mean), output: output.clamp(WORKLOADS[name].output.mean), stream: WORKLOADS[name].streamed,
    }])) as Record<Preset, { prompt: number; output: number; stream: boolean }>,
  },
  rtt: integer({ from: 0, to: 300, step: 5, default: 40, label: 'Round trip', unit: 'ms', hint: 'The wire to the gateway and back.' }),
  prompt,
  output,
  stream: toggle({ default: true, label: 'Stream', tone: 'decode', hint: 'Parts overlap: tokens are shown, or spoken, as they come.' }),
})

/** Read off the same runs: what the wire takes, and what is waited for. */
export const redrawn = ['rtt', 'stream'] as const

const MODEL = 'tales-5m'
/** Requests the line is simulated with. */
const SIMULATED = 3000

export interface BudgetReading extends Reading {
  workload: TalkWorkload
  /** The model's calls, one after the other; the last grows while it runs. */
  calls: Trace[]
  /** Others like it at the workload's load on the same machine: what the line before it takes. */
  line?: Simulated
  /** Another server's four seconds, worked down. */
  worked?: Worked
}

/**
 * One request of a workload, live and alone, call after call, and the line that it would stand in: the parts of its
 * way that can be measured and simulated. What is spent elsewhere stands in the workload, with its source.
 */
export async function* run(p: Values<typeof params>, { engine, signal, seed }: Context): AsyncGenerator<BudgetReading> {
  const workload: TalkWorkload = WORKLOADS[p.preset]
  const done: Trace[] = []
  for (let call = 0; call < workload.calls; call++) {
    const request = { prompt: p.prompt, maxTokens: p.output, ignoreEos: true }
    for await (const { trace, complete } of follow(engine, { model: MODEL, requests: [request], maxSequences: 1, timeText: call === 0 }, signal)) {
      yield { trace, complete: false, workload, calls: [...done, trace] }
      if (complete) done.push(trace)
    }
  }
  const calls = done
  const trace = calls.at(-1)!
  const machine = await engine.machine(MODEL, { signal })
  const scenario = scenarioOf(workload)
  const line = await engine.simulate({
    machine, load: workload.load,
    scenario: {
      ...scenario, seed, requests: SIMULATED, warmup: SIMULATED / 10, prefixes: null,
      input: { ...scenario.input, mean: p.prompt }, output: { ...scenario.output, mean: p.output },
      scheduler: { prefix_cache: false },
    },
  }, { signal })
  yield { trace, complete: false, workload, calls, line }
  yield { trace, complete: true, workload, calls, line, worked: await work(engine, { signal, seed }) }
}
