// A matrix of 8-bit integers with a scale a group of columns, row-major, rows padded with zeros to a unit:
// 16 bytes, sixteen columns. Value: integer · scale.
const UNIT4 = 4u; // vec4s of columns in a unit
override COLS4: u32; // cols / 4
override UNITS: u32 = (COLS4 + 3) / 4; // units in a row
override GROUP4: u32; // vec4s of columns that share a scale
override GROUPS: u32 = (COLS4 + GROUP4 - 1) / GROUP4; // in a row
@group(0) @binding(1) var<storage, read> w: array<vec4u>;
@group(0) @binding(SCALES) var<storage, read> scales: array<f32>; // (rows, GROUPS)

struct Held { bits: vec4u, by: f32 }
fn hold(row: u32, unit: u32) -> Held { return Held(w[row * UNITS + unit], scales[row * GROUPS + unit * UNIT4 / GROUP4]); }
fn part(held: Held, j: u32) -> vec4f { return signed8(held.bits[j]); }
// The unit's share of a dot product, from Σ part · x and Σ x.
fn whole(held: Held, products: f32, sum: f32) -> f32 { return held.by * products; }
// Four columns, as they are.
fn weight4(row: u32, i: u32) -> vec4f { return signed8(w[row * UNITS + i / 4][i % 4]) * scales[row * GROUPS + i / GROUP4]; }
