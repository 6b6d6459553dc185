import fc from 'fast-check'
import { existsSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { activeParameters, kvBytesPerToken, ModelError, parameterCount, parseConfig } from '$engine/model/config'
import { brainToFloat, halfToFloat } from '$engine/model/half'
import { loadModel, type ReadFile } from '$engine/model/load'
import { Safetensors } from '$engine/model/safetensors'
import { materialize, syntheticValue, timingModel } from '$engine/model/synthetic'
import { Tokenizer } from '$engine/model/tokenizer'
import type { Weights } from '$engine/model/weights'
import { expectedExperts, work } from '$engine/model/work'
import { Random } from '$engine/serving/random'
import { madeUp, modelFiles, TINY, TINY_MIXTURE, TINY_QWEN2 } from '../support/model-folder'

const llama = {
  architectures: ['LlamaForCausalLM'], model_type: 'llama', hidden_size: 4096, num_hidden_layers: 32, num_attention_heads: 32, num_key_value_heads: 8,
  intermediate_size: 14336, vocab_size: 128256, rms_norm_eps: 1e-5, rope_theta: 500000, max_position_embeddings: 131072, tie_word_embeddings: false, eos_token_id: [128001, 128009],
}

describe('config', () => {
  test('Llama-3.1-8B: the published parameter count and KV bytes', () => {
    const c = parseConfig(llama)
    expect(parameterCount(c)).toBe(8030261248) // as its model card's safetensors index says
    expect(kvBytesPerToken(c, 2)).toBe(131072) // REFERENCE §4
    expect(c.headDim).toBe(128)
  })
  test.each([
    [{ ...llama, model_type: 'gpt2' }, 'model_type'], [{ ...llama, hidden_size: -1 }, 'hidden_size'], [{ ...llama, num_hidden_layers: 1.5 }, 'num_hidden_layers'],
    [{ ...llama, num_key_value_heads: 5 }, 'multiple of num_key_value_heads'], [{ ...llama, rope_scaling: { type: 'linear' } }, 'rope_scaling'],
    [{ ...llama, rope_parameters: { rope_type: 'llama3' } }, 'rope_parameters'], [{ ...llama, quantization_config: { bits: 4 } }, 'quantization_config'],
    [{ ...llama, model_type: 'mixtral', num_local_experts: 1 }, 'num_experts_per_tok 2 of num_local_experts 1'],
    [{ ...llama, hidden_act: 'gelu' }, 'hidden_act'], [{ ...llama, attention_bias: true }, 'biases'], [{ ...llama, eos_token_id: 999999 }, 'eos_token_id'],
    [null, 'not a JSON object'], [[], 'not a JSON object'],
  ])('names the key that is wrong: %#', (json, words) => {
    expect(() => parseConfig(json)).toThrow(ModelError)
    expect(() => parseConfig(json)).toThrow(words)
  })
})

describe('the family', () => {
  // Published counts, from the safetensors indexes of mistralai/Mixtral-8x7B-v0.1, Qwen/Qwen2.5-0.5B and mistralai/Mistral-7B-v0.1.
  test('Mixtral-8x7B: 46.7 billion parameters, 12.9 of them active', () => {
    const c = parseConfig({ ...llama, model_type: 'mixtral', vocab_size: 32000, num_local_experts: 8, num_experts_per_tok: 2, sliding_window: null, eos_token_id: 2 })
    expect(parameterCount(c)).toBe(46702792704)
    expect(activeParameters(c) / 1e9).toBeCloseTo(12.88, 2)
    expect(activeParameters(c, 8)).toBe(parameterCount(c))
  })
  test('Qwen2.5-0.5B: biases on q, k and v, tied head', () => {
    const c = parseConfig({
      model_type: 'qwen2', hidden_size: 896, num_hidden_layers: 24, num_attention_heads: 14, num_key_value_heads: 2, intermediate_size: 4864, vocab_size: 151936,
      rms_norm_eps: 1e-6, rope_theta: 1e6, max_position_embeddings: 32768, tie_word_embeddings: true, sliding_window: 32768, use_sliding_window: false, eos_token_id: 151643,
    })
    expect(c.qkvBias).toBe(true)
    expect(parameterCount(c)).toBe(494032768)
    expect(c.maxPositions).toBe(32768)
  })
  test('Mistral-7B goes no further than its window', () => {
    const c = parseConfig({ ...llama, model_type: 'mistral', vocab_size: 32000, max_position_embeddings: 32768, sliding_window: 4096, eos_token_id: 2 })
    expect(parameterCount(c)).toBe(7241732096)
    expect(c.maxPositions).toBe(4096)
  })
  test('the base of the rotation where newer files keep it', () => {
    expect(parseConfig({ ...llama, rope_theta: undefined, rope_parameters: { rope_type: 'default', rope_theta: 12345 } }).ropeTheta).toBe(12345)
  })
})

/** A file with the given header and data bytes. */
function file(header: object | string, data = new Uint8Array(), claimed?: bigint): ArrayBuffer {
  const json = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header))
  const out = new Uint8Array(8 + json.length + data.length)
  new DataView(out.buffer).setBigUint64(0, claimed ?? BigInt(json.length), true)
  out.set(json, 8)
  out.set(data, 8 + json.length)
  return out.buffer
}

