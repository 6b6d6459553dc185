import { bitsOf } from '../measure/quality'
import type { LoadedModel } from '../model/load'
import { BLOCK_SIZE, type Runner } from '../runner/runner'
import type { Clock } from '../serving/clock'
import { cascade, certainty, type Pair } from '../speculate/cascade'
import type { CascadeCase } from './protocol'

/** Tokens that are given, and that are to follow. */
export const PROMPT_TOKENS = 64
export const ANSWER_TOKENS = 32
/** Tokens at the end of a prompt that a router looks at: as many as the cascade does of an answer. */
const JUDGED = 16
/** Never and always: what every threshold chooses from. */
const NEVER = 0
const ALWAYS = 2

/**
 * What a small and a large model make of a text, piece by piece: both answers, how sure the small one was, how long everything took, and
 * the bits that each needs for what really came next. The first piece is answered twice: what runs first pays for what is made when it
 * is first used. `tokenizer` is of both models.
 */
export async function* cascadeCases({ tokenizer }: LoadedModel, text: string, pair: Pair, clock: Clock, signal?: AbortSignal): AsyncGenerator<CascadeCase> {
  const ids = tokenizer.encode(text)
  const options = { maxTokens: ANSWER_TOKENS, clock }
  let warm = false
  for (let at = PROMPT_TOKENS; at + ANSWER_TOKENS <= ids.length; ) {
    signal?.throwIfAborted()
    const prompt = Int32Array.from(ids.slice(at - PROMPT_TOKENS, at))
    const next = ids.slice(at, at + ANSWER_TOKENS)
    const alone = await cascade(prompt, pair, { ...options, threshold: NEVER })
    const router = await readPrompt(pair.small, prompt, clock)
    const escalated = await cascade(prompt, pair, { ...options, threshold: ALWAYS })
    if (!warm) {
      warm = true
      continue
    }
    const texts = (tokens: readonly number[]) => {
      const stream = tokenizer.stream()
      return tokens.map((token) => stream.push(token))
    }
    yield {
      prompt: tokenizer.decode([...prompt]), bytes: new TextEncoder().encode(tokenizer.decode(next)).length,
      bits: { small: await bitsFor(pair.small, prompt, next), large: await bitsFor(pair.large, prompt, next) },
      router,
      small: { confidence: alone.confidence, judged: escalated.steps.small, texts: texts(alone.tokens), judgedMs: escalated.time.small, ms: alone.time.small },
      large: { texts: texts(escalated.tokens), ms: escalated.time.large },
    }
    at += ANSWER_TOKENS
  }
}

/** How sure a model is of what follows while it reads the end of a prompt, on average, and how long it takes to know that. */
async function readPrompt(runner: Runner, prompt: Int32Array, clock: Clock): Promise<{ confidence: number; ms: number }> {
  const vocab = runner.config.vocabSize
  const began = clock.now()
  const logits = await logitsOf(runner, prompt, prompt.length - JUDGED)
  let sum = 0
  for (let t = 0; t < JUDGED; t++) sum += certainty(logits.subarray(t * vocab, (t + 1) * vocab))
  return { confidence: sum / JUDGED, ms: clock.now() - began }
}

/** Bits that a model needs for the tokens after a prompt. */
async function bitsFor(runner: Runner, prompt: Int32Array, next: readonly number[]): Promise<number> {
  const vocab = runner.config.vocabSize
  const logits = await logitsOf(runner, Int32Array.from([...prompt, ...next]))
  return bitsOf(logits.subarray((prompt.length - 1) * vocab, (prompt.length - 1 + next.length) * vocab), next, vocab)
}

/** (T − from, vocab): what is expected after each token of a text from some position on. */
async function logitsOf(runner: Runner, tokens: Int32Array, from = 0): Promise<Float32Array> {
  const vocab = runner.config.vocabSize
  const logits = new Float32Array((tokens.length - from) * vocab)
  const blockTable = Int32Array.from({ length: Math.ceil(tokens.length / BLOCK_SIZE) }, (_, i) => i)
  for (let at = 0; at < tokens.length; ) {
    const wanted = at >= from
    const end = Math.min(at + runner.limits.tokens, wanted ? tokens.length : from)
    const result = await runner.run({ chunks: [{ request: 0, tokens: tokens.slice(at, end), start: at, blockTable, sample: false }], wantLogits: wanted, allRows: wanted })
    if (wanted) logits.set(result.logits!, (at - from) * vocab)
    at = end
  }
  runner.release?.(0)
  return logits
}
