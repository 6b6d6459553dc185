// y = W · x for one token a grid layer. One invocation makes two pairs of rows: best on software adapters,
// where barriers are dear, and the four rows share each load of x.
// W (2·PAIRS, cols): weights-*.wgsl; x (rows, cols). Grid: (ceil(PAIRS / 2 / WG), 1, tokens).
override WG: u32 = 64;
override PAIRS: u32;

@group(0) @binding(2) var<storage, read> x: array<vec4f>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let pair = (id.x + id.y * groups.x * WG) * 2;
  let token = id.z;
  if (pair >= PAIRS || token >= tokens()) { return; }
  var a = vec4f();
  var b = vec4f();
  var c = vec4f();
  var d = vec4f();
  var squares = vec4f();
  for (var p = 0u; p < parts(); p++) {
    let start = inputRow(token, p) * COLS4;
    let row = matrixRow(token, p) + pair * 2;
    // An odd number of pairs: the last invocation computes its first pair twice and keeps one.
    let next = select(row, row + 2, pair + 1 < PAIRS);
    for (var i = 0u; i < COLS4; i++) {
      let raw = x[start + i];
      let v = raw * gain(i);
      squares += raw * raw;
      a += weight4(row, i) * v;
      b += weight4(row + 1, i) * v;
      c += weight4(next, i) * v;
      d += weight4(next + 1, i) * v;
    }
  }
  let one = vec4f(1);
  let by = scale(dot(squares, one));
  finish(pair, token, by * vec2f(dot(a, one), dot(b, one)));
  if (pair + 1 < PAIRS) { finish(pair + 1, token, by * vec2f(dot(c, one), dot(d, one))); }
}
