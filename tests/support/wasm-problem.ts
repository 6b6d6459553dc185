import type { Runner } from '$engine/runner/runner'

/** A model and a prompt that page and worker both run. */
export const PROBLEM = { parameters: 1e6, tokens: 40 }

/** A prompt, then one decode: the logits of both. */
export async function logitsOf(runner: Runner): Promise<Float32Array> {
  const tokens = Int32Array.from({ length: PROBLEM.tokens }, (_, i) => (i * 13 + 5) % runner.config.vocabSize)
  const blockTable = Int32Array.of(6, 1, 3)
  const prefill = await runner.run({ wantLogits: true, chunks: [{ request: 0, tokens, start: 0, blockTable, sample: true }] })
  const decode = await runner.run({ wantLogits: true, chunks: [{ request: 0, tokens: Int32Array.of(-1), start: PROBLEM.tokens, blockTable, sample: true }] })
  return Float32Array.of(...prefill.logits!, ...decode.logits!)
}
