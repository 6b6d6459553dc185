import { BLOCK_SIZE, type Runner, type Sampling, type StepResult } from '../runner/runner'
import { sampleRow } from '../runner/sampling'

/**
 * A cascade (FrugalGPT, Chen et al. 2023): a small model begins every answer, and where it is not sure the
 * large one gives it instead. Sure is what it can tell itself, at each of its own first tokens: how far it was from holding every
 * token of its vocabulary for as likely (`certainty`). That says more about what it will get wrong than the probability of
 * what it took: on the shipped models their correlation with the loss on what really came next is −0.6 and −0.3.
 */
export interface CascadeOptions {
  /** Least confidence, 0 … 1, with which the small model's answer stands: 0 never escalates, above 1 always. */
  threshold: number
  /** Tokens of the small model that are judged (default 16). */
  probe?: number
  /** New tokens at most. */
  maxTokens: number
  sampling?: Sampling
  /** ms, to say how long each model took; absent: times are 0. */
  clock?: { now(): number }
}

export interface Answer {
  /** New tokens, of the model that gave the answer; an end-of-text token, if one came, is the last. */
  tokens: number[]
  escalated: boolean
  /** Mean certainty of the small model at its judged tokens, 0 … 1. */
  confidence: number
  /** Tokens that each model computed, those thrown away included. */
  steps: { small: number; large: number }
  /** ms of each model. */
  time: { small: number; large: number }
}

export interface Pair {
  small: Runner
  large: Runner
}

const PROBE = 16

/** Answers one prompt. Uses the first blocks of both pools: nothing else may run beside it. Throws RangeError when the prompt does not fit. */
export async function cascade(prompt: Int32Array, { small, large }: Pair, options: CascadeOptions): Promise<Answer> {
  const { threshold, probe = PROBE, maxTokens, sampling, clock = { now: () => 0 } } = options
  const began = clock.now()
  const first = new Story(small, prompt, sampling)
  await first.extend(Math.min(probe, maxTokens))
  const { confidence } = first
  const escalated = confidence < threshold
  if (!escalated) await first.extend(maxTokens)
  first.end()
  const switched = clock.now()
  if (!escalated) {
    return { tokens: first.tokens, escalated, confidence, steps: { small: first.tokens.length, large: 0 }, time: { small: switched - began, large: 0 } }
  }
  const second = new Story(large, prompt, sampling)
  await second.extend(maxTokens)
  second.end()
  return {
    tokens: second.tokens, escalated, confidence, steps: { small: first.tokens.length, large: second.tokens.length },
    time: { small: switched - began, large: clock.now() - switched },
  }
}

/** Share of answers that a threshold would have escalated. */
export function escalationRate(confidences: readonly number[], threshold: number): number {
  return confidences.filter((c) => c < threshold).length / confidences.length
}

/** One continuation, with the probabilities that the model gave to its own tokens. */
class Story {
  readonly tokens: number[] = []
  private certain = 0
  private judged = 0
  private readonly blockTable: Int32Array
  private static requests = 0
  private readonly request = --Story.requests // below 0: no server's

  constructor(private readonly runner: Runner, private readonly prompt: Int32Array, private readonly sampling: Sampling | undefined) {
    this.blockTable = Int32Array.from({ length: runner.limits.blocks }, (_, i) => i)
  }

  /** Mean certainty so far. */
  get confidence(): number {
    return this.judged === 0 ? 1 : this.certain / this.judged
  }

  /** Goes on until there are so many new tokens, or the text ends. */
  async extend(count: number): Promise<void> {
    const { runner, prompt, tokens } = this
    if (prompt.length + count > Math.min(runner.config.maxPositions, runner.limits.blocks * BLOCK_SIZE)) {
      throw new RangeError(`a prompt of ${prompt.length} tokens and ${count} new ones do not fit ${runner.device.model}: shorten the prompt or ask for fewer`)
    }
    while (tokens.length < count && !(tokens.length > 0 && runner.config.eos.includes(tokens.at(-1)!))) {
      const logits = tokens.length === 0 ? await this.prefill() : (await this.step(Int32Array.of(tokens.at(-1)!), prompt.length + tokens.length - 1, true)).logits!
      const id = sampleRow(logits, prompt.length + tokens.length, this.sampling)
      this.certain += certainty(logits)
      this.judged++
      tokens.push(id)
    }
  }

  end(): void {
    this.runner.release?.(this.request)
  }

  private async prefill(): Promise<Float32Array> {
    const most = this.runner.limits.tokens
    for (let at = 0; ; at += most) {
      const last = at + most >= this.prompt.length
      const result = await this.step(this.prompt.slice(at, at + most), at, last)
      if (last) return result.logits!
    }
  }

  private async step(tokens: Int32Array, start: number, sample: boolean): Promise<StepResult> {
    return this.runner.run({ wantLogits: sample, chunks: [{ request: this.request, tokens, start, blockTable: this.blockTable, sample, sampling: this.sampling }] })
  }
}

/** 1 where one token has all the probability, 0 where all of them have the same: 1 − H / ln V, H the entropy of softmax(logits) in nats. */
export function certainty(logits: Float32Array): number {
  let max = -Infinity
  for (const x of logits) if (x > max) max = x
  let sum = 0
  let weighted = 0
  for (const x of logits) {
    const e = Math.exp(x - max)
    sum += e
    weighted += e * (x - max)
  }
  return 1 - (Math.log(sum) - weighted / sum) / Math.log(logits.length)
}
