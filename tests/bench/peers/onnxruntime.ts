import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Model } from '$engine/model/weights'
import { exportOnnx } from './onnx'
import { peerPackage } from './packages'
import type { Peer } from './peer'

/** What is needed of onnxruntime-web. */
interface Tensor {
  data: BigInt64Array | Float32Array
  dispose(): void
}
type Values = Record<string, Tensor>
interface OnnxRuntime {
  env: { versions: { web?: string; common: string }; wasm: { numThreads: number }; logLevel: string }
  Tensor: new (type: 'float32' | 'int64' | 'int32', data: ArrayBufferView | bigint[] | number[], dims: readonly number[]) => Tensor
  InferenceSession: { create(path: string, options: object): Promise<{ run(feeds: Values): Promise<Values>; release(): Promise<void> }> }
}

/** onnxruntime-web's WebAssembly, one thread, all graph optimizations. Throws where the package is not installed. */
export async function openOnnxRuntime({ config: c, source }: Model): Promise<Peer> {
  if (source.kind !== 'tensors') throw new Error('only models with weights are exported')
  const loaded = await peerPackage<{ default?: OnnxRuntime } & OnnxRuntime>('onnxruntime-web')
  const ort = loaded.default ?? loaded
  ort.env.wasm.numThreads = 1
  ort.env.logLevel = 'error'
  const folder = mkdtempSync(join(tmpdir(), 'expressway-onnx-'))
  const file = join(folder, 'model.onnx')
  writeFileSync(file, await exportOnnx(c, source.weights))
  const session = await ort.InferenceSession.create(file, { executionProviders: ['wasm'], graphOptimizationLevel: 'all', enableCpuMemArena: true, enableMemPattern: true })
  rmSync(folder, { recursive: true })

  const names = Array.from({ length: c.layers }, (_, l) => [`key_${l}`, `value_${l}`]).flat()
  const empty = Object.fromEntries(names.map((name) => [name, new ort.Tensor('float32', new Float32Array(), [1, c.kvHeads, 0, c.headDim])]))
  const caches: Values[] = [] // by length
  caches[0] = empty

  /** Computes ids behind the first `length` positions; returns the id that follows. */
  async function step(length: number, ids: readonly number[]): Promise<number> {
    const total = length + ids.length
    const results = await session.run({
      input_ids: new ort.Tensor('int64', BigInt64Array.from(ids, BigInt), [1, ids.length]),
      seqlens_k: new ort.Tensor('int32', Int32Array.of(total - 1), [1]),
      total_length: new ort.Tensor('int32', Int32Array.of(total), []),
      ...Object.fromEntries(names.map((name) => [`past_${name}`, caches[length]![name]!])),
    })
    caches[total] = Object.fromEntries(names.map((name) => [name, results[`present_${name}`]!]))
    return Number((results['next']!.data as BigInt64Array)[0])
  }

  return {
    device: `onnxruntime-web ${ort.env.versions.web ?? ort.env.versions.common}, wasm, 1 thread`,
    prefill: (ids) => step(0, ids),
    async decode(length, id, count) {
      const out: number[] = []
      for (let i = 0; i < count; i++) out.push((id = await step(length + i, [id])))
      return out
    },
    close: () => session.release(),
  }
}
