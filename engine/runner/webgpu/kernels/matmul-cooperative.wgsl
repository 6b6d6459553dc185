// y = W · x for one token a grid layer. A workgroup makes two pairs of rows; its invocations stride through
// the columns side by side, so that reads of W coalesce and each load of x serves four rows.
// W (2·PAIRS, cols) f32 row-major; x (rows, cols). Grid: (ceil(PAIRS / 2), 1, tokens), folded into y where x is too long.
override WG: u32 = 64;
override PAIRS: u32;
override COLS4: u32; // cols / 4
const VALUES = 2u; // the four rows' sums; the sum of squares

@group(0) @binding(1) var<storage, read> w: array<vec4f>;
@group(0) @binding(2) var<storage, read> x: array<vec4f>;

fn together(thread: u32, group: vec3u, groups: vec3u) {
  let first = (group.x + group.y * groups.x) * 2;
  let token = group.z;
  // Groups past the end compute the last pair again and drop it: barriers allow no early return.
  let start = inputRow(token) * COLS4;
  let row = min(first, PAIRS - 1) * 2 * COLS4;
  let next = min(first + 1, PAIRS - 1) * 2 * COLS4;
  var a = vec4f();
  var b = vec4f();
  var c = vec4f();
  var d = vec4f();
  var squares = vec4f();
  for (var i = thread; i < COLS4; i += WG) {
    let raw = x[start + i];
    let v = raw * gain(i);
    squares += raw * raw;
    a += w[row + i] * v;
    b += w[row + COLS4 + i] * v;
    c += w[next + i] * v;
    d += w[next + COLS4 + i] * v;
  }
  let one = vec4f(1);
  var sums = array<vec4f, VALUES>(vec4f(dot(a, one), dot(b, one), dot(c, one), dot(d, one)), squares);
  reduce(&sums, thread);
  let value = sums[0] * scale(dot(sums[1], one));
  if (thread == 0 && first < PAIRS) { finish(first, token, value.xy); }
  if (thread == 1 && first + 1 < PAIRS) { finish(first + 1, token, value.zw); }
}
