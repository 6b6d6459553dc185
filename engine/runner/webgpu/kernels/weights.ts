import { DEFAULT_GROUP } from '../../../model/quantize'
import type { WeightPrecision } from '../../runner'
import bytesShiftWgsl from './bytes-shift.wgsl?raw'
import bytesUnpackWgsl from './bytes-unpack.wgsl?raw'
import f32Wgsl from './weights-f32.wgsl?raw'
import f16Wgsl from './weights-f16.wgsl?raw'
import int8Wgsl from './weights-int8.wgsl?raw'
import int4Wgsl from './weights-int4.wgsl?raw'

/** How a matrix lies on the device. */
export interface MatrixFormat {
  format: WeightPrecision['format']
  /** Columns that share a scale; int8 and int4. */
  group: number
  /** int4: with minima. */
  asymmetric: boolean
}

export const F32: MatrixFormat = { format: 'f32', group: 0, asymmetric: false }

export function matrixFormat({ format, group = DEFAULT_GROUP, asymmetric = false }: WeightPrecision = { format: 'f32' }): MatrixFormat {
  return { format, group: format === 'int8' || format === 'int4' ? group : 0, asymmetric }
}

const SOURCE = { f32: f32Wgsl, f16: f16Wgsl, int8: int8Wgsl, int4: int4Wgsl }
/** Columns in a unit of 16 bytes. */
const UNIT = { f32: 4, f16: 8, int8: 16, int4: 32 }
/** Bytes that go with each group of columns. */
const SCALE_BYTES = { f32: 0, f16: 0, int8: 4, int4: 4 }

export function scaled({ format }: MatrixFormat): boolean {
  return SCALE_BYTES[format] > 0
}

/** WGSL that reads a matrix of this format at binding 1, and its scales at binding `scales`. */
export function weightsSource({ format }: MatrixFormat, scales: number): string {
  return SCALE_BYTES[format] === 0 ? SOURCE[format] : `const SCALES = ${scales}u;\n${SOURCE[format]}\n${bytesSource()}`
}

/** WGSL that takes a word's bytes apart. */
export function bytesSource(): string {
  return globalThis.navigator?.gpu?.wgslLanguageFeatures?.has('packed_4x8_integer_dot_product') ? bytesUnpackWgsl : bytesShiftWgsl
}

export function weightsConstants({ format, group }: MatrixFormat, columns: number): Record<string, number> {
  return SCALE_BYTES[format] === 0 ? { COLS4: columns / 4 } : { COLS4: columns / 4, GROUP4: group / 4 }
}

/** Units of 16 bytes in a row. */
export function unitsOf({ format }: MatrixFormat, columns: number): number {
  return Math.ceil(columns / UNIT[format])
}

/** Groups of columns in a row that have a scale. */
export function groupsOf(format: MatrixFormat, columns: number): number {
  return scaled(format) ? Math.ceil(columns / format.group) : 0
}

/** Bytes of the integers or floats, and of their scales. */
export function matrixBytes(format: MatrixFormat, rows: number, columns: number): { data: number; scales: number } {
  return { data: rows * unitsOf(format, columns) * 16, scales: rows * groupsOf(format, columns) * SCALE_BYTES[format.format] }
}

/** Bytes per stored weight, scales included. */
export function bytesPerWeight({ format, group }: MatrixFormat): number {
  return 16 / UNIT[format] + (group > 0 ? SCALE_BYTES[format] / group : 0)
}