describe('safetensors', () => {
  test('reads f32, f16 and bf16 at any alignment', () => {
    const data = new Uint8Array(3 + 8 + 4 + 4)
    data.set(new Uint8Array(new Float32Array([1.5, -2]).buffer), 3)
    data.set(new Uint8Array(new Uint16Array([0x3e00, 0xc000]).buffer), 11)
    data.set(new Uint8Array(new Uint16Array([0x3fc0, 0xc000]).buffer), 15)
    const f = new Safetensors(file({
      pad: { dtype: 'F16', shape: [0], data_offsets: [0, 0] },
      a: { dtype: 'F32', shape: [2], data_offsets: [3, 11] }, b: { dtype: 'F16', shape: [1, 2], data_offsets: [11, 15] }, c: { dtype: 'BF16', shape: [2], data_offsets: [15, 19] },
    }, data))
    for (const [name, shape] of [['a', [2]], ['b', [1, 2]], ['c', [2]]] as const) expect([...f.float32(name, shape)]).toEqual([1.5, -2])
  })
  test.each([
    [new ArrayBuffer(4), 'too short'],
    [file({}, undefined, 10n ** 15n), 'header claims'],
    [file({}, undefined, 2n ** 64n - 1n), 'header claims'],
    [file('not json at all'), 'not JSON'],
    [file('[1,2]'), 'not a JSON object'],
    [file({ a: 5 }), 'not an object'],
    [file({ a: { dtype: 'I64', shape: [1], data_offsets: [0, 8] } }, new Uint8Array(8)), 'type "I64"'],
    [file({ a: { dtype: 'F32', shape: [-1], data_offsets: [0, 4] } }, new Uint8Array(4)), 'shape'],
    [file({ a: { dtype: 'F32', shape: [1], data_offsets: [4, 0] } }, new Uint8Array(8)), 'offsets 4 … 0'],
    [file({ a: { dtype: 'F32', shape: [2], data_offsets: [0, 8] } }, new Uint8Array(4)), 'truncated'],
    [file({ a: { dtype: 'F32', shape: [3], data_offsets: [0, 8] } }, new Uint8Array(8)), 'needs 12 bytes'],
    [file({ a: { dtype: 'F32', shape: [1], data_offsets: [0, 4] }, b: { dtype: 'F32', shape: [1], data_offsets: [2, 6] } }, new Uint8Array(8)), 'overlap'],
  ])('says what is wrong: %#', (buffer, words) => {
    expect(() => new Safetensors(buffer)).toThrow(ModelError)
    expect(() => new Safetensors(buffer)).toThrow(words)
  })
  test('whatever the bytes: a tensor or a ModelError', () => {
    fc.assert(fc.property(fc.uint8Array({ minLength: 0, maxLength: 64 }), fc.nat({ max: 80 }), (bytes, claimed) => {
      try {
        new Safetensors(file(new TextDecoder('latin1').decode(bytes), undefined, BigInt(claimed)))
      } catch (e) {
        expect(e).toBeInstanceOf(ModelError)
      }
    }))
  })
  test('half and brain floats convert exactly', () => {
    expect([...halfToFloat(Uint16Array.of(0x0001, 0x03ff, 0x0400, 0x7bff, 0x8000, 0x7c00))]).toEqual([2 ** -24, 1023 * 2 ** -24, 2 ** -14, 65504, -0, Infinity])
    expect(halfToFloat(Uint16Array.of(0x7e00))[0]).toBeNaN()
    expect([...brainToFloat(Uint16Array.of(0x3f80, 0xff80))]).toEqual([1, -Infinity])
  })
})

