// Y = X · Wᵀ for four tokens a grid layer: a small batch of decodes. As matmul-cooperative, but each load of
// W serves four tokens. Sums are vectors over the tokens.
// W (2·PAIRS, cols) f32 row-major; x (rows, cols). Grid: (ceil(PAIRS / 2), 1, ceil(tokens / 4)), folded into y where x is too long.
override WG: u32 = 64;
override PAIRS: u32;
override COLS4: u32; // cols / 4
const VALUES = 5u; // four rows' sums; the sums of squares

@group(0) @binding(1) var<storage, read> w: array<vec4f>;
@group(0) @binding(2) var<storage, read> x: array<vec4f>;

fn together(thread: u32, group: vec3u, groups: vec3u) {
  let first = (group.x + group.y * groups.x) * 2;
  let token = group.z * 4;
  let last = tokens() - 1;
  // Past the end the last row and the last token are computed again and dropped: barriers allow no early return.
  let start = vec4u(inputRow(token), inputRow(min(token + 1, last)), inputRow(min(token + 2, last)), inputRow(min(token + 3, last))) * COLS4;
  let row = min(first, PAIRS - 1) * 2 * COLS4;
  let next = min(first + 1, PAIRS - 1) * 2 * COLS4;
  var sums = array<vec4f, VALUES>();
  for (var i = thread; i < COLS4; i += WG) {
    let x0 = x[start.x + i];
    let x1 = x[start.y + i];
    let x2 = x[start.z + i];
    let x3 = x[start.w + i];
    sums[4] += vec4f(dot(x0, x0), dot(x1, x1), dot(x2, x2), dot(x3, x3));
    let g = gain(i);
    let a = w[row + i] * g;
    sums[0] += vec4f(dot(a, x0), dot(a, x1), dot(a, x2), dot(a, x3));
    let b = w[row + COLS4 + i] * g;
    sums[1] += vec4f(dot(b, x0), dot(b, x1), dot(b, x2), dot(b, x3));
    let c = w[next + i] * g;
    sums[2] += vec4f(dot(c, x0), dot(c, x1), dot(c, x2), dot(c, x3));
    let d = w[next + COLS4 + i] * g;
    sums[3] += vec4f(dot(d, x0), dot(d, x1), dot(d, x2), dot(d, x3));
  }
  reduce(&sums, thread);
  // One invocation finishes one (pair, token).
  let pair = first + thread / 4;
  let t = thread % 4;
  if (thread < 8 && pair < PAIRS && token + t <= last) {
    let by = scale(sums[4][t]);
    if (thread < 4) { finish(pair, token + t, by * vec2f(sums[0][t], sums[1][t])); }
    else { finish(pair, token + t, by * vec2f(sums[2][t], sums[3][t])); }
  }
}
