// Y = X · Wᵀ, one invocation a pair of rows and four tokens: each load of W serves four tokens, without barriers.
// W (2·PAIRS, cols): weights-*.wgsl; x (rows, cols). Grid: (ceil(PAIRS / WG), 1, ceil(tokens / 4)).
override WG: u32 = 64;
override PAIRS: u32;

@group(0) @binding(2) var<storage, read> x: array<vec4f>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let pair = id.x + id.y * groups.x * WG;
  let token = id.z * 4;
  let count = tokens();
  if (pair >= PAIRS || token >= count || idle(token)) { return; }
  let row = matrixRow(token, 0) + pair * 2;
  // Past the last token the last one is computed again and dropped.
  let start = vec4u(inputRow(token, 0), inputRow(min(token + 1, count - 1), 0), inputRow(min(token + 2, count - 1), 0), inputRow(min(token + 3, count - 1), 0)) * COLS4;
  var a0 = vec4f(); var b0 = vec4f(); var s0 = vec4f();
  var a1 = vec4f(); var b1 = vec4f(); var s1 = vec4f();
  var a2 = vec4f(); var b2 = vec4f(); var s2 = vec4f();
  var a3 = vec4f(); var b3 = vec4f(); var s3 = vec4f();
  for (var i = 0u; i < COLS4; i++) {
    let g = gain(i);
    let a = weight4(row, i) * g;
    let b = weight4(row + 1, i) * g;
    let x0 = x[start.x + i];
    let x1 = x[start.y + i];
    let x2 = x[start.z + i];
    let x3 = x[start.w + i];
    a0 += a * x0; b0 += b * x0; s0 += x0 * x0;
    a1 += a * x1; b1 += b * x1; s1 += x1 * x1;
    a2 += a * x2; b2 += b * x2; s2 += x2 * x2;
    a3 += a * x3; b3 += b * x3; s3 += x3 * x3;
  }
  let one = vec4f(1);
  finish(pair, token, scale(dot(s0, one)) * vec2f(dot(a0, one), dot(b0, one)));
  if (token + 1 < count) { finish(pair, token + 1, scale(dot(s1, one)) * vec2f(dot(a1, one), dot(b1, one))); }
  if (token + 2 < count) { finish(pair, token + 2, scale(dot(s2, one)) * vec2f(dot(a2, one), dot(b2, one))); }
  if (token + 3 < count) { finish(pair, token + 3, scale(dot(s3, one)) * vec2f(dot(a3, one), dot(b3, one))); }
}