describe('synthetic weights', () => {
  test('keep the size of activations: mean 0, variance 1 / columns', () => {
    const columns = 256
    let sum = 0
    let squares = 0
    for (let i = 0; i < 65536; i++) {
      const v = syntheticValue(3, 5, i, columns)
      sum += v
      squares += v * v
    }
    expect(Math.abs(sum / 65536)).toBeLessThan(4 * Math.sqrt(1 / columns / 65536))
    expect((squares / 65536) * columns).toBeCloseTo(1, 1)
  })
  test('the timing model has about the size asked for', () => {
    for (const parameters of [7e6, 32e6, 300e6]) {
      const { config } = timingModel(parameters)
      expect(parameterCount(config) / parameters).toBeGreaterThan(0.6)
      expect(parameterCount(config) / parameters).toBeLessThan(1.6)
      expect(config.heads % config.kvHeads).toBe(0)
    }
  })
  test('so has the mixture of experts, which is as wide and whose tokens meet two', () => {
    for (const parameters of [20e6, 45e6, 120e6, 900e6]) {
      const { config, name } = timingModel(parameters, { experts: 8 })
      expect(parameterCount(config) / parameters).toBeGreaterThan(0.9)
      expect(parameterCount(config) / parameters).toBeLessThan(1.1)
      expect(activeParameters(config)).toBeLessThan(0.45 * parameterCount(config))
      expect(Number(/^timing-(\d+)m-8x$/.exec(name)![1])).toBeCloseTo(parameterCount(config) / 1e6, -1)
    }
    const c = { ...timingModel(7e6).config, hidden: 64, heads: 2, kvHeads: 1, headDim: 32, ffn: 64, layers: 2, vocabSize: 32, experts: 4, expertsPerToken: 2 }
    const { layers } = materialize(c, 1)
    expect(layers[1]!.down).toHaveLength(4 * 64 * 64)
    expect([...layers[1]!.router!.slice(0, 3)]).toEqual([0, 1, 2].map((i) => syntheticValue(1, 2 + 2 * 9 + 1, i, 64)))
  })
  test('tensors differ, seeds differ, the same seed is the same model', () => {
    const c = { ...timingModel(7e6).config, hidden: 64, heads: 2, kvHeads: 1, headDim: 32, ffn: 64, layers: 2, vocabSize: 32 }
    const a = materialize(c, 1)
    expect(materialize(c, 1).layers[1]!.q).toEqual(a.layers[1]!.q)
    expect(materialize(c, 2).layers[1]!.q).not.toEqual(a.layers[1]!.q)
    expect(a.layers[0]!.q).not.toEqual(a.layers[1]!.q)
  })
})

describe('work', () => {
  test('decode of Llama-3.1-8B reads 15.0 GB and does 15 GFLOP, as by hand', () => {
    const c = parseConfig(llama)
    const w = work(c, [{ tokens: 1, context: 1000, sampledRows: 1 }], { weight: 2, kv: 2 })
    const layers = 32 * (4096 * 128 * (32 * 2 + 8 * 2) + 3 * 4096 * 14336 + 2 * 4096)
    expect(w.flops).toBe(2 * layers + 2 * 4096 * 128256 + 4 * 32 * 32 * 128 * 1001)
    // Weights without the input table, KV of 1,001 tokens read and one written, one row of the table, activations.
    expect(w.bytes).toBeCloseTo((layers + 128256 * 4096 + 4096) * 2 + 131072 * 1002 + 4096 * 2 + 16 * 4096 * 32, 0)
    expect(w.bytes / 1.008e12).toBeCloseTo(0.01503, 3) // REFERENCE §2: 14.9 ms of weights on an RTX 4090
  })
  test('a batch reads the weights once', () => {
    const c = timingModel(32e6).config
    const share = { tokens: 1, context: 10, sampledRows: 1 }
    const one = work(c, [share], { weight: 4, kv: 4 })
    const eight = work(c, Array(8).fill(share), { weight: 4, kv: 4 })
    expect(eight.flops).toBe(8 * one.flops)
    expect(eight.bytes).toBeLessThan(1.05 * one.bytes)
  })
})

