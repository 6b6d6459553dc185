import type { Runner, Sampling } from '$engine/runner/runner'
import { VirtualClock } from '$engine/serving/clock'
import { serve, type ServeOptions, type ServeRequest } from '$engine/serving/serve'
import type { Trace } from '$engine/trace/trace'

export interface Wanted {
  prompt: ArrayLike<number>
  maxTokens: number
  eos?: readonly number[]
  sampling?: Sampling
  arrival?: number
  more?: Partial<ServeRequest>
}

/** Serves on a clock that stands still and gives the Trace and every request's output ids. */
export async function serveAll(runner: Runner, wanted: readonly Wanted[], options: Partial<ServeOptions> = {}): Promise<{ trace: Trace; outputs: number[][] }> {
  const requests = wanted.map(({ prompt, maxTokens, eos = [], sampling, arrival = 0, more }, id): ServeRequest => ({
    record: { id, arrival, promptTokens: prompt.length, maxTokens }, prompt: Int32Array.from(prompt), queuedAt: arrival, eos, sampling, ...more,
  }))
  const trace: Trace = { provenance: { how: 'measured', device: runner.device, at: '2026-01-01T00:00:00Z' }, requests: requests.map((r) => r.record), events: [], steps: [] }
  await serve(requests, {
    runner, clock: new VirtualClock(),
    emit: ({ events, steps }) => {
      for (const e of events) trace.events.push(e)
      for (const s of steps) trace.steps.push(s)
    },
    ...options,
  })
  const outputs = wanted.map((): number[] => [])
  for (const e of trace.events) if (e.kind === 'token') outputs[e.request]!.push(e.token!)
  return { trace, outputs }
}
