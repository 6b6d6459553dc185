import { floatToHalf } from '../../model/half'
import { packInt4, quantize } from '../../model/quantize'
import { unitsOf, type MatrixFormat } from './kernels/weights'

/** A matrix as it lies on the device: its numbers, and the scales of its groups. */
export interface Encoded {
  data: Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>
  scales?: Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>
}

/** A matrix (rows, columns), row-major, in the format that weights-*.wgsl reads. */
export function encodeMatrix(matrix: MatrixFormat, values: Float32Array, columns: number): Encoded {
  const { format, asymmetric } = matrix
  const group = matrix.group as 32 | 64 | 128
  switch (format) {
    case 'f32': return { data: values as Float32Array<ArrayBuffer> }
    case 'f16': return { data: words(padRows(floatToHalf(values), columns, 8 * unitsOf(matrix, columns))) }
    case 'int8': {
      const { codes, scales } = quantize(values, columns, { format, group })
      return { data: words(padRows(codes, columns, 16 * unitsOf(matrix, columns))), scales: scales as Float32Array<ArrayBuffer> }
    }
    case 'int4': {
      const quantized = quantize(values, columns, { format, group, asymmetric })
      const { scales, minima = scales.map((scale) => -8 * scale) } = quantized
      const pairs = new Float32Array(2 * scales.length)
      for (const [g, scale] of scales.entries()) pairs.set([scale, minima[g]!], 2 * g)
      return { data: words(packInt4(quantized)), scales: words(floatToHalf(pairs)) }
    }
  }
}

type Numbers = Uint16Array | Int8Array | Uint8Array

function words({ buffer, byteOffset, byteLength }: Numbers): Uint32Array<ArrayBuffer> {
  return new Uint32Array(buffer as ArrayBuffer, byteOffset, byteLength / 4)
}

/** Rows of `columns` numbers, each followed by zeros to make `stride`. */
function padRows<T extends Uint16Array | Int8Array>(values: T, columns: number, stride: number): T {
  if (columns === stride) return values
  const rows = values.length / columns
  const out = new (values.constructor as new (length: number) => T)(rows * stride)
  for (let r = 0; r < rows; r++) out.set(values.subarray(r * columns, (r + 1) * columns), r * stride)
  return out
}
