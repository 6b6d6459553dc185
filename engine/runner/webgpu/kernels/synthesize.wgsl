// Fills a matrix of 32-bit floats with the values of synthetic.wgsl. Grid: ceil(rows · cols / WG), folded into y where too long.
override WG: u32 = 64;

@group(0) @binding(1) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * WG;
  if (i >= fill.rows * fill.columns) { return; }
  let row = i / fill.columns;
  out[packedRow(row) * fill.columns + i % fill.columns] = value(row, i % fill.columns);
}
