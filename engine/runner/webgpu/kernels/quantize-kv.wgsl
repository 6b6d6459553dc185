// Quantizes the new keys and values into the cache of kv-int8.wgsl: scale = largest magnitude / 127, one for each
// position and head. One invocation a vector. fresh (rows, keys then values, KV heads, hd). Grid: ceil(rows · 2·KV / WG).
override WG: u32 = 32;
override KV_HEADS: u32;
override HEAD_DIM4: u32;

@group(0) @binding(1) var<storage, read> fresh: array<vec4f>;
@group(0) @binding(2) var<storage, read> rows: array<Row>;
@group(0) @binding(3) var<storage, read_write> kv: array<u32>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let token = id.x / (2 * KV_HEADS);
  if (token >= step.rows) { return; }
  let head = id.x % (2 * KV_HEADS);
  let first = id.x * HEAD_DIM4;
  var largest = vec4f();
  for (var i = 0u; i < HEAD_DIM4; i++) { largest = max(largest, abs(fresh[first + i])); }
  let by = max(max(largest.x, largest.y), max(largest.z, largest.w)) / 127;
  let slot = rows[step.firstRow + token].slot;
  let page = ((slot / 16) * KV_HEADS + head % KV_HEADS) * (32 * HEAD_DIM4 + 32);
  let which = (head / KV_HEADS) * 16 + slot % 16;
  kv[page + 32 * HEAD_DIM4 + which] = bitcast<u32>(by);
  for (var i = 0u; i < HEAD_DIM4; i++) {
    let codes = select(vec4f(), clamp(round(fresh[first + i] / by), vec4f(-127), vec4f(127)), by > 0);
    let integers = bitcast<vec4u>(vec4i(codes)) & vec4u(255);
    kv[page + which * HEAD_DIM4 + i] = integers.x | (integers.y << 8) | (integers.z << 16) | (integers.w << 24);
  }
}
