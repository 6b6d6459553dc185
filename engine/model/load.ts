import { ModelError, parameterCount, parseConfig, type ModelConfig } from './config'
import { Safetensors } from './safetensors'
import { Tokenizer } from './tokenizer'
import type { LayerWeights, Model, Weights } from './weights'

/** Reads one file of a model folder; rejects when it is not there. */
export type ReadFile = (file: string) => Promise<ArrayBuffer>

export interface LoadedModel {
  model: Model
  tokenizer: Tokenizer
}

export interface LoadOptions {
  /** Share of the weights that has been read, 0 … 1. */
  onProgress?: (done: number) => void
  /** Refuse a model whose weights take more than this as 32-bit floats. */
  maxBytes?: number
}

/**
 * Loads a folder in Hugging Face layout: config.json, tokenizer.json, tokenizer_config.json, and model.safetensors or
 * its shards with model.safetensors.index.json (Llama family; f32, f16 or bf16). Throws ModelError naming the file and what is
 * wrong with it, before any weights are read where that can be known.
 */
export async function loadModel(name: string, read: ReadFile, options: LoadOptions = {}): Promise<LoadedModel> {
  const { config, configJson } = await readConfig(name, read)
  const bytes = 4 * parameterCount(config)
  if (bytes > (options.maxBytes ?? Infinity)) {
    throw new ModelError(`${name} has ${(bytes / 4e6).toFixed(0)} million parameters, ${gigabytes(bytes)} as 32-bit floats; this device has room for ${gigabytes(options.maxBytes!)}. Take a smaller model.`)
  }
  const { tokenizer } = await loadTokenizer(name, read, config)
  const weights = await loadWeights(name, read, config, options.onProgress)
  const trained = configJson['trained_context']
  return {
    model: { name, config, source: { kind: 'tensors', weights }, trainedContext: typeof trained === 'number' ? trained : config.maxPositions },
    tokenizer,
  }
}

/** The tokenizer alone, with tokenizer_config.json as it stands there: for whoever computes nothing. Throws ModelError. */
export async function loadTokenizer(name: string, read: ReadFile, config?: ModelConfig): Promise<{ tokenizer: Tokenizer; tokenizerConfig: Record<string, unknown>; config: ModelConfig }> {
  const [known, tokenizerJson, tokenizerConfig] = await Promise.all([
    config ?? readConfig(name, read).then((c) => c.config),
    readJson(name, read, 'tokenizer.json'),
    readJson(name, read, 'tokenizer_config.json').catch(() => ({})),
  ])
  return { tokenizer: new Tokenizer(tokenizerJson as object, tokenizerConfig as object, known, `${name}/tokenizer.json`), tokenizerConfig: tokenizerConfig as Record<string, unknown>, config: known }
}

