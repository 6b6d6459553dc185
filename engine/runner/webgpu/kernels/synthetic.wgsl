// A value of a synthetic matrix (synthetic.ts), bit for bit: a function of (seed + tensor number, i). The products by
// powers of two are exact, so contraction to an FMA changes nothing. And where the fused kernels want a row: packing.ts.
struct Fill {
  hash: u32, // pcg(seed + tensor)
  rows: u32,
  columns: u32,
  scale: f32,
  base: u32,
  group: u32,
  stride: u32,
}

@group(0) @binding(0) var<uniform> fill: Fill;
fn value(row: u32, column: u32) -> f32 {
  return (f32(pcg(fill.hash + row * fill.columns + column) >> 8) * 0x1p-23 - 1) * fill.scale;
}

fn packedRow(row: u32) -> u32 {
  let half = max(fill.group / 2, 1u);
  let within = row % fill.group;
  return fill.base + (row / fill.group) * fill.stride + (within % half) * 2 + within / half;
}