describe('work of a mixture', () => {
  const c = { ...timingModel(7e6).config, experts: 8, expertsPerToken: 2 }
  const share = { tokens: 1, context: 10, sampledRows: 1 }
  const widths = { weight: 2, kv: 2 }
  const expert = 3 * c.hidden * c.ffn
  test('a token computes two experts and reads two', () => {
    const one = work(c, [share], widths)
    const dense = work({ ...c, experts: undefined, expertsPerToken: undefined }, [share], widths)
    const router = c.layers * 8 * c.hidden
    expect(one.flops - dense.flops).toBe(2 * (c.layers * expert + router))
    expect(one.bytes - dense.bytes).toBeCloseTo(2 * (c.layers * expert + router), -2)
    expect(work(c, [share], widths, { expertsPerToken: 4 }).flops - one.flops).toBe(2 * 2 * c.layers * expert)
  })
  test('a batch reads what its tokens touch: as counted, or as many as random routing would', () => {
    const batch = Array(6).fill(share) as (typeof share)[]
    const counted = (expertsTouched: number) => work(c, batch, widths, { expertsTouched })
    expect(counted(11).bytes - counted(10).bytes).toBe(2 * expert)
    // Six draws of two out of eight, by brute force over 20,000 batches.
    const random = new Random(3)
    let touched = 0
    for (let i = 0; i < 20_000; i++) {
      const seen = new Set<number>()
      for (let t = 0; t < 6; t++) {
        const first = Math.floor(random.uniform() * 8)
        seen.add(first).add((first + 1 + Math.floor(random.uniform() * 7)) % 8)
      }
      touched += seen.size
    }
    expect(expectedExperts(c, 6) / c.layers).toBeCloseTo(touched / 20_000, 1)
    expect(work(c, batch, widths).bytes).toBe(counted(expectedExperts(c, 6)).bytes)
    expect(counted(16).workingSet).toBe(counted(1).workingSet)
  })
})

describe('folders of the family', () => {
  const reader = (files: Map<string, Uint8Array<ArrayBuffer>>): ReadFile => async (file) => {
    const bytes = files.get(file)
    if (!bytes) throw new Error('no such file')
    return bytes.slice().buffer
  }
  test.each([
    ['Llama', TINY, {}], ['Mixtral', TINY_MIXTURE, {}], ['Qwen2, head of its own', TINY_QWEN2, {}], ['Mixtral in three shards', TINY_MIXTURE, { shards: 3 }], ['Qwen2 in two shards', TINY_QWEN2, { shards: 2 }],
  ])('%s: what was written is what is read', async (_name, config, options) => {
    const steps: number[] = []
    const { model } = await loadModel('own', reader(modelFiles({ config, ...options })), { onProgress: (done) => steps.push(done) })
    expect(model.config).toEqual(config)
    expect(model.source).toEqual({ kind: 'tensors', weights: madeUp(config) })
    expect(steps.at(-1)).toBe(1)
    expect(steps).toEqual([...steps].sort((a, b) => a - b))
  })
  test('bf16 is read as what it stands for', async () => {
    const { model } = await loadModel('own', reader(modelFiles({ dtype: 'BF16' })))
    const { embed } = (model.source as { weights: Weights }).weights
    const exact = madeUp(TINY).embed
    for (const [i, x] of exact.entries()) if (!(Math.abs(embed[i]! - x) <= Math.abs(x) / 128)) expect.fail(`${embed[i]} stands for ${x}`)
  })
  test('ends of text from generation_config.json are added', async () => {
    const files = modelFiles()
    files.set('generation_config.json', new TextEncoder().encode('{"eos_token_id": [7, 0, 99999]}'))
    expect((await loadModel('own', reader(files))).model.config.eos).toEqual([0, 7])
  })
  test.each<[string, (files: Map<string, Uint8Array<ArrayBuffer>>) => unknown, string]>([
    ['a shard is missing', (f) => f.delete('model-00002-of-00002.safetensors'), 'own/model-00002-of-00002.safetensors could not be read: no such file'],
    ['a shard is truncated', (f) => f.set('model-00001-of-00002.safetensors', f.get('model-00001-of-00002.safetensors')!.slice(0, 5000)), 'truncated'],
    ['the index is missing too', (f) => f.delete('model.safetensors.index.json'), 'own/model.safetensors could not be read: no such file'],
    ['the index is not JSON', (f) => f.set('model.safetensors.index.json', new TextEncoder().encode('<')), 'model.safetensors.index.json is not JSON'],
    ['the index forgets a tensor', (f) => f.set('model.safetensors.index.json', new TextEncoder().encode('{"weight_map":{}}')), 'tensor model.embed_tokens.weight is in no file'],
    ['the index has no map', (f) => f.set('model.safetensors.index.json', new TextEncoder().encode('[]')), 'no weight_map'],
  ])('%s: a clear error', async (_name, damage, words) => {
    const files = modelFiles({ shards: 2 })
    damage(files)
    await expect(loadModel('own', reader(files))).rejects.toThrow(words)
    await expect(loadModel('own', reader(files))).rejects.toBeInstanceOf(ModelError)
  })
  test('a model too large is refused before its weights are read', async () => {
    const files = modelFiles()
    files.delete('model.safetensors')
    await expect(loadModel('own', reader(files), { maxBytes: 100_000 })).rejects.toThrow('Take a smaller model')
  })
})

