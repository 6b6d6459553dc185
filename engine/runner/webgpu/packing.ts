import type { LayerTensor, LayerWeights } from '../../model/weights'
import { layerShape } from '../../model/weights'
import type { ModelConfig } from '../../model/config'

/**
 * The fused kernels compute matrix rows in pairs and finish a pair together, so rows that belong together
 * lie together: (gate i, up i) for SwiGLU, and the two rows that RoPE turns by one angle, (i, i + hd/2) of a
 * head, for q and k. Row r of a tensor goes to packed row
 *
 *   base + ⌊r / group⌋ · stride + (w mod h) · 2 + ⌊w / h⌋,   w = r mod group, h = max(1, group / 2)
 */
export interface Packing {
  base: number
  group: number
  stride: number
}

/** A tensor's place in a packed matrix. */
export interface Part extends Packing {
  tensor: LayerTensor
  rows: number
}

/** One matrix as the kernels want it: (rows, columns), made of the parts. */
export interface PackedMatrix {
  rows: number
  columns: number
  parts: Part[]
}

export type MatrixName = 'qkv' | 'o' | 'gateUp' | 'down'

/** The four matrices of a layer. */
export function packedMatrices(c: ModelConfig): Record<MatrixName, PackedMatrix> {
  const part = (tensor: LayerTensor, packing: Packing): Part => ({ tensor, rows: layerShape(c, tensor)[0], ...packing })
  const heads = (base: number): Packing => ({ base, group: c.headDim, stride: c.headDim })
  const plain: Packing = { base: 0, group: 1, stride: 1 }
  const { experts = 1 } = c // a mixture's matrices lie one after the other
  return {
    qkv: {
      rows: (c.heads + 2 * c.kvHeads) * c.headDim,
      columns: c.hidden,
      parts: [part('q', heads(0)), part('k', heads(c.heads * c.headDim)), part('v', { base: (c.heads + c.kvHeads) * c.headDim, group: 1, stride: 1 })],
    },
    o: { rows: c.hidden, columns: c.heads * c.headDim, parts: [part('o', plain)] },
    gateUp: {
      rows: 2 * experts * c.ffn,
      columns: c.hidden,
      parts: [part('gate', { base: 0, group: 1, stride: 2 }), part('up', { base: 1, group: 1, stride: 2 })],
    },
    down: { rows: experts * c.hidden, columns: c.ffn, parts: [part('down', plain)] },
  }
}

/** Where row `row` of a tensor goes. */
export function packedRow(row: number, { base, group, stride }: Packing): number {
  const half = Math.max(1, group / 2)
  const within = row % group
  return base + Math.floor(row / group) * stride + (within % half) * 2 + Math.floor(within / half)
}

/** (rows, columns) of the matrix as one array. */
export function packMatrix({ rows, columns, parts }: PackedMatrix, layer: LayerWeights): Float32Array<ArrayBuffer> {
  const out = new Float32Array(rows * columns)
  for (const part of parts) {
    const source = layer[part.tensor]
    for (let r = 0; r < part.rows; r++) out.set(source.subarray(r * columns, (r + 1) * columns), packedRow(r, part) * columns)
  }
  return out
}

/** Biases of q, k and v in the order of the packed rows of qkv, as the pairs of rows that are finished together. */
export function packBiases(c: ModelConfig, layer: LayerWeights): Float32Array<ArrayBuffer> {
  const { rows, parts } = packedMatrices(c).qkv
  const out = new Float32Array(rows)
  for (const part of parts) {
    const source = layer[`${part.tensor as 'q' | 'k' | 'v'}Bias`]
    for (let r = 0; source && r < part.rows; r++) out[packedRow(r, part)] = source[r]!
  }
  return out
}
