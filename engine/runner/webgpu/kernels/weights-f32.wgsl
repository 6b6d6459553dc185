// A matrix of 32-bit floats, row-major: (rows, COLS4) vec4s. A unit is 16 bytes: four columns.
const UNIT4 = 1u; // vec4s of columns in a unit
override COLS4: u32; // cols / 4
override UNITS: u32 = COLS4; // units in a row
@group(0) @binding(1) var<storage, read> w: array<vec4f>;

alias Held = vec4f;
fn hold(row: u32, unit: u32) -> Held { return w[row * UNITS + unit]; }
fn part(held: Held, j: u32) -> vec4f { return held; }
// The unit's share of a dot product, from Σ part · x and Σ x.
fn whole(held: Held, products: f32, sum: f32) -> f32 { return products; }
// Four columns, as they are.
fn weight4(row: u32, i: u32) -> vec4f { return w[row * UNITS + i]; }
