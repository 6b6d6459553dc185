import type { Model } from '$engine/model/weights'
import { work } from '$engine/model/work'
import { BLOCK_SIZE, type Runner } from '$engine/runner/runner'
import { createWasmRunner, type WasmRunnerOptions } from '$engine/runner/wasm'
import type { MachineOptions } from '$engine/runner/wasm/machine'
import { createWasmProbe } from '$engine/runner/wasm/roofs'

/** Milliseconds of one call: the least disturbed one, and the median. */
export interface Span {
  best: number
  median: number
}

/** Calls `f` for about `forMs` milliseconds (at least five times), each call timed. */
export async function span(f: () => unknown, forMs: number): Promise<Span> {
  await f()
  const all: number[] = []
  for (const end = performance.now() + forMs; all.length < 5 || performance.now() < end;) {
    const start = performance.now()
    await f()
    all.push(performance.now() - start)
  }
  all.sort((a, b) => a - b)
  return { best: all[0]!, median: all[all.length >> 1]! }
}

/** Reads of 1 … 256 MB in GB/s, the matmul kernel at its best shape and multiply-adds on registers alone in GFLOP/s. */
export async function wasmRoofs(options: MachineOptions, forMs: number): Promise<{ read: { bytes: number; gbps: number }[]; matmul: number; madd: number }> {
  const probe = await createWasmProbe(options)
  const read: { bytes: number; gbps: number }[] = []
  for (const bytes of probe.sizes) {
    await probe.prepare(bytes)
    read.push({ bytes, gbps: bytes / (await span(() => probe.readPass(), forMs)).best / 1e6 })
  }
  const matmul = (await probe.matmulPass()) / (await span(() => probe.matmulPass(), forMs)).best / 1e6
  const madd = probe.maddPass() / (await span(() => probe.maddPass(), forMs)).best / 1e6
  probe.dispose()
  return { read, matmul, madd }
}

export interface Figure {
  /** Milliseconds of the step. */
  ms: Span
  /** Of the best step: bytes that had to move and FLOPs that had to be done, a second. */
  gbps: number
  gflops: number
}

/** One decode step of `batch` sequences with `context` tokens behind each. */
export async function decodeFigure(runner: Runner, batch: number, context: number, forMs: number): Promise<Figure> {
  const each = Math.ceil((context + 1) / BLOCK_SIZE)
  const chunks = Array.from({ length: batch }, (_, i) => ({
    request: i, tokens: Int32Array.of(7 + i), start: context, blockTable: Int32Array.from({ length: each }, (_, b) => i * each + b), sample: true,
  }))
  const ms = await span(() => runner.run({ chunks }), forMs)
  return figure(runner, ms, Array.from({ length: batch }, () => ({ tokens: 1, context, sampledRows: 1 })))
}

/** One prefill chunk of `tokens` at the start of a sequence. */
export async function prefillFigure(runner: Runner, tokens: number, forMs: number): Promise<Figure> {
  const chunk = {
    request: 0, tokens: Int32Array.from({ length: tokens }, (_, i) => (i * 37 + 11) % runner.config.vocabSize), start: 0,
    blockTable: Int32Array.from({ length: Math.ceil((tokens + 1) / BLOCK_SIZE) }, (_, b) => b), sample: true,
  }
  const ms = await span(() => runner.run({ chunks: [chunk] }), forMs)
  return figure(runner, ms, [{ tokens, context: 0, sampledRows: 1 }])
}

export function openWasm(model: Model, options: WasmRunnerOptions): Promise<Runner> {
  return createWasmRunner(model, options)
}

function figure(runner: Runner, ms: Span, shares: Parameters<typeof work>[1]): Figure {
  const { flops, bytes } = work(runner.config, shares, runner.widths!)
  return { ms, gbps: bytes / ms.best / 1e6, gflops: flops / ms.best / 1e6 }
}
