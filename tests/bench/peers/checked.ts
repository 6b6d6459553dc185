import { folderReader } from '$engine/cli/place'
import { loadModel } from '$engine/model/load'
import type { Model } from '$engine/model/weights'
import { createWasmRunner } from '$engine/runner/wasm'
import type { ModelChoice, Subject } from '../subject'
import { generateWith, peerSubject, type Peer } from './peer'

const PROMPT = 40
const COUNT = 16

/** Opens a peer with a shipped model, and makes sure that it computes the same thing: the ids it generates are ours. */
export async function openCheckedPeer(choice: ModelChoice, folder: (name: string) => string, open: (model: Model, folder: string) => Promise<Peer>): Promise<Subject> {
  if (!('name' in choice)) throw new Error('peers are given trained weights only')
  const { model } = await loadModel(choice.name, folderReader(folder(choice.name)))
  const peer = await open(model, folder(choice.name))
  const prompt = Array.from({ length: PROMPT }, (_, i) => (i * 7 + 1) % model.config.vocabSize)
  const [theirs, ours] = [await generateWith(peer, prompt, COUNT), await generateOurs(model, prompt)]
  if (String(theirs) !== String(ours)) {
    await peer.close()
    throw new Error(`it generates ${theirs.join(' ')} where this engine generates ${ours.join(' ')}`)
  }
  return peerSubject(peer, model.config)
}

async function generateOurs(model: Model, prompt: readonly number[]): Promise<number[]> {
  const runner = await createWasmRunner(model, { blocks: 8, threads: 1 })
  const chunk = { request: 0, blockTable: Int32Array.from({ length: 4 }, (_, i) => i), sample: true }
  const out = [...(await runner.run({ chunks: [{ ...chunk, tokens: Int32Array.from(prompt), start: 0 }] })).tokens]
  while (out.length < COUNT) out.push(...(await runner.run({ chunks: [{ ...chunk, tokens: Int32Array.of(-1), start: PROMPT + out.length - 1 }] })).tokens)
  runner.dispose()
  return out
}
