// Adds what a token's experts made of it to the residual stream. parts (assignments, d), already weighted; x (rows, d).
// Grid: (ceil(d/4 / WG), rows).
override WG: u32 = 64;
override COLS4: u32;

@group(0) @binding(1) var<storage, read> parts: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> x: array<vec4f>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= COLS4) { return; }
  var sum = x[id.y * COLS4 + id.x];
  for (var k = 0u; k < step.experts; k++) { sum += parts[(id.y * step.experts + k) * COLS4 + id.x]; }
  x[id.y * COLS4 + id.x] = sum;
}
