// A matrix of 16-bit floats, row-major, rows padded with zeros to a unit: 16 bytes, eight columns.
const UNIT4 = 2u; // vec4s of columns in a unit
override COLS4: u32; // cols / 4
override UNITS: u32 = (COLS4 + 1) / 2; // units in a row
@group(0) @binding(1) var<storage, read> w: array<vec4u>;

alias Held = vec4u;
fn hold(row: u32, unit: u32) -> Held { return w[row * UNITS + unit]; }
fn part(held: Held, j: u32) -> vec4f {
  let words = select(held.xy, held.zw, j == 1);
  return vec4f(unpack2x16float(words.x), unpack2x16float(words.y));
}
// The unit's share of a dot product, from Σ part · x and Σ x.
fn whole(held: Held, products: f32, sum: f32) -> f32 { return products; }
// Four columns, as they are.
fn weight4(row: u32, i: u32) -> vec4f { return part(w[row * UNITS + i / 2], i % 2); }
