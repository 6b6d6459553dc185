import { existsSync, readFileSync } from 'node:fs'
import { loadModel, type LoadedModel } from '$engine/model/load'

/** What PyTorch said of the shipped weights (engine/training/dump.py). */
export interface Greedy {
  prompt: string
  prompt_ids: number[]
  tokens: number[]
  /** Smallest gap between the two best logits along the way. */
  min_margin: number
}

export interface Logits {
  prompt_ids: number[]
  /** Base64 of little-endian 32-bit floats. */
  logits: string
  hidden: string
  layers?: string[]
}

/** A fixture by file name, or undefined (with a word on the console) where it is absent. */
export function fixture<T>(name: string): T | undefined {
  const path = `tests/fixtures/models/${name}`
  if (existsSync(path)) return JSON.parse(readFileSync(path, 'utf8')) as T
  console.warn(`SKIPPED: ${path} is not there; what it would have checked is not checked`)
  return undefined
}

export function floats(base64: string): Float32Array {
  return new Float32Array(new Uint8Array(Buffer.from(base64, 'base64')).buffer)
}

const loaded = new Map<string, Promise<LoadedModel>>()

/** A model of assets/models, read from disk once. */
export function shipped(name: string): Promise<LoadedModel> {
  let model = loaded.get(name)
  if (!model) {
    model = loadModel(name, async (file) => new Uint8Array(readFileSync(`assets/models/${name}/${file}`)).buffer)
    loaded.set(name, model)
  }
  return model
}
