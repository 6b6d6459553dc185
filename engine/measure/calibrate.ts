import type { Model } from '../model/weights'
import type { EngineRunner } from '../runner/create'
import { BLOCK_SIZE, type Runner } from '../runner/runner'
import type { Clock } from '../serving/clock'
import { readRate } from '../trace/bottleneck'
import type { Milliseconds, Roofs } from '../trace/trace'
import type { RoofProbe } from '../runner/probe'
import { cacheEdge, measureRoofs, timePerCall } from './rates'

/** Positions used while timing; the same few blocks again and again. */
const CONTEXT = 64

/** Decode at batch 1 after 64 tokens of context, ms a token. */
export async function measureDecode(runner: Runner, clock: Clock): Promise<Milliseconds> {
  const table = Int32Array.from({ length: CONTEXT / BLOCK_SIZE + 1 }, (_, i) => i)
  await runner.run({ chunks: [{ request: 0, tokens: ids(CONTEXT, runner), start: 0, blockTable: table, sample: true }] })
  const steps = Math.min(runner.limits.chain, 8)
  const decode = () => runner.run({ chunks: [{ request: 0, tokens: ids(1, runner), start: CONTEXT, blockTable: table, sample: true }], steps })
  const ms = await timePerCall(clock, decode, 5)
  runner.release?.(0)
  return ms / steps
}

/** Prefill of one 256-token chunk, ms a token. */
export async function measurePrefill(runner: Runner, clock: Clock): Promise<Milliseconds> {
  const tokens = Math.min(256, runner.limits.tokens)
  const table = Int32Array.from({ length: tokens / BLOCK_SIZE + 1 }, (_, i) => i)
  const ms = await timePerCall(clock, () => runner.run({ chunks: [{ request: 0, tokens: ids(tokens, runner), start: 0, blockTable: table, sample: true }] }))
  runner.release?.(0)
  return ms / tokens
}

/** Time of a step that has next to nothing to compute: dispatch, readback, interpreter. */
export async function measureOverhead(create: (model: Model) => Promise<Runner>, clock: Clock): Promise<Milliseconds> {
  const runner = await create({
    name: 'empty-step',
    config: { layers: 8, hidden: 64, heads: 1, kvHeads: 1, headDim: 64, ffn: 64, vocabSize: 64, rmsNormEps: 1e-5, ropeTheta: 10000, maxPositions: 8192, tied: true, eos: [] },
    source: { kind: 'synthetic', seed: 1 },
    trainedContext: 0,
  })
  try {
    return await measureDecode(runner, clock)
  } finally {
    runner.dispose()
  }
}

/**
 * Weights of the timing model at least, bytes: three times the largest cache that laptops and desktops
 * commonly have, so that a busy minute during calibration cannot make memory look like cache.
 */
const LEAST_TIMING_BYTES = 100e6

/** Parameters of the timing model that suits a device (SLIDES, "Which model runs under this device"). */
export function timingParameters(kind: EngineRunner, roofs: Roofs, memoryBytes: number): number {
  const memory = readRate(roofs, Infinity)
  const floor = kind === 'webgpu'
    ? 4 * ((roofs.overheadMs ?? 0) / 1000) * memory // reading the weights takes four times the dispatching
    : 4 * cacheEdge(roofs.read) // four times the last-level cache
  const decodeMs = kind === 'reference' ? 8 : 60 // the reference runner's prefill is a hundred times its decode: keep it in seconds
  const ceiling = Math.min(memoryBytes / 4, (decodeMs / 1000) * Math.min(memory, roofs.flopsPerSecond * 2))
  return Math.min(Math.max(floor, LEAST_TIMING_BYTES), ceiling) / 4
}

/** Roofs of a device, with the cost of an empty step. */
export async function measureDevice(
  probe: RoofProbe, create: (model: Model) => Promise<Runner>, clock: Clock,
  onProgress: (done: number, doing: string) => void, signal?: AbortSignal,
): Promise<Roofs> {
  const roofs = await measureRoofs(probe, clock, (done, doing) => onProgress(done * 0.9, doing), signal)
  onProgress(0.9, 'Taking an empty step')
  return { ...roofs, overheadMs: await measureOverhead(create, clock) }
}

/** Smallest difference that performance.now() shows here, ms. */
export function clockResolution(): Milliseconds {
  let smallest = Infinity
  for (let i = 0, previous = performance.now(); i < 20000 && smallest > 0.005; i++) {
    const t = performance.now()
    if (t > previous) smallest = Math.min(smallest, t - previous)
    previous = t
  }
  return Number.isFinite(smallest) ? smallest : 1
}

function ids(count: number, runner: Runner): Int32Array {
  return Int32Array.from({ length: count }, (_, i) => (i * 7 + 1) % runner.config.vocabSize)
}
