import { kvWidth, storedWeights, weightWidth } from '../../model/quantize'
import { materialize } from '../../model/synthetic'
import type { Model } from '../../model/weights'
import { checkBatch, RunnerError, type Runner, type RunnerOptions, type SequenceChunk, type StepBatch, type StepResult } from '../runner'
import { sampleRow } from '../sampling'
import type { Router } from './experts'
import { forward } from './forward'
import { PagedKv } from './kv'
import { matmul } from './math'

/**
 * The oracle: plain TypeScript, one sequence after the other, no tricks. Slow, and right; the other
 * runners are held against it, and it runs wherever JavaScript does. Lower precisions are computed with the numbers that
 * they store, kept as 32-bit floats.
 */
export function createReferenceRunner(model: Model, options: RunnerOptions = {}): Runner {
  const { config } = model
  const limits = { blocks: options.blocks ?? 1024, sequences: options.sequences ?? 16, tokens: options.tokens ?? 512, chain: 8 }
  let weights = storedWeights(model.source.kind === 'tensors' ? model.source.weights : materialize(config, model.source.seed), options.weights ?? { format: 'f32' })
  let kv: PagedKv | undefined = new PagedKv(config, limits.blocks, options.kv)
  const last = new Map<number, number>() // token sampled last, by request

  return {
    device: { name: 'This device, plain TypeScript', runner: 'reference', model: model.name, threads: 1 },
    config,
    limits,
    // What the precision takes; here its numbers are kept as 32-bit floats.
    widths: { weight: weightWidth(options.weights ?? { format: 'f32' }), kv: kvWidth(options.kv ?? 'f32', config.headDim) },
    run(batch) {
      if (!kv) throw new RunnerError('the reference runner was disposed', 'disposed')
      checkBatch(batch, config, limits)
      return runSteps(batch, kv)
    },
    release(request) {
      last.delete(request)
    },
    dispose() {
      kv = undefined
      weights = { embed: new Float32Array(), layers: [], finalNorm: new Float32Array(), unembed: new Float32Array() }
    },
  }

  function runSteps(batch: StepBatch, cache: PagedKv): StepResult {
    const steps = batch.steps ?? 1
    const tokens = new Int32Array(steps * batch.chunks.length).fill(-1)
    const logits: Float32Array[] = []
    const rowTokens: number[] = []
    const routes: number[][] = []
    let touched = 0
    for (const { from, to } of batch.copies ?? []) cache.copy(from, to)
    for (let s = 0; s < steps; s++) {
      const routing = config.experts ? new Routing(config.layers, batch.expertsPerToken ?? config.expertsPerToken!) : undefined
      for (const [i, chunk] of batch.chunks.entries()) {
        const ids = s > 0 || chunk.tokens[0] === -1 ? Int32Array.of(lastOf(chunk.request)) : chunk.tokens
        const rows = compute(cache, chunk, ids, chunk.start + s, routing)
        if (batch.wantLogits) logits.push(...rows.filter((row, t) => batch.allRows || isSampled(chunk, t)).map((row) => row.logits()))
        const sampled = rows.map((row, t) => (isSampled(chunk, t) ? sampleRow(row.logits(), row.position + 1, chunk.sampling) : -1))
        if (chunk.sampleRows) rowTokens.push(...sampled)
        if (!chunk.sample) continue
        const id = sampled.at(-1)!
        last.set(chunk.request, id)
        tokens[s * batch.chunks.length + i] = id
      }
      touched += routing?.touched ?? 0
      if (routing) routes.push(...routing.routes)
    }
    return {
      tokens,
      logits: batch.wantLogits ? concat(logits) : undefined,
      rowTokens: batch.chunks.some((chunk) => chunk.sampleRows) ? Int32Array.from(rowTokens) : undefined,
      expertsTouched: config.experts ? touched : undefined,
      experts: batch.wantExperts && config.experts ? Uint8Array.from(routes.flat()) : undefined,
    }
  }

  /** Whether something is sampled after row t of a chunk. */
  function isSampled(chunk: SequenceChunk, t: number): boolean {
    return chunk.sampleRows === true || (chunk.sample && t === chunk.tokens.length - 1)
  }

  /** Rows of a chunk: each one's position, and its logits where somebody asks. */
  function compute(cache: PagedKv, chunk: SequenceChunk, ids: Int32Array, start: number, router?: Router): { position: number; logits(): Float32Array }[] {
    const { parents } = chunk
    const hidden = forward(weights, config, cache, { tokens: ids, start, table: chunk.blockTable, parents, router }) // (T, d)
    const depths: number[] = []
    return Array.from(ids, (_, t) => {
      const parent = parents ? parents[t]! : t - 1
      depths.push(parent < 0 ? 0 : depths[parent]! + 1)
      const row = hidden.subarray(t * config.hidden, (t + 1) * config.hidden)
      let logits: Float32Array | undefined
      return { position: start + depths[t]!, logits: () => (logits ??= matmul(row, weights.unembed, config.hidden)) } // (1, d) @ (d, vocab) -> (1, vocab)
    })
  }

  function lastOf(request: number): number {
    const id = last.get(request)
    if (id === undefined) throw new RunnerError(`request ${request} asks for its last sampled token before it has one`, 'bad-batch')
    return id
  }
}

/** Where the tokens of one step went, layer by layer. */
class Routing implements Router {
  readonly routes: number[][]

  constructor(layers: number, readonly expertsPerToken: number) {
    this.routes = Array.from({ length: layers }, () => [])
  }

  onRoute(layer: number, experts: readonly number[]): void {
    this.routes[layer]!.push(...experts)
  }

  /** Distinct (layer, expert) pairs. */
  get touched(): number {
    return this.routes.reduce((n, route) => n + new Set(route).size, 0)
  }
}

function concat(parts: Float32Array[]): Float32Array {
  const out = new Float32Array(parts.reduce((n, p) => n + p.length, 0))
  let at = 0
  for (const p of parts) {
    out.set(p, at)
    at += p.length
  }
  return out
}
