// Fills a matrix of 16-bit floats (weights-f16.wgsl) with the values of synthetic.wgsl, two columns an invocation.
// Grid: ceil(rows · cols / 2 / WG), folded into y where too long.
override WG: u32 = 64;
override UNITS: u32; // units of 16 bytes in a row

@group(0) @binding(1) var<storage, read_write> out: array<u32>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * WG;
  let perRow = fill.columns / 2;
  if (i >= fill.rows * perRow) { return; }
  let row = i / perRow;
  let column = 2 * (i % perRow);
  out[packedRow(row) * 4 * UNITS + column / 2] = pack2x16float(vec2f(value(row, column), value(row, column + 1)));
}
