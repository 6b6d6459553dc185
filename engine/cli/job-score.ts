import type { LoadedModel } from '../model/load'
import type { Runner } from '../runner/runner'
import type { WithRunner } from './job'

export interface Scored {
  /** Tokens of the text whose likelihood is counted. */
  tokens: number
  bytes: number
  /** Negative log-likelihood, nats per token. */
  nll_per_token: number
  /** Total negative log-likelihood in bits / bytes of the text (UTF-8). */
  bits_per_byte: number
  model: string
  runner: string
  window: number
  stride: number
}

/** Input tokens of a window at most, and how far windows advance: the protocol of the model cards. */
const WINDOW = 1024

/** Bytes of logits asked for at once. */
const LOGITS_AT_ONCE = 64 * 2 ** 20

/**
 * How well the model predicts a text. The text is encoded as one piece after an end-of-text token;
 * windows of up to 1,024 tokens advance by half, and each counts only the tokens that no earlier one
 * has counted. Every token is counted once (without an end-of-text token in the vocabulary: all but
 * the first). Throws RangeError for a text with nothing to predict.
 */
export async function score({ model, tokenizer }: LoadedModel, text: string, withRunner: WithRunner): Promise<Scored> {
  const ids = tokenizer.encode(text)
  if (tokenizer.endOfText >= 0) ids.unshift(tokenizer.endOfText)
  if (ids.length < 2) throw new RangeError('the text has no token to predict: give it a sentence or more')
  const window = Math.min(WINDOW, model.trainedContext || WINDOW, model.config.maxPositions)
  const stride = Math.max(1, window >> 1)
  return withRunner(window, async (runner) => {
    let nats = 0
    let counted = 0
    for (let start = 0; counted < ids.length - 1; start += stride) {
      const piece = ids.slice(start, start + window + 1)
      const fresh = start + piece.length - 1 - counted
      nats += await negativeLogLikelihood(runner, piece, fresh)
      counted += fresh
    }
    const bytes = new TextEncoder().encode(text).length
    return { tokens: counted, bytes, nll_per_token: nats / counted, bits_per_byte: nats / Math.LN2 / bytes, model: model.name, runner: runner.device.runner, window, stride }
  })
}

/** Nats of the last `count` of `ids`, each given all before it in `ids`. */
async function negativeLogLikelihood(runner: Runner, ids: readonly number[], count: number): Promise<number> {
  const { vocabSize } = runner.config
  const blockTable = Int32Array.from({ length: runner.limits.blocks }, (_, i) => i)
  const inputs = ids.length - 1
  const most = Math.max(1, Math.min(runner.limits.tokens, Math.floor(LOGITS_AT_ONCE / (4 * vocabSize))))
  let nats = 0
  for (let at = 0; at < inputs;) {
    const before = inputs - count - at // rows that only fill the cache
    const n = Math.min(before > 0 ? Math.min(before, runner.limits.tokens) : most, inputs - at)
    const wantLogits = before <= 0
    const { logits } = await runner.run({
      chunks: [{ request: 0, tokens: Int32Array.from(ids.slice(at, at + n)), start: at, blockTable, sample: false }],
      wantLogits, allRows: wantLogits,
    })
    for (let i = 0; wantLogits && i < n; i++) nats += surprise(logits!.subarray(i * vocabSize, (i + 1) * vocabSize), ids[at + i + 1]!)
    at += n
  }
  runner.release?.(0)
  return nats
}

/** −log softmax(logits)[id], nats. */
function surprise(logits: Float32Array, id: number): number {
  let max = -Infinity
  for (const x of logits) if (x > max) max = x
  let sum = 0
  for (const x of logits) sum += Math.exp(x - max)
  return Math.log(sum) + max - logits[id]!
}