async function readConfig(name: string, read: ReadFile): Promise<{ config: ModelConfig; configJson: Record<string, unknown> }> {
  const [configJson, generation] = await Promise.all([readJson(name, read, 'config.json'), readJson(name, read, 'generation_config.json').catch(() => ({}))])
  const config = parseConfig(configJson, `${name}/config.json`)
  // Chat models name the end of a turn here alone.
  const stops = [(generation as Record<string, unknown>)['eos_token_id'] ?? []].flat() as unknown[]
  config.eos = [...new Set([...config.eos, ...stops.filter((id): id is number => Number.isInteger(id) && (id as number) >= 0 && (id as number) < config.vocabSize)])]
  return { config, configJson: configJson as Record<string, unknown> }
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`
}

const WEIGHTS = 'model.safetensors'
const INDEX = 'model.safetensors.index.json'

/** Reads all tensors from the one file, or each from the shard that the index names; one file's bytes are held at a time. */
async function loadWeights(name: string, read: ReadFile, config: ModelConfig, onProgress: (done: number) => void = () => {}): Promise<Weights> {
  const shapes = tensorShapes(config)
  const tensors = new Map<string, Float32Array>()
  const take = (bytes: ArrayBuffer, file: string, names: Iterable<string>) => {
    const shard = new Safetensors(bytes, `${name}/${file}`)
    for (const tensor of names) {
      tensors.set(tensor, shard.float32(tensor, shapes.get(tensor)!))
      onProgress(tensors.size / shapes.size)
    }
  }
  let whole: ArrayBuffer | undefined
  let missing: unknown
  try {
    whole = await readOrExplain(name, read, WEIGHTS)
  } catch (error) {
    missing = error
  }
  if (whole) take(whole, WEIGHTS, shapes.keys())
  else for (const [file, names] of await shardsOf(name, read, shapes.keys(), missing)) take(await readOrExplain(name, read, file), file, names)
  return arrange(tensors, config)
}

/** The files that hold the tensors, by model.safetensors.index.json. Throws `missing`, why there is no single file, where there is no index either. */
async function shardsOf(name: string, read: ReadFile, tensors: Iterable<string>, missing: unknown): Promise<Map<string, string[]>> {
  if (!(await read(INDEX).catch(() => undefined))) throw missing
  const map = ((await readJson(name, read, INDEX)) as { weight_map?: Record<string, unknown> } | null)?.weight_map
  if (typeof map !== 'object' || map === null) throw new ModelError(`${name}/${INDEX}: no weight_map`)
  const files = new Map<string, string[]>()
  for (const tensor of tensors) {
    const file = map[tensor]
    if (typeof file !== 'string') throw new ModelError(`${name}/${INDEX}: tensor ${tensor} is in no file`)
    files.set(file, [...(files.get(file) ?? []), tensor])
  }
  return files
}

/** Hugging Face's name of every tensor that a configuration asks for, with its shape. */
export function tensorShapes(c: ModelConfig): Map<string, number[]> {
  const { hidden: d, ffn } = c
  const q = c.heads * c.headDim
  const kv = c.kvHeads * c.headDim
  const shapes = new Map<string, number[]>([['model.embed_tokens.weight', [c.vocabSize, d]], ['model.norm.weight', [d]]])
  if (!c.tied) shapes.set('lm_head.weight', [c.vocabSize, d])
  for (let l = 0; l < c.layers; l++) {
    const put = (name: string, ...shape: number[]) => shapes.set(`model.layers.${l}.${name}`, shape)
    put('input_layernorm.weight', d)
    put('self_attn.q_proj.weight', q, d)
    put('self_attn.k_proj.weight', kv, d)
    put('self_attn.v_proj.weight', kv, d)
    put('self_attn.o_proj.weight', d, q)
    if (c.qkvBias) {
      put('self_attn.q_proj.bias', q)
      put('self_attn.k_proj.bias', kv)
      put('self_attn.v_proj.bias', kv)
    }
    put('post_attention_layernorm.weight', d)
    if (c.experts) put('block_sparse_moe.gate.weight', c.experts, d)
    for (const { gate, up, down } of swiglus(c)) {
      put(gate, ffn, d)
      put(up, ffn, d)
      put(down, d, ffn)
    }
  }
  return shapes
}

/** Names, within a layer, of the SwiGLU's matrices, or of each expert's. */
function swiglus(c: ModelConfig): { gate: string; up: string; down: string }[] {
  if (!c.experts) return [{ gate: 'mlp.gate_proj.weight', up: 'mlp.up_proj.weight', down: 'mlp.down_proj.weight' }]
  return Array.from({ length: c.experts }, (_, e) => {
    const name = (w: string) => `block_sparse_moe.experts.${e}.${w}.weight`
    return { gate: name('w1'), up: name('w3'), down: name('w2') }
  })
}

/** Tensors by their Hugging Face names, as weights. */
function arrange(tensors: Map<string, Float32Array>, c: ModelConfig): Weights {
  const take = (name: string) => tensors.get(name)!
  const layers = Array.from({ length: c.layers }, (_, l): LayerWeights => {
    const tensor = (name: string) => take(`model.layers.${l}.${name}`)
    const stacked = (part: 'gate' | 'up' | 'down') => concatenate(swiglus(c).map((names) => tensor(names[part])))
    return {
      attentionNorm: tensor('input_layernorm.weight'),
      q: tensor('self_attn.q_proj.weight'),
      k: tensor('self_attn.k_proj.weight'),
      v: tensor('self_attn.v_proj.weight'),
      o: tensor('self_attn.o_proj.weight'),
      ffnNorm: tensor('post_attention_layernorm.weight'),
      gate: stacked('gate'),
      up: stacked('up'),
      down: stacked('down'),
      ...(c.experts ? { router: tensor('block_sparse_moe.gate.weight') } : {}),
      ...(c.qkvBias ? { qBias: tensor('self_attn.q_proj.bias'), kBias: tensor('self_attn.k_proj.bias'), vBias: tensor('self_attn.v_proj.bias') } : {}),
    }
  })
  const embed = take('model.embed_tokens.weight')
  return { embed, layers, finalNorm: take('model.norm.weight'), unembed: c.tied ? embed : take('lm_head.weight') }
}

function concatenate(parts: Float32Array[]): Float32Array {
  if (parts.length === 1) return parts[0]!
  const out = new Float32Array(parts.reduce((n, part) => n + part.length, 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}

async function readOrExplain(name: string, read: ReadFile, file: string): Promise<ArrayBuffer> {
  try {
    return await read(file)
  } catch (cause) {
    throw new ModelError(`${name}/${file} could not be read: ${cause instanceof Error ? cause.message : cause}`, { cause })
  }
}

async function readJson(name: string, read: ReadFile, file: string): Promise<unknown> {
  const bytes = await readOrExplain(name, read, file)
  try {
    return JSON.parse(new TextDecoder().decode(bytes))
  } catch (cause) {
    throw new ModelError(`${name}/${file} is not JSON: ${cause instanceof Error ? cause.message : cause}`, { cause })
  }
}
