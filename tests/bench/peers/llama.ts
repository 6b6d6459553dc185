import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Model } from '$engine/model/weights'
import { exportGguf } from './gguf'
import { peerPackage } from './packages'
import type { Peer } from './peer'

/** What is needed of node-llama-cpp. */
interface Sequence {
  clearHistory(): Promise<void>
  eraseContextTokenRanges(ranges: { start: number; end: number }[]): Promise<void>
  readonly nextTokenIndex: number
  evaluate(tokens: readonly number[], options: { temperature: number }): AsyncGenerator<number, void>
}
interface NodeLlama {
  getLlama(options: object): Promise<{
    llamaCppRelease: { release: string }
    loadModel(options: object): Promise<{
      createContext(options: object): Promise<{ getSequence(): Sequence; dispose(): Promise<void> }>
      dispose(): Promise<void>
    }>
    dispose(): Promise<void>
  }>
}

/** Native llama.cpp, f32, one thread, flash attention, by node-llama-cpp's prebuilt binary. Throws where it is not installed. */
export async function openLlama({ config, source }: Model, modelFolder: string): Promise<Peer> {
  if (source.kind !== 'tensors') throw new Error('only models with weights are exported')
  const { getLlama } = await peerPackage<NodeLlama>('node-llama-cpp')
  const llama = await getLlama({ gpu: false, build: 'never', maxThreads: 1, logLevel: 'error', skipDownload: true })
  const folder = mkdtempSync(join(tmpdir(), 'expressway-gguf-'))
  const file = join(folder, 'model.gguf')
  writeFileSync(file, exportGguf(config, source.weights, JSON.parse(readFileSync(join(modelFolder, 'tokenizer.json'), 'utf8')) as Parameters<typeof exportGguf>[2]))
  const model = await llama.loadModel({ modelPath: file, useMmap: false })
  const context = await model.createContext({ contextSize: 1024, batchSize: 512, threads: 1, flashAttention: true })
  rmSync(folder, { recursive: true })
  const sequence = context.getSequence()

  async function generate(tokens: readonly number[], count: number): Promise<number[]> {
    const out: number[] = []
    for await (const id of sequence.evaluate(tokens, { temperature: 0 })) {
      out.push(id)
      if (out.length === count) break
    }
    return out
  }

  return {
    device: `llama.cpp ${llama.llamaCppRelease.release}, native, 1 thread`,
    async prefill(ids) {
      await sequence.clearHistory()
      return (await generate(ids, 1))[0]!
    },
    async decode(length, id, count) {
      if (sequence.nextTokenIndex > length) await sequence.eraseContextTokenRanges([{ start: length, end: sequence.nextTokenIndex }])
      return generate([id], count)
    },
    async close() {
      await context.dispose()
      await model.dispose()
      await llama.dispose()
    },
  }
}
