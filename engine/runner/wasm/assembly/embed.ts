import { PANEL, ROW_BYTES } from '../jobs'

/** x[t] = row `token` of the embedding, which is packed in panels, for rows [from, to). Stride in bytes. */
export function embed(rows: usize, table: usize, x: usize, cols: u32, stride: usize, from: u32, to: u32): void {
  for (let t = from; t < to; t++) {
    const token = load<u32>(rows + t * ROW_BYTES)
    let source = table + (<usize>(token / PANEL) * cols * PANEL + token % PANEL) * 4
    let target = x + t * stride
    for (let k: u32 = 0; k < cols; k++) {
      store<f32>(target, load<f32>(source))
      source += PANEL * 4
      target += 4
    }
  }
}
