import { timePerCall } from '$engine/measure/rates'
import type { ModelConfig } from '$engine/model/config'
import { WallClock } from '$engine/serving/clock'
import type { Subject } from '../subject'

/** Another engine with a model in it, at batch 1. */
export interface Peer {
  device: string
  /** Empties the context, then computes these ids; returns the id that follows (greedy). */
  prefill(ids: readonly number[]): Promise<number>
  /** Goes back to the first `length` positions and generates `count` ids greedily from `id` on. */
  decode(length: number, id: number, count: number): Promise<number[]>
  close(): void | Promise<void>
}

const clock = new WallClock()
const CONTEXT = 64
const PROMPT = 256
const STEPS = 8

/** The calibration's own measurements (engine/measure/calibrate.ts) taken of a peer. */
export function peerSubject(peer: Peer, config: ModelConfig): Subject {
  const ids = (count: number) => Array.from({ length: count }, (_, i) => (i * 7 + 1) % config.vocabSize)
  return {
    device: peer.device,
    config,
    async measure() {
      const prefillMs = (await timePerCall(clock, () => peer.prefill(ids(PROMPT)))) / PROMPT
      await peer.prefill(ids(CONTEXT))
      const decodeMs = (await timePerCall(clock, () => peer.decode(CONTEXT, 1, STEPS), 5)) / STEPS
      return { decodeMs, prefillMs }
    },
    close: () => peer.close(),
  }
}

/** The ids that a peer generates after a prompt. */
export async function generateWith(peer: Peer, prompt: readonly number[], count: number): Promise<number[]> {
  const first = await peer.prefill(prompt)
  return [first, ...(await peer.decode(prompt.length, first, count - 1))]
}
