import prompts from '$assets/models/prompts.json'
import { define, integer, linear, log, type Values } from '$components/controls/params'
import { stream } from '$components/frame/arrivals'
import type { Context } from '$components/frame/experiment'
import { traffic, type TrafficReading } from '$components/frame/traffic'
import type { WorkloadRequest } from '$engine/worker/protocol'

export const params = define({
  requests: integer({ from: 20, to: 400, default: 60, label: 'Requests', unit: 'req', hint: 'How many requests are sent to the engine.' }),
  cv: linear({ from: 0.2, to: 4, step: 0.1, default: 1, label: 'Burstiness', unit: 'cv', tone: 'queue', hint: 'Spread of the gaps between arrivals: 1 is random, more comes in bursts.' }),
  slo_ttft: log({ from: 20, to: 2000, default: 500, label: 'TTFT limit', unit: 'ms', tone: 'prefill', hint: 'Requests whose first token comes later do not count as good.' }),
})

/** Read off the same Trace: the requests need not be served again. */
export const redrawn = ['slo_ttft'] as const

/** Places in the engine's step: few, so that a busy hour fills them and requests wait in line. */
export const PLACES = 4

/** Share of the rate that the engine sustains: busy, but it keeps up. */
export const LOAD = 0.75

/** Requests of the burst that finds the rate: every place filled eight times over. */
const BURST = 8 * PLACES

/** Requests sent at three quarters of what the engine sustains, in a rhythm between metronome and bursts. */
export function run(p: Values<typeof params>, context: Context): AsyncGenerator<TrafficReading> {
  return traffic(
    { model: 'tales-5m', requests: chats(p.requests, context.seed), burst: chats(BURST, context.seed + 1), places: PLACES, load: LOAD, cv: p.cv },
    context,
  )
}

/** The shown prompts in any order, with outputs of 4 to 44 tokens, fewer of the long ones. */
function chats(count: number, seed: number): WorkloadRequest[] {
  const uniform = stream(seed ^ 0x5eed)
  return Array.from({ length: count }, () => ({
    prompt: prompts[Math.floor(prompts.length * uniform())]!.text,
    maxTokens: 4 + Math.floor(40 * uniform() ** 2),
  }))
}
