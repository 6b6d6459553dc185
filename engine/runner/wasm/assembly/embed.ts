import { F16, F32, INT4, INT4_ASYMMETRIC, INT8, PANEL, ROW_BYTES } from '../jobs'
import { half } from './half'

/** x[t] = row `token` of the embedding, which is packed in panels (matmul.ts, matmul-half.ts, matmul-int.ts), for rows [from, to). Stride in bytes. */
export function embed(rows: usize, table: usize, x: usize, cols: u32, stride: usize, format: u32, scales: usize, group: u32, from: u32, to: u32): void {
  const groups = (cols + group - 1) / group
  const pairs: usize = (cols + 1) / 2
  const perScale: usize = format == INT4_ASYMMETRIC ? 128 : 64
  for (let t = from; t < to; t++) {
    const token = load<u32>(rows + t * ROW_BYTES)
    const panel: usize = token / PANEL
    const row: usize = token % PANEL
    const scale = scales + panel * groups * perScale + row * 2
    const target = x + t * stride
    for (let k: u32 = 0; k < cols; k++) {
      let value: f32
      if (format == F32) value = load<f32>(table + ((panel * cols + k) * PANEL + row) * 4)
      else if (format == F16) value = half(table + (panel * cols + k) * (PANEL * 2) + row / 8 * 16 + row % 4 * 4 + row % 8 / 4 * 2)
      else {
        const at = scale + k / group * perScale
        const code = codeAt(format, table + (panel * pairs + k / 2) * (format == INT8 ? PANEL * 2 : PANEL), row, k % 2)
        value = half(at) * <f32>code
        if (format == INT4_ASYMMETRIC) value += half(at + 64)
      }
      store<f32>(target + k * 4, value)
    }
  }
}

/** Code of a row in column `odd` of a pair of columns. */
function codeAt(format: u32, pair: usize, row: usize, odd: usize): i32 {
  if (format == INT8) return load<i8>(pair + row * 2 + odd)
  const word = load<u16>(pair + row / 16 * 16 + (row % 4 * 2 + odd) * 2)
  const code = <i32>(word >> <u16>(row % 16 / 4 * 4)) & 15
  return format == INT4 ? code - 8 : code
}
