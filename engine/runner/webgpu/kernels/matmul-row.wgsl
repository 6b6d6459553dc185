// y = W · x for one token a grid layer. One invocation makes two pairs of rows: best on software adapters,
// where barriers are dear, and the four rows share each load of x.
// W (2·PAIRS, cols) f32 row-major; x (rows, cols). Grid: (ceil(PAIRS / 2 / WG), 1, tokens).
override WG: u32 = 64;
override PAIRS: u32;
override COLS4: u32; // cols / 4

@group(0) @binding(1) var<storage, read> w: array<vec4f>;
@group(0) @binding(2) var<storage, read> x: array<vec4f>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let pair = (id.x + id.y * groups.x * WG) * 2;
  let token = id.z;
  if (pair >= PAIRS || token >= tokens()) { return; }
  let start = inputRow(token) * COLS4;
  let row = pair * 2 * COLS4;
  // An odd number of pairs: the last invocation computes its first pair twice and keeps one.
  let next = select(row, row + 2 * COLS4, pair + 1 < PAIRS);
  var a = vec4f();
  var b = vec4f();
  var c = vec4f();
  var d = vec4f();
  var squares = vec4f();
  for (var i = 0u; i < COLS4; i++) {
    let raw = x[start + i];
    let v = raw * gain(i);
    squares += raw * raw;
    a += w[row + i] * v;
    b += w[row + COLS4 + i] * v;
    c += w[next + i] * v;
    d += w[next + COLS4 + i] * v;
  }
  let one = vec4f(1);
  let by = scale(dot(squares, one));
  finish(pair, token, by * vec2f(dot(a, one), dot(b, one)));
  if (pair + 1 < PAIRS) { finish(pair + 1, token, by * vec2f(dot(c, one), dot(d, one))); }
}
