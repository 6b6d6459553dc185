import type { ModelConfig } from '../../model/config'
import type { PlannedStep } from './batch'
import { markWords } from './kernels/experts'
import type { Sizes } from './memory'

/**
 * What a mixture's routers noted of each layer while they computed: marks of touched experts, step by step, and who
 * was chosen, row by row. Read back with the tokens, so that counting costs no wait of its own.
 */
export class ExpertsSeen {
  /** Of the marks of all layers. */
  readonly markBytes: number
  private readonly layerBytes: number
  private readonly stepBytes: number

  constructor(private readonly buffer: GPUBuffer, private readonly config: ModelConfig, private readonly sizes: Sizes, chain: number) {
    this.layerBytes = 4 * sizes.seenWords
    this.stepBytes = 4 * markWords(config)
    this.markBytes = config.layers * chain * this.stepBytes
  }

  /** Wipes the marks of so many steps. */
  clear(encoder: GPUCommandEncoder, steps: number): void {
    for (let l = 0; l < this.config.layers; l++) encoder.clearBuffer(this.buffer, l * this.layerBytes, steps * this.stepBytes)
  }

  copyMarks(encoder: GPUCommandEncoder, steps: number, to: GPUBuffer, offset: number): void {
    const bytes = steps * this.stepBytes
    for (let l = 0; l < this.config.layers; l++) encoder.copyBufferToBuffer(this.buffer, l * this.layerBytes, to, offset + l * bytes, bytes)
  }

  /** Distinct (layer, expert) pairs of each step, all steps together. */
  count(marks: Uint32Array, steps: number): number {
    let touched = 0
    for (const word of marks.subarray(0, (this.config.layers * steps * this.stepBytes) / 4)) for (let rest = word; rest !== 0; rest &= rest - 1) touched++
    return touched
  }

  copyChoices(encoder: GPUCommandEncoder, steps: readonly PlannedStep[], make: (bytes: number) => GPUBuffer): void {
    const bytes = 4 * choicesOf(steps)
    const to = make(this.config.layers * bytes)
    for (let l = 0; l < this.config.layers; l++) encoder.copyBufferToBuffer(this.buffer, l * this.layerBytes + 4 * this.sizes.markWords, to, l * bytes, bytes)
  }

  /** Expert ids step by step, layer by layer, row by row. */
  choices(read: Uint32Array, steps: readonly PlannedStep[]): Uint8Array {
    const all = choicesOf(steps)
    const each = all / steps.length
    const out = new Uint8Array(this.config.layers * all)
    for (let s = 0; s < steps.length; s++) {
      for (let l = 0; l < this.config.layers; l++) out.set(read.subarray(l * all + s * each, l * all + (s + 1) * each), (s * this.config.layers + l) * each)
    }
    return out
  }
}

/** (token, choice) pairs of a layer, all steps together. */
function choicesOf(steps: readonly PlannedStep[]): number {
  return steps.reduce((sum, { load }) => sum + load.rows * load.experts, 0)
}
