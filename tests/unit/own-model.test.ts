import { describe, expect, test } from 'vitest'
import { modelFolder } from '$components/frame/model-folder'
import { createReferenceRunner } from '$engine/runner/reference'
import { createReferenceProbe } from '$engine/runner/reference/roofs'
import type { Trace } from '$engine/trace/trace'
import { append } from '$engine/trace/phases'
import { EngineHost } from '$engine/worker/host'
import type { ModelFolder, Progress } from '$engine/worker/protocol'
import { modelFiles, TINY, TINY_MIXTURE, TINY_QWEN2, type FolderOptions } from '../support/model-folder'

const folder = (name: string, options?: FolderOptions): ModelFolder => ({ name, files: [...modelFiles(options)].map(([file, bytes]) => ({ name: file, file: new File([bytes], file) })) })
const shipped = modelFiles()

/** A host whose shipped model is a tiny one too, on the reference runner. */
async function opened(): Promise<EngineHost> {
  const host = new EngineHost({
    model: () => async (file) => shipped.get(file)!.slice().buffer,
    passage: async () => 'There was once a mill.',
    store: { get: async () => undefined, set: async () => {} },
    yieldThread: async () => {},
    createProbe: async () => ({ ...createReferenceProbe(), sizes: [2 ** 16] }),
    createRunner: async (_, model, options) => createReferenceRunner(model, { ...options, blocks: 64 }),
    cores: 1, isolated: true, memoryBytes: 2 ** 24,
  })
  await host.open({ runner: 'reference', slow: 1 })
  return host
}

async function run(host: EngineHost, model: string): Promise<Trace> {
  let trace: Trace | undefined
  await host.run({ model, requests: [{ prompt: 'Once', maxTokens: 3, ignoreEos: true }] }, {
    onStart: (header) => void (trace = { ...header, requests: [], events: [], steps: [] }),
    onUpdate: (update) => void append(trace!, update),
  })
  return trace!
}

const modelOf = (trace: Trace) => (trace.provenance as { device: { model: string } }).device.model

describe('the reader’s own model', () => {
  test.each([
    ['Llama in bf16', { config: TINY, dtype: 'BF16' }], ['Qwen2 in two shards', { config: TINY_QWEN2, shards: 2 }], ['Mixtral', { config: TINY_MIXTURE }],
  ] as const)('%s: stands in for tales-5m until it is put aside', async (_name, options) => {
    const host = await opened()
    const steps: Progress[] = []
    const info = await host.bring(folder('mine', options), (p) => steps.push(p))
    expect(info.own).toMatchObject({ name: 'mine (own)' })
    expect(info.own!.parameters).toBeGreaterThan(50_000)
    expect(steps.at(-1)).toEqual({ done: 1, doing: 'Reading mine' })
    expect(modelOf(await run(host, 'tales-5m'))).toBe('mine (own)')
    const own = await run(host, 'own')
    expect(modelOf(own)).toBe('mine (own)')
    expect(own.events.filter((e) => e.kind === 'token')).toHaveLength(3)
    expect(modelOf(await run(host, 'tales-1m'))).toBe('tales-1m')
    expect((await host.bring(undefined)).own).toBeUndefined()
    expect(modelOf(await run(host, 'tales-5m'))).not.toContain('own')
    await expect(run(host, 'own')).rejects.toMatchObject({ code: 'model', message: expect.stringContaining('drop a model folder') as string })
  })

  test('one of the same name takes the place of the other', async () => {
    const host = await opened()
    await host.bring(folder('mine'))
    await run(host, 'own')
    const info = await host.bring(folder('mine', { config: { ...TINY, layers: 1 } }))
    await run(host, 'own')
    expect(info.own!.parameters).toBeLessThan(100_000)
  })

  test.each<[string, ModelFolder, string]>([
    ['a file is missing', { name: 'mine', files: folder('mine').files.filter((f) => f.name !== 'tokenizer.json') }, 'mine/tokenizer.json could not be read: it is not in the folder'],
    ['the weights are truncated', { name: 'mine', files: folder('mine').files.map((f) => (f.name === 'model.safetensors' ? { ...f, file: f.file.slice(0, 9000) } : f)) }, 'truncated'],
    ['another architecture', { name: 'mine', files: folder('mine').files.map((f) => (f.name === 'config.json' ? { ...f, file: new Blob(['{"model_type":"gpt2"}']) } : f)) }, 'model_type is "gpt2"'],
    ['too large for memory', folder('mine', { config: { ...TINY, ffn: 6400, layers: 4 } }), 'this device has room for 0.0 GB. Take a smaller model'],
  ])('%s: said in words, and what was in use stays', async (_name, damaged, words) => {
    const host = await opened()
    await host.bring(folder('before'))
    await expect(host.bring(damaged)).rejects.toMatchObject({ code: 'model', message: expect.stringContaining(words) as string })
    expect(modelOf(await run(host, 'tales-5m'))).toBe('before (own)')
  })
})

describe('what was dropped', () => {
  const placed = (...paths: string[]) => paths.map((path) => ({ path, file: new File([], path.split('/').at(-1)!) }))
  test('the folder of config.json is the model, whatever lies around it', () => {
    const { name, files } = modelFolder(placed('Qwen/README.md', 'Qwen/config.json', 'Qwen/a.safetensors', 'Qwen/onnx/config.json', 'Qwen/onnx/b.safetensors'))
    expect(name).toBe('Qwen')
    expect(files.map((f) => f.name)).toEqual(['README.md', 'config.json', 'a.safetensors'])
    expect(modelFolder(placed('config.json', 'model.safetensors')).name).toBe('model')
  })
  test.each([
    [['notes.txt'], 'There is no config.json'], [['m/model-q4.gguf'], 'GGUF files are not read'], [[], 'There is no config.json'],
    [['m/config.json', 'm/pytorch_model.bin'], 'm has no *.safetensors; pytorch_model.bin is not read here'],
  ])('%j: refused in words', (paths, words) => {
    expect(() => modelFolder(placed(...paths))).toThrow(words)
  })
})
