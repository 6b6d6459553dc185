import { materialize } from '../../model/synthetic'
import type { Model } from '../../model/weights'
import { checkBatch, RunnerError, type Runner, type RunnerOptions, type StepBatch, type StepResult } from '../runner'
import { sampleRow } from '../sampling'
import { forward } from './forward'
import { PagedKv } from './kv'
import { matmul } from './math'

/**
 * The oracle: plain TypeScript, one sequence after the other, no tricks. Slow, and right; the other
 * runners are held against it, and it runs wherever JavaScript does.
 */
export function createReferenceRunner(model: Model, options: RunnerOptions = {}): Runner {
  const { config } = model
  const limits = { blocks: options.blocks ?? 1024, sequences: options.sequences ?? 16, tokens: options.tokens ?? 512, chain: 8 }
  let weights = model.source.kind === 'tensors' ? model.source.weights : materialize(config, model.source.seed)
  let kv: PagedKv | undefined = new PagedKv(config, limits.blocks)
  const last = new Map<number, number>() // token sampled last, by request

  return {
    device: { name: 'This device, plain TypeScript', runner: 'reference', model: model.name, threads: 1 },
    config,
    limits,
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
    const kept: Float32Array[] = []
    for (let s = 0; s < steps; s++) {
      for (const [i, chunk] of batch.chunks.entries()) {
        const start = chunk.start + s
        const ids = s > 0 || chunk.tokens[0] === -1 ? Int32Array.of(lastOf(chunk.request)) : chunk.tokens
        const hidden = forward(weights, config, cache, chunk.blockTable, ids, start) // (T, d)
        if (batch.wantLogits && batch.allRows) kept.push(matmul(hidden, weights.unembed, config.hidden)) // (T, vocab)
        if (!chunk.sample) continue
        const logits = matmul(hidden.subarray(-config.hidden), weights.unembed, config.hidden) // (1, d) @ (d, vocab) -> (1, vocab)
        if (batch.wantLogits && !batch.allRows) kept.push(logits)
        const id = sampleRow(logits, start + ids.length, chunk.sampling)
        last.set(chunk.request, id)
        tokens[s * batch.chunks.length + i] = id
      }
    }
    return { tokens, logits: batch.wantLogits ? concat(kept) : undefined }
  }

  function lastOf(request: number): number {
    const id = last.get(request)
    if (id === undefined) throw new RunnerError(`request ${request} asks for its last sampled token before it has one`, 'bad-batch')
    return id
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
