import type { Clock } from '../../serving/clock'
import type { Tuning } from '../webgpu/tuning'
import type { WeightPrecision } from '../runner'
import { Arena } from './arena'
import { pickVariant } from './features'
import { CONTROL_BYTES } from './jobs'
import { Kernels } from './kernels'
import { Machine } from './machine'
import { switchPoint, tuningKey } from './switch-over'
import { formatOf, packRows, padded, reserveMatrix } from './weights'

/** A product like those of the shipped models: the matrix lies in the L2 or L3 cache. */
const ROWS = 1024
const COLS = 512
/** Tokens tried; from the first number on where tiles win throughout, tiles are used. */
const TOKENS = [2, 3, 4, 5, 6, 8]
/** Spans of each try, and how long one lasts at least. The best counts: whatever else runs only adds. */
const SPANS = 3
const SPAN_MS = 2

const PRECISIONS: readonly WeightPrecision[] = [{ format: 'f32' }, { format: 'f16' }, { format: 'int8' }, { format: 'int4' }, { format: 'int4', asymmetric: true }]

/**
 * Finds out, in well under a second, from how many tokens on opening a panel of weights for tiles pays on this device.
 * On one thread: panels are shared out whole, so that threads change nothing about it. Throws as Machine.create does.
 */
export async function tuneWasm(clock: Clock): Promise<Tuning> {
  const variant = pickVariant()
  const most = Math.max(...TOKENS)
  const config = { layers: 1, hidden: COLS, heads: 1, kvHeads: 1, headDim: 2, ffn: 1, vocabSize: 1, rmsNormEps: 1e-5, ropeTheta: 1, maxPositions: 1, tied: true, eos: [] }
  const kernelsFrom = (at: number) => new Kernels(config, 1, { switchOver: Object.fromEntries(PRECISIONS.map((p) => [formatOf(p), at])) })
  const [singly, tiled] = [kernelsFrom(most + 1), kernelsFrom(1)]
  const arena = new Arena(CONTROL_BYTES)
  for (const kernels of [singly, tiled]) kernels.reserve(arena, most, 1)
  const matrices = PRECISIONS.map((precision) => reserveMatrix(arena, ROWS, COLS, precision))
  const x = arena.takeWords(most * padded(COLS))
  const y = arena.takeWords(most * padded(ROWS))
  const machine = await Machine.create(arena.bytes, 'Trying kernels', { threads: 1, variant })
  const values = (count: number) => Float32Array.from({ length: count }, (_, i) => ((i * 7919) % 2003) / 2003 - 0.5)
  machine.f32.set(values(most * padded(COLS)), x / 4)
  const switchOver: Record<number, number> = {}
  for (const [i, precision] of PRECISIONS.entries()) {
    const matrix = matrices[i]!
    packRows(machine, { matrix, base: 0, run: 32, offset: 0 }, 0, values(ROWS * COLS), precision)
    const time = (kernels: Kernels, tokens: number) => bestOf(clock, () => kernels.matmul(machine, matrix, x, 4 * padded(COLS), tokens, y, 4 * padded(ROWS)))
    switchOver[matrix.format] = switchPoint(TOKENS.map((tokens) => ({ tokens, singly: time(singly, tokens), tiled: time(tiled, tokens) })))
  }
  machine.dispose()
  return { version: 1, device: tuningKey(variant), matmuls: {}, switchOver }
}

/** ms a call, of the least disturbed span. */
function bestOf(clock: Clock, call: () => void): number {
  call()
  let best = Infinity
  for (let span = 0; span < SPANS; span++) {
    const start = clock.now()
    let calls = 0
    let elapsed = 0
    while (elapsed < SPAN_MS) {
      call()
      calls++
      elapsed = clock.now() - start
    }
    best = Math.min(best, elapsed / calls)
  }
  return best
}
