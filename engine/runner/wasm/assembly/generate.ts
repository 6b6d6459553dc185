import { PANEL } from '../jobs'

/**
 * A synthetic matrix (rows, cols) made in its packed place: the same numbers as syntheticValue in
 * engine/model/synthetic.ts, bit for bit. `key` is pcg(seed + tensor). Row r goes to row
 * ⌊r / run⌋ · 32 + offset + r mod run of the packed matrix (run 32: as it is; 16: half of a gate-up pair).
 * Units: runs of rows.
 */
export function generate(w: usize, key: u32, rows: u32, cols: u32, scale: f32, run: u32, offset: u32, from: u32, to: u32): void {
  for (let r = from * run; r < min(to * run, rows); r++) {
    let target = w + (<usize>(r / run) * cols * PANEL + offset + r % run) * 4
    let counter = key + r * cols
    for (let k: u32 = 0; k < cols; k++) {
      store<f32>(target, (<f32>(pcg(counter) >> 8) / <f32>8388608 - 1) * scale)
      target += PANEL * 4
      counter++
    }
  }
}

/** PCG-RXS-M-XS 32, as in engine/runner/sampling.ts. */
function pcg(value: u32): u32 {
  const state = value * 747796405 + 2891336453
  const word = ((state >> ((state >> 28) + 4)) ^ state) * 277803737
  return (word >> 22) ^ word
}
