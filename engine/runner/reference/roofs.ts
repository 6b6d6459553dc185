import type { RoofProbe } from '../probe'
import { matmul } from './math'

const MATRIX = 256

/** What plain TypeScript can read and multiply: the reference runner's own loops. */
export function createReferenceProbe(): RoofProbe {
  let data = new Float32Array()
  let sink = 0
  const w = new Float32Array(MATRIX * MATRIX).fill(0.5)
  const x = new Float32Array(16 * MATRIX).fill(0.5)
  const one = new Float32Array(1024).fill(0.5)
  return {
    sizes: [1, 4, 16, 64].map((mb) => mb * 2 ** 20),
    prepare(bytes) {
      data = new Float32Array(bytes / 4).fill(0.5)
    },
    readPass() {
      sink += matmul(one, data, one.length)[0]! // (1, 1024) @ (1024, rows): every value read once
    },
    matmulPass() {
      sink += matmul(x, w, MATRIX)[0]! // (16, 256) @ (256, 256)
      return 2 * 16 * MATRIX * MATRIX
    },
    dispose() {
      if (Number.isNaN(sink)) throw new RangeError('the probe read something that was not written')
      data = new Float32Array()
    },
  }
}
