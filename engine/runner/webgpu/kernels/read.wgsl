// Reads every byte of a buffer and keeps a sum, to find the device's read bandwidth.
// data (N/16) vec4; sums: one per invocation. Invocations stride side by side. Grid: as many as keep the device busy.
override WG: u32 = 256;

@group(0) @binding(1) var<storage, read> data: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> sums: array<f32>;

struct Pass { vectors: u32 }
@group(0) @binding(0) var<uniform> pass_: Pass;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let all = groups.x * WG;
  var a = vec4f();
  var b = vec4f();
  var c = vec4f();
  var d = vec4f();
  var i = id.x;
  for (; i + 3 * all < pass_.vectors; i += 4 * all) {
    a += data[i];
    b += data[i + all];
    c += data[i + 2 * all];
    d += data[i + 3 * all];
  }
  for (; i < pass_.vectors; i += all) { a += data[i]; }
  sums[id.x] = dot(a + b + c + d, vec4f(1));
}
