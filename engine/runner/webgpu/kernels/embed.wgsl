// x[row] = table[token of row]. The token comes with the batch or is the one sampled last on this device.
// table (vocab, d): weights-*.wgsl; x (rows, d). Grid: (ceil(d/4 / WG), rows).
override WG: u32 = 64;

@group(0) @binding(2) var<storage, read> rows: array<Row>;
@group(0) @binding(3) var<storage, read> held: array<i32>;
@group(0) @binding(4) var<storage, read_write> x: array<vec4f>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= COLS4) { return; }
  var token = rows[step.firstRow + id.y].token;
  if (token < 0) { token = held[-1 - token]; }
  x[id.y * COLS4 + id.x] = weight4(u32(token), id.x);
}
