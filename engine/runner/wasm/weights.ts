import { pcg } from '../../model/random'
import type { ModelConfig } from '../../model/config'
import { layerTensorNumber, syntheticScale } from '../../model/synthetic'
import { LAYER_TENSORS, layerShape, type Model } from '../../model/weights'
import type { Arena } from './arena'
import { GENERATE, PANEL } from './jobs'
import { floatBits, type Machine } from './machine'

/** A matrix in panels (assembly/matmul.ts). */
export interface Matrix {
  address: number
  cols: number
  /** Rows / 32, rounded up; the rows that fills up with are zero. */
  panels: number
}

export interface PackedLayer {
  attentionNorm: number
  /** q, k and v one below the other, each filled up to whole panels. */
  qkv: Matrix
  o: Matrix
  ffnNorm: number
  /** Panels of 16 rows of gate and the same 16 of up. */
  gateUp: Matrix
  down: Matrix
}

export interface PackedWeights {
  embed: Matrix
  layers: PackedLayer[]
  finalNorm: number
  unembed: Matrix
  /** Where each of the model's tensors goes. */
  parts: Part[]
}

/** A tensor's place: row r of it is row ⌊r / run⌋ · 32 + offset + r mod run of a packed matrix. A norm (run 0) lies as it is. */
interface Part {
  name: 'embed' | 'unembed' | 'finalNorm' | { layer: number; tensor: (typeof LAYER_TENSORS)[number] }
  /** Of the synthetic generator. */
  number: number
  address: number
  rows: number
  cols: number
  run: number
  offset: number
}

const NORM = 0

/** n filled up to whole panels. */
export function padded(n: number): number {
  return Math.ceil(n / PANEL) * PANEL
}

/** Sets places aside for all weights of a model. */
export function reserveWeights(arena: Arena, c: ModelConfig): PackedWeights {
  const parts: Part[] = []
  const matrix = (rows: number, cols: number): Matrix => ({ address: arena.takeWords(padded(rows) * cols), cols, panels: padded(rows) / PANEL })
  const norm = () => arena.takeWords(padded(c.hidden))
  const put = (name: Part['name'], number: number, address: number, rows: number, cols: number, run = PANEL, offset = 0) =>
    parts.push({ name, number, address, rows, cols, run, offset })

  const d = c.hidden
  const q = c.heads * c.headDim
  const kv = c.kvHeads * c.headDim
  const embed = matrix(c.vocabSize, d)
  put('embed', 0, embed.address, c.vocabSize, d)
  const layers = Array.from({ length: c.layers }, (_, layer): PackedLayer => {
    const packed = {
      attentionNorm: norm(), qkv: matrix(padded(q) + 2 * padded(kv), d), o: matrix(d, q),
      ffnNorm: norm(), gateUp: matrix(Math.ceil(c.ffn / (PANEL / 2)) * PANEL, d), down: matrix(d, c.ffn),
    }
    const k = packed.qkv.address + 4 * padded(q) * d
    const places = {
      attentionNorm: [packed.attentionNorm, NORM], q: [packed.qkv.address], k: [k], v: [k + 4 * padded(kv) * d], o: [packed.o.address],
      ffnNorm: [packed.ffnNorm, NORM], gate: [packed.gateUp.address, PANEL / 2, 0], up: [packed.gateUp.address, PANEL / 2, PANEL / 2], down: [packed.down.address],
    } as const
    for (const tensor of LAYER_TENSORS) {
      const [rows, cols] = layerShape(c, tensor)
      const [address, run, offset] = places[tensor]
      put({ layer, tensor }, layerTensorNumber(layer, tensor), address, rows, cols, run, offset)
    }
    return packed
  })
  const finalNorm = norm()
  put('finalNorm', -1, finalNorm, 1, d, NORM)
  let unembed = embed
  if (!c.tied) {
    unembed = matrix(c.vocabSize, d)
    put('unembed', 1, unembed.address, c.vocabSize, d)
  }
  return { embed, layers, finalNorm, unembed, parts }
}

/** Puts a model's weights into their places: packed from its tensors, or generated there. */
export function fillWeights(machine: Machine, { parts }: PackedWeights, { source }: Model): void {
  for (const part of parts) {
    if (source.kind === 'synthetic') generate(machine, part, source.seed)
    else {
      const { weights } = source
      const { name } = part
      pack(machine.f32, part, typeof name === 'string' ? weights[name] : weights.layers[name.layer]![name.tensor])
    }
  }
}

function generate(machine: Machine, { number, address, rows, cols, run, offset }: Part, seed: number): void {
  if (run === NORM) machine.f32.fill(1, address / 4, address / 4 + cols)
  else machine.launch(GENERATE, Math.ceil(rows / run), address, pcg((seed + number) >>> 0), rows, cols, floatBits(syntheticScale(cols)), run, offset)
}

function pack(f32: Float32Array, { address, rows, cols, run, offset }: Part, values: Float32Array): void {
  if (run === NORM) return f32.set(values, address / 4)
  for (let r = 0; r < rows; r++) {
    let at = address / 4 + Math.floor(r / run) * cols * PANEL + offset + (r % run)
    for (let i = r * cols; i < (r + 1) * cols; i++, at += PANEL) f32[at] = values[i]!
  }
}
