import { ModelError, parseConfig, type ModelConfig } from './config'
import { Safetensors } from './safetensors'
import { Tokenizer } from './tokenizer'
import type { LayerWeights, Model, Weights } from './weights'

/** Reads one file of a model folder; rejects when it is not there. */
export type ReadFile = (file: string) => Promise<ArrayBuffer>

export interface LoadedModel {
  model: Model
  tokenizer: Tokenizer
}

/**
 * Loads a folder in Hugging Face layout (config.json, tokenizer.json, tokenizer_config.json,
 * model.safetensors; Llama family). Throws ModelError naming the file and what is wrong with it.
 */
export async function loadModel(name: string, read: ReadFile): Promise<LoadedModel> {
  const [configJson, tokenizerJson, tokenizerConfig, data] = await Promise.all([
    readJson(name, read, 'config.json'),
    readJson(name, read, 'tokenizer.json'),
    readJson(name, read, 'tokenizer_config.json').catch(() => ({})),
    readOrExplain(name, read, 'model.safetensors'),
  ])
  const config = parseConfig(configJson, `${name}/config.json`)
  const tokenizer = new Tokenizer(tokenizerJson as object, tokenizerConfig as object, config, `${name}/tokenizer.json`)
  const weights = readWeights(new Safetensors(data, `${name}/model.safetensors`), config)
  const trained = (configJson as Record<string, unknown>)['trained_context']
  return {
    model: { name, config, source: { kind: 'tensors', weights }, trainedContext: typeof trained === 'number' ? trained : config.maxPositions },
    tokenizer,
  }
}

/** Tensors by their Hugging Face names, as 32-bit floats. */
export function readWeights(file: Safetensors, c: ModelConfig): Weights {
  const { hidden: d, ffn } = c
  const q = c.heads * c.headDim
  const kv = c.kvHeads * c.headDim
  const layers = Array.from({ length: c.layers }, (_, l): LayerWeights => {
    const tensor = (name: string, ...shape: number[]) => file.float32(`model.layers.${l}.${name}.weight`, shape)
    return {
      attentionNorm: tensor('input_layernorm', d),
      q: tensor('self_attn.q_proj', q, d),
      k: tensor('self_attn.k_proj', kv, d),
      v: tensor('self_attn.v_proj', kv, d),
      o: tensor('self_attn.o_proj', d, q),
      ffnNorm: tensor('post_attention_layernorm', d),
      gate: tensor('mlp.gate_proj', ffn, d),
      up: tensor('mlp.up_proj', ffn, d),
      down: tensor('mlp.down_proj', d, ffn),
    }
  })
  const embed = file.float32('model.embed_tokens.weight', [c.vocabSize, d])
  return {
    embed,
    layers,
    finalNorm: file.float32('model.norm.weight', [d]),
    unembed: c.tied ? embed : file.float32('lm_head.weight', [c.vocabSize, d]),
  }
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
