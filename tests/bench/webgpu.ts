import { timePerCall } from '$engine/measure/rates'
import type { Model } from '$engine/model/weights'
import { BLOCK_SIZE, type StepBatch } from '$engine/runner/runner'
import { createWebGpuRunner, type KernelTime } from '$engine/runner/webgpu'
import { WallClock } from '$engine/serving/clock'

/** One kernel, or a whole pass, of the webgpu runner. */
export interface WebGpuRow {
  /** What the step was: 'decode at 64', 'prefill of 256'. */
  step: string
  /** Kernel, or 'whole step' (with readback), or 'whole step, chained' (one of 16, read back once). */
  what: string
  /** Of one step. */
  dispatches: number
  ms: number
  gflops?: number
  gbps?: number
}

const CONTEXT = 64
const PROMPT = 256
const CHAIN = 16
const PROFILES = 5

/** Where the time of a model's steps goes, kernel by kernel (timestamps) and as a whole (clock). */
export async function benchWebGpu(model: Model): Promise<{ device: string; rows: WebGpuRow[] }> {
  const blocks = (CONTEXT + PROMPT + CHAIN) / BLOCK_SIZE + 1
  const blockTable = Int32Array.from({ length: blocks }, (_, i) => i)
  const ids = (count: number) => Int32Array.from({ length: count }, (_, i) => (i * 7) % model.config.vocabSize)
  const prefill = (tokens: number): StepBatch => ({ chunks: [{ request: 0, tokens: ids(tokens), start: 0, blockTable, sample: true }] })
  const decode: StepBatch = { chunks: [{ request: 0, tokens: ids(1), start: CONTEXT, blockTable, sample: true }] }
  const steps: [string, StepBatch][] = [[`decode at ${CONTEXT}`, decode], [`prefill of ${PROMPT}`, prefill(PROMPT)]]
  const rows: WebGpuRow[] = []

  const clock = new WallClock()
  const runner = await createWebGpuRunner(model, { blocks })
  await runner.run(prefill(CONTEXT))
  for (const [step, batch] of steps) {
    const { dispatches } = await runner.run(batch)
    rows.push({ step, what: 'whole step', dispatches: dispatches!, ms: await timePerCall(clock, () => runner.run(batch)) })
  }
  const chained = await timePerCall(clock, () => runner.run({ ...decode, steps: CHAIN }))
  rows.push({ step: steps[0]![0], what: 'whole step, chained', dispatches: rows[0]!.dispatches, ms: chained / CHAIN })
  const device = runner.device.name
  runner.dispose()

  const profiled = await createWebGpuRunner(model, { blocks, profile: true })
  await profiled.run(prefill(CONTEXT))
  for (const [step, batch] of steps) {
    const seen: KernelTime[][] = []
    for (let i = 0; i < PROFILES; i++) {
      await profiled.run(batch)
      seen.push(profiled.profile)
    }
    rows.push(...byKernel(step, seen))
  }
  profiled.dispose()
  return { device, rows }
}

/** Sums each kernel's dispatches within a step; of the steps seen, the fastest, since the timer only ever adds. */
function byKernel(step: string, seen: KernelTime[][]): WebGpuRow[] {
  const best = seen.map(group).reduce((a, b) => (sum(a, (t) => t.ms) <= sum(b, (t) => t.ms) ? a : b))
  return best.map(({ name: what, dispatches, ms, flops, bytes }) => ({ step, what, dispatches, ms, gflops: flops / ms / 1e6, gbps: bytes / ms / 1e6 }))
}

function group(times: readonly KernelTime[]): (KernelTime & { dispatches: number })[] {
  const groups = new Map<string, KernelTime[]>()
  for (const time of times) groups.set(time.name, [...(groups.get(time.name) ?? []), time])
  return [...groups].map(([name, all]) => ({ name, dispatches: all.length, ms: sum(all, (t) => t.ms), flops: sum(all, (t) => t.flops), bytes: sum(all, (t) => t.bytes) }))
}

function sum<T>(items: readonly T[], of: (item: T) => number): number {
  return items.reduce((total, item) => total + of(item), 0)
}
