import { define, integer, power2, type Values } from '$components/controls/params'
import type { Context, Reading } from '$components/frame/experiment'
import { follow } from '$components/frame/follow'

export const params = define({
  prompt: power2({ from: 16, to: 2048, default: 512, label: 'Prompt', unit: 'tok', tone: 'prefill', hint: 'Tokens that go in: all of them climb the ramp together.' }),
  output: power2({ from: 8, to: 512, default: 64, label: 'Output', unit: 'tok', tone: 'decode', hint: 'Tokens that come out, one a step.' }),
  batch: integer({ from: 1, to: 16, default: 1, label: 'Batch', unit: 'seq', hint: 'Requests served together.' }),
})

/** `batch` equal requests at once on the timing model, whose weights do not fit the cache. */
export async function* run(p: Values<typeof params>, { engine, signal }: Context): AsyncGenerator<Reading> {
  const request = { prompt: p.prompt, maxTokens: p.output, ignoreEos: true }
  yield* follow(engine, { model: 'timing', requests: Array.from({ length: p.batch }, () => request), maxSequences: p.batch }, signal)
}