const folder = 'assets/models/tales-0.3m'
const trained = existsSync(`${folder}/model.safetensors`)
if (!trained) console.warn('SKIPPED: assets/models/tales-0.3m is not there, 4 tests of the model folder do not run')
const read = async (name: string): Promise<ArrayBuffer> => new Uint8Array(readFileSync(`${folder}/${name}`)).buffer

describe.skipIf(!trained)('model folder', () => {
  test('loads, and its tokenizer gives back any text', async () => {
    const { tokenizer, model } = await loadModel('tales-0.3m', read)
    expect(model.trainedContext).toBe(1024)
    fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 40 }), (text) => {
      expect(tokenizer.decode(tokenizer.encode(text))).toBe(text)
    }))
  })
  test('a character over several tokens appears with the last of them', async () => {
    const { tokenizer } = await loadModel('tales-0.3m', read)
    const stream = tokenizer.stream()
    const parts = tokenizer.encode('a😀b').map((id) => stream.push(id))
    expect(parts.join('')).toBe('a😀b')
    expect(parts.filter((p) => p.includes('\ufffd'))).toEqual([])
  })
  test.each([
    ['missing file', { 'model.safetensors': async () => Promise.reject(new Error('404')) }, 'tales-0.3m/model.safetensors could not be read: 404'],
    ['truncated weights', { 'model.safetensors': async () => (await read('model.safetensors')).slice(0, 90_000) }, 'truncated'],
    ['config of another size', { 'config.json': async () => edit({ hidden_size: 128 }) }, 'config.json asks for'],
    ['vocabulary too small', { 'config.json': async () => edit({ vocab_size: 100 }) }, 'tokenizer and model do not belong together'],
    ['tokenizer is not JSON', { 'tokenizer.json': async () => new TextEncoder().encode('<html>').buffer as ArrayBuffer }, 'tokenizer.json is not JSON'],
    ['tokenizer of another kind', { 'tokenizer.json': async () => new TextEncoder().encode('{}').buffer as ArrayBuffer }, 'no model.vocab'],
  ])('%s: a clear error', async (_name, broken: Record<string, () => Promise<ArrayBuffer>>, words) => {
    await expect(loadModel('tales-0.3m', (f) => broken[f]?.() ?? read(f))).rejects.toThrow(words)
  })
  test('a tokenizer that knows more ids than the model has rows is refused', () => {
    const json = JSON.parse(readFileSync(`${folder}/tokenizer.json`, 'utf8')) as object
    expect(() => new Tokenizer(json, {}, { vocabSize: 2000, eos: [] })).toThrow('do not belong together')
  })
})

async function edit(change: object): Promise<ArrayBuffer> {
  const config = JSON.parse(new TextDecoder().decode(await read('config.json'))) as object
  return new TextEncoder().encode(JSON.stringify({ ...config, ...change })).buffer as ArrayBuffer
}
