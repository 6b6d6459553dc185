import { describe, expect, test } from 'vitest'
import type { Runner } from '$engine/runner/runner'
import { VirtualClock } from '$engine/serving/clock'
import { Random } from '$engine/serving/random'
import { replaySteps } from '$engine/serving/replay-steps'
import { serve, type ServeRequest } from '$engine/serving/serve'
import { append } from '$engine/trace/phases'
import type { Trace } from '$engine/trace/trace'

/** Live runs on a runner whose steps take what they like: no cost could foretell them. */
async function liveRun(seed: number, { blocks, chain }: { blocks: number; chain: number }) {
  const random = new Random(seed)
  const clock = new VirtualClock()
  let t = 0
  const requests = Array.from({ length: 40 }, (_, id): ServeRequest => {
    t += 30 * random.exponential()
    const prompt = new Int32Array(1 + random.below(60))
    return { record: { id, arrival: t, promptTokens: prompt.length, maxTokens: 1 + random.below(40) }, prompt, queuedAt: t, eos: [] }
  })
  const limits = { blocks, sequences: 6, tokens: 48, chain }
  const runner = {
    device: { name: 'test', runner: 'reference', model: 'test' },
    config: { layers: 1, hidden: 64, heads: 1, kvHeads: 1, headDim: 64, ffn: 64, vocabSize: 64, rmsNormEps: 1e-5, ropeTheta: 1e4, maxPositions: 1024, tied: true, eos: [] },
    limits,
    run: (batch) => {
      clock.advance(5 * random.exponential() * (batch.steps ?? 1))
      return { tokens: new Int32Array(batch.chunks.length * (batch.steps ?? 1)).fill(1) }
    },
    dispose() {},
  } satisfies Runner as Runner
  const trace: Trace = { provenance: { how: 'measured', device: runner.device, at: '' }, requests: requests.map((r) => r.record), events: [], steps: [] }
  await serve(requests, { runner, clock, emit: (u) => append(trace, { requests: [], ...u }) })
  const ours = () => replaySteps(requests.map((r) => ({ record: r.record, queuedAt: r.queuedAt, outputTokens: r.record.maxTokens })), trace.steps, { maxSequences: 6, maxBatchedTokens: 48, blocks }, chain)
  return { trace, ours }
}

const KINDS = ['queued', 'scheduled', 'prefill', 'token', 'finished', 'preempted']
const keys = (events: readonly { t: number; request: number; kind: string }[]) => events.filter((e) => KINDS.includes(e.kind)).map((e) => `${e.kind} ${e.request} ${e.t}`).sort()

describe('a live run replayed on its own steps', () => {
  test.each([[1, { blocks: 400, chain: 1 }], [2, { blocks: 14, chain: 1 }], [3, { blocks: 400, chain: 8 }], [4, { blocks: 12, chain: 4 }]] as const)('seed %i, %o: every timestamp, every batch, every block count', async (seed, limits) => {
    const { trace, ours } = await liveRun(seed, limits)
    const replayed = ours()
    expect(keys(replayed.events)).toEqual(keys(trace.events))
    expect(replayed.steps.map((s) => s.kvBlocks)).toEqual(trace.steps.map((s) => s.kvBlocks))
    expect(replayed.steps.map((s) => s.batch.map((b) => [b.request, b.tokens]))).toEqual(trace.steps.map((s) => s.batch.map((b) => [b.request, b.tokens])))
    if (limits.blocks < 20) expect(trace.events.some((e) => e.kind === 'preempted')).toBe(true)
  })

  test('a run that the scheduler would not have had is noticed', async () => {
    const { trace, ours } = await liveRun(5, { blocks: 400, chain: 1 })
    trace.steps.pop()
    expect(ours).toThrow('ended before')
  })
})
