// Fills a matrix with the weights of synthetic.ts, bit for bit, in place: value i of the tensor is a function of
// (seed + tensor number, i). The products by powers of two are exact, so contraction to an FMA changes nothing.
// Writes row r of the source to the packed row that the fused kernels want: see packing.ts.
// Grid: ceil(rows · cols / WG), folded into y where too long.
override WG: u32 = 64;

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
@group(0) @binding(1) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * WG;
  if (i >= fill.rows * fill.columns) { return; }
  let value = (f32(pcg(fill.hash + i) >> 8) * 0x1p-23 - 1) * fill.scale;
  out[packedRow(i / fill.columns) * fill.columns + i % fill.columns] = value;
}

fn packedRow(row: u32) -> u32 {
  let half = max(fill.group / 2, 1u);
  let within = row % fill.group;
  return fill.base + (row / fill.group) * fill.stride + (within % half) * 2 + within / half;
}
