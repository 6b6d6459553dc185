import type { StepSample } from '../cost/step-fit'
import { BLOCK_SIZE, type Runner, type SequenceChunk } from '../runner/runner'
import type { Clock } from '../serving/clock'

/** A step to be timed: decoding sequences with so much context each, and a prompt's chunk from a position on. */
interface Shape {
  decodes?: number
  context?: number
  chunk?: number
  start?: number
  /** Not fitted: judges the fit. */
  held?: boolean
}

/**
 * Batch × context × chunk: decodes, chunks of prompts, and both in one step, from what the slides ask for.
 * Those held back lie between the others, not beside them.
 */
const SHAPES: readonly Shape[] = [
  { decodes: 1, context: 32 }, { decodes: 1, context: 1024 }, { decodes: 2, context: 128 }, { decodes: 4, context: 64 }, { decodes: 4, context: 512 },
  { decodes: 8, context: 64 }, { decodes: 8, context: 256 }, { decodes: 16, context: 64 }, { decodes: 16, context: 512 }, { decodes: 32, context: 128 }, { decodes: 64, context: 64 },
  { chunk: 16, start: 0 }, { chunk: 64, start: 0 }, { chunk: 64, start: 512 }, { chunk: 256, start: 0 }, { chunk: 256, start: 512 },
  { decodes: 3, context: 64, chunk: 32, start: 0 }, { decodes: 8, context: 128, chunk: 64, start: 128 },
  { decodes: 3, context: 96, held: true }, { decodes: 6, context: 384, held: true }, { decodes: 12, context: 128, held: true }, { decodes: 24, context: 96, held: true },
  { chunk: 32, start: 0, held: true }, { chunk: 128, start: 256, held: true }, { decodes: 5, context: 96, chunk: 48, start: 0, held: true },
]

/** A chunk is asked for where one of a quarter of it took less than this, ms: the sweep is a matter of seconds. */
const LONG_STEP_MS = 150
/** Each shape is timed for so long, in spans of which the median counts. */
const SPAN_MS = 15
const SPANS = 3

/** Times the shapes that a runner takes. Rejects with the signal's reason, or the runner's error. */
export async function sweep(runner: Runner, clock: Clock, onProgress: (done: number, doing: string) => void = () => {}, signal?: AbortSignal, yieldThread?: () => Promise<void>): Promise<StepSample[]> {
  const shapes = SHAPES.filter((s) => fits(s, runner))
  const samples: StepSample[] = []
  let perToken = 0
  for (const [i, shape] of shapes.entries()) {
    await yieldThread?.() // an abort is a message
    signal?.throwIfAborted()
    onProgress(i / shapes.length, describe(shape))
    const { chunk = 0, decodes = 0, context = 0, start = 0 } = shape
    if (perToken * (chunk + decodes) > LONG_STEP_MS * 4) continue
    const ms = await time(runner, chunks(shape, runner), clock)
    perToken = Math.max(perToken, chunk >= 64 ? ms / chunk : 0)
    samples.push({ decodes, context: decodes * context, prefill: chunk, prefillContext: chunk * (start + chunk / 2), ms, held: shape.held })
  }
  for (let request = 0; request < runner.limits.sequences; request++) runner.release?.(request)
  onProgress(1, 'Fitting')
  return samples
}

function fits({ decodes = 0, context = 0, chunk = 0, start = 0 }: Shape, { limits, config }: Runner): boolean {
  const blocks = decodes * blocksFor(context + 1) + (chunk ? blocksFor(start + chunk) : 0)
  return decodes + (chunk ? 1 : 0) <= limits.sequences && decodes + chunk <= limits.tokens && blocks <= limits.blocks
    && Math.max(context + 1, start + chunk) <= config.maxPositions
}

/** Every sequence in blocks of its own, as in service: keys and values shared would stay in cache. */
function chunks({ decodes = 0, context = 0, chunk = 0, start = 0 }: Shape, { config }: Runner): SequenceChunk[] {
  let next = 0
  const table = (tokens: number) => Int32Array.from({ length: blocksFor(tokens) }, () => next++)
  const ids = (count: number) => Int32Array.from({ length: count }, (_, i) => (i * 7 + 1) % config.vocabSize)
  const list = Array.from({ length: decodes }, (_, request): SequenceChunk => ({ request, tokens: ids(1), start: context, blockTable: table(context + 1), sample: true }))
  if (chunk) list.push({ request: decodes, tokens: ids(chunk), start, blockTable: table(start + chunk), sample: true })
  return list
}

async function time(runner: Runner, list: SequenceChunk[], clock: Clock): Promise<number> {
  const run = () => runner.run({ chunks: list })
  await run() // pays for page faults and caches
  const spans: number[] = []
  for (let i = 0; i < SPANS; i++) {
    const start = clock.now()
    let calls = 0
    let elapsed = 0
    while (elapsed < SPAN_MS) {
      await run()
      calls++
      elapsed = clock.now() - start
    }
    spans.push(elapsed / calls)
  }
  return spans.sort((a, b) => a - b)[SPANS >> 1]!
}

const blocksFor = (tokens: number) => Math.ceil(tokens / BLOCK_SIZE)

function describe({ decodes, context, chunk, start }: Shape): string {
  const parts = [decodes && `${decodes} decoding after ${context}`, chunk && `${chunk} of a prompt after ${start}`].filter(Boolean)
  return `Timing steps: ${parts.join(' and ')}`
}
