import { define, integer, power2, type Values } from '$components/controls/params'
import type { Context, Reading } from '$components/frame/experiment'
import { follow } from '$components/frame/follow'
import type { Trace } from '$engine/trace/trace'

export const params = define({
  burst: integer({ from: 1, to: 32, default: 8, label: 'Burst', unit: 'req', tone: 'queue', hint: 'Equal requests that arrive at one moment; yours is the last of them.' }),
  prompt: power2({ from: 16, to: 1024, default: 256, label: 'Prompt', unit: 'tok', tone: 'prefill', hint: 'Tokens of every prompt.' }),
})

/** Places in the engine's step: few, so that a burst fills them and the rest waits in line. */
export const PLACES = 4
/** An answer of a sentence. */
const OUTPUT = 24
/** The wire there and back, ms: another city. It is stated, not measured. */
export const RTT = 40

export interface BurstReading extends Reading {
  /** The request with the engine to itself. */
  alone: Trace
  /** The same among the others, the last in line; grows while it runs. */
  burst?: Trace
}

/** One request alone, then the same request as the last of a burst. */
export async function* run(p: Values<typeof params>, { engine, signal }: Context): AsyncGenerator<BurstReading> {
  const requests = (count: number) => Array.from({ length: count }, () => ({ prompt: p.prompt, maxTokens: OUTPUT, ignoreEos: true, rtt: RTT }))
  const serve = (count: number) => follow(engine, { model: 'tales-5m', maxSequences: PLACES, requests: requests(count) }, signal)
  let alone: Trace | undefined
  for await (const { trace } of serve(1)) yield { trace, alone: (alone = trace), complete: false }
  for await (const { trace, complete } of serve(p.burst)) yield { trace, alone: alone!, burst: trace, complete }
}
