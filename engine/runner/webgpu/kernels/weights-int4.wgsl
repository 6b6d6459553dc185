// A matrix of 4-bit integers with a scale and a minimum a group of columns, row-major, rows padded to a unit:
// 16 bytes, 32 columns, of which byte j holds column j in its low and column 16 + j in its high half (quantize.ts).
// Value: integer · scale + minimum, both halves; a symmetric format's minimum is −8 · scale.
const UNIT4 = 8u; // vec4s of columns in a unit
override COLS4: u32; // cols / 4
override UNITS: u32 = (COLS4 + 7) / 8; // units in a row
override GROUP4: u32; // vec4s of columns that share a scale
override GROUPS: u32 = (COLS4 + GROUP4 - 1) / GROUP4; // in a row
@group(0) @binding(1) var<storage, read> w: array<vec4u>;
@group(0) @binding(SCALES) var<storage, read> scales: array<u32>; // (rows, GROUPS): scale, minimum

struct Held { bits: vec4u, by: vec2f }
fn hold(row: u32, unit: u32) -> Held { return Held(w[row * UNITS + unit], unpack2x16float(scales[row * GROUPS + unit * UNIT4 / GROUP4])); }
fn part(held: Held, j: u32) -> vec4f { return unsigned8((held.bits[j % 4] >> (j & 4)) & 0x0f0f0f0f); }
// The unit's share of a dot product, from Σ part · x and Σ x.
fn whole(held: Held, products: f32, sum: f32) -> f32 { return held.by.x * products + held.by.y * sum; }
// Four columns, as they are.
fn weight4(row: u32, i: u32) -> vec4f {
  let by = unpack2x16float(scales[row * GROUPS + i / GROUP4]);
  return unsigned8((w[row * UNITS + i / 8][i % 4] >> (i & 4)) & 0x0f0f0f0f) * by.x + by.y;
}
